"""Where the Python client looks for the gateway and the token."""

import os
from pathlib import Path

import pytest
from sightline_client import Address, find
from sightline_client.errors import AddressError

URL = "http://127.0.0.1:3000"


def state(folder: Path, url: str | None = URL, token: str | None = "kept") -> None:
    (folder / ".sightline").mkdir()
    for name, text in (("gateway.url", url), ("session.token", token)):
        if text is not None:
            (folder / ".sightline" / name).write_text(text + "\n")


def test_a_folder_and_those_below_it_find_its_gateway(tmp_path: Path) -> None:
    state(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(folder=tmp_path, environ={}) == Address(URL, "kept")
    assert find(folder=below, environ={}) == Address(URL, "kept")


def test_the_nearest_folder_that_has_both_wins(tmp_path: Path) -> None:
    state(tmp_path)
    below = tmp_path / "below"
    below.mkdir()
    state(below, "http://127.0.0.1:4000", "nearer")
    assert find(folder=below, environ={}) == Address("http://127.0.0.1:4000", "nearer")


def test_the_environment_comes_before_the_files_and_arguments_before_both(tmp_path: Path) -> None:
    state(tmp_path)
    environ = {"SIGHTLINE_URL": "http://localhost:5000", "SIGHTLINE_SESSION_TOKEN": "set"}
    assert find(folder=tmp_path, environ=environ) == Address("http://localhost:5000", "set")
    given = find("https://example.org", "given", folder=tmp_path, environ=environ)
    assert given == Address("https://example.org", "given")
    moved = {"SIGHTLINE_STATE_DIR": str(tmp_path / ".sightline")}
    assert find(folder=Path("/"), environ=moved) == Address(URL, "kept")


def test_a_kept_token_goes_to_its_own_gateway_or_this_machine_alone(tmp_path: Path) -> None:
    state(tmp_path, "https://gateway.example.org")
    assert find(folder=tmp_path, environ={}).token == "kept"
    assert find("wss://gateway.example.org/ws", folder=tmp_path, environ={}).token == "kept"
    assert find("http://localhost:9", folder=tmp_path, environ={}).token == "kept"
    with pytest.raises(AddressError, match=r"no token for https://other\.example\.org"):
        find("https://other.example.org", folder=tmp_path, environ={})


def test_what_is_missing_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match=r"no gateway: .*start the gateway here.*SIGHTLINE_URL"):
        find(folder=tmp_path, environ={})
    with pytest.raises(AddressError, match=r"no token for .*SIGHTLINE_SESSION_TOKEN"):
        find(URL, folder=tmp_path, environ={})


def test_a_file_of_another_user_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(AddressError):
        find(folder=tmp_path, environ={})


@pytest.mark.parametrize(
    ("url", "http", "socket"),
    [
        ("http://127.0.0.1:3000/", URL, "ws://127.0.0.1:3000/ws"),
        ("ws://127.0.0.1:3000/ws", URL, "ws://127.0.0.1:3000/ws"),
        ("wss://h/deep/ws?x=1", "https://h/deep", "wss://h/deep/ws"),
        ("http://[::1]:3000", "http://[::1]:3000", "ws://[::1]:3000/ws"),
    ],
)
def test_every_way_to_write_a_url_is_understood(url: str, http: str, socket: str) -> None:
    address = find(url, "t", environ={})
    assert (address.url, address.socket_url) == (http, socket)


@pytest.mark.parametrize(
    "url", ["localhost:3000", "ftp://h", "http://", "http://h:x", "http://u@h"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match="is not a gateway's URL"):
        find(url, "t", environ={})


def test_an_address_never_shows_its_token() -> None:
    assert "secret" not in repr(Address(URL, "secret"))
