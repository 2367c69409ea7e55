"""Where the Python client looks for the gateway and the token."""

import os
import subprocess
from pathlib import Path

import pytest
from sightline_client import Address, find
from sightline_client.errors import AddressError
from sightline_client.state import NotOursError, read_kept

from app import state as app_state

URL = "http://127.0.0.1:3000"


def state(folder: Path, url: str | None = URL, token: str | None = "kept") -> None:
    (folder / ".sightline").mkdir()
    for name, text in (("gateway.url", url), ("session.token", token)):
        if text is not None:
            (folder / ".sightline" / name).write_text(text + "\n")
            (folder / ".sightline" / name).chmod(0o600)


def test_a_folder_and_those_below_it_find_its_gateway(tmp_path: Path) -> None:
    state(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(folder=tmp_path, environ={}) == Address(URL, "kept", "kept")
    assert find(folder=below, environ={}) == Address(URL, "kept", "kept")


def test_the_nearest_folder_that_has_both_wins(tmp_path: Path) -> None:
    state(tmp_path)
    below = tmp_path / "below"
    below.mkdir()
    state(below, "http://127.0.0.1:4000", "nearer")
    assert find(folder=below, environ={}) == Address("http://127.0.0.1:4000", "nearer", "nearer")


def test_the_environment_comes_before_the_files_and_arguments_before_both(tmp_path: Path) -> None:
    state(tmp_path)
    environ = {"SIGHTLINE_URL": "http://localhost:5000", "SIGHTLINE_SESSION_TOKEN": "set"}
    assert find(folder=tmp_path, environ=environ) == Address("http://localhost:5000", "set")
    given = find("https://example.org", "given", folder=tmp_path, environ=environ)
    assert given == Address("https://example.org", "given")
    moved = {"SIGHTLINE_STATE_DIR": str(tmp_path / ".sightline")}
    assert find(folder=Path("/"), environ=moved) == Address(URL, "kept", "kept")


def test_a_token_of_the_environment_goes_to_no_url_that_a_file_names(tmp_path: Path) -> None:
    state(tmp_path)
    environ = {"SIGHTLINE_SESSION_TOKEN": "set"}
    assert find(folder=tmp_path, environ=environ) == Address(URL, "kept", "kept")
    given = find(token="given", folder=tmp_path, environ=environ)
    assert given == Address(
        URL, "given", "kept"
    )  # sent to a gateway that proves it has the stored one
    (tmp_path / ".sightline" / "session.token").unlink()
    with pytest.raises(AddressError, match="no gateway"):
        find(folder=tmp_path, environ=environ)
    assert find(token="given", folder=tmp_path, environ=environ) == Address(URL, "given", "given")


def test_what_is_found_in_a_folder_is_sent_nowhere_before_a_proof(tmp_path: Path) -> None:
    state(tmp_path)
    with pytest.raises(AddressError, match="call prove"):
        _ = find(folder=tmp_path, environ={}).headers


READERS = (read_kept, app_state.read_kept)


@pytest.mark.parametrize("name", ["gateway.url", "session.token"])
@pytest.mark.parametrize(
    ("brought", "why"),
    [
        ("readable by others", "mode is not 0600"),
        ("tracked", "git tracks it"),
        ("tracked in other letters", "git tracks it"),
        ("a broken repository", "git cannot say"),
        ("a folder that is a link", "is a link"),
        ("a pipe", "not a regular file"),
    ],
)
def test_a_file_that_a_clone_may_have_brought_does_not_count(
    tmp_path: Path, name: str, brought: str, why: str
) -> None:
    state(tmp_path)
    folder, file = tmp_path / ".sightline", tmp_path / ".sightline" / name
    git = ["git", "-C", str(tmp_path), "-c", "core.ignoreCase=false"]
    if brought == "readable by others":
        file.chmod(0o640)
    elif brought.startswith("tracked"):
        subprocess.run([*git, "init", "-q"], check=True)
        as_brought = folder / name.upper() if "letters" in brought else file
        as_brought.write_bytes(file.read_bytes())
        subprocess.run([*git, "add", "-f", as_brought], check=True)
    elif brought == "a broken repository":
        (tmp_path / ".git").write_text("gitdir: nowhere at all")
    elif brought == "a folder that is a link":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to("elsewhere")
    else:
        file.unlink()
        os.mkfifo(file, 0o600)
    for read in READERS:
        with pytest.raises((NotOursError, app_state.NotOursError), match=why):
            read(file)
    with pytest.raises(AddressError, match=why):
        find(folder=tmp_path, environ={})
    with pytest.raises(AddressError):
        find(folder=tmp_path, environ={"SIGHTLINE_SESSION_TOKEN": "set"})


def test_an_untracked_file_counts_in_a_repository_whose_settings_start_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state(tmp_path)
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env=environ)
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o700)
    for setting in ("core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass"):
        subprocess.run(
            ["git", "-C", tmp_path, "config", setting, str(hook)], check=True, env=environ
        )
    for read in READERS:
        assert read(tmp_path / ".sightline" / "session.token") == "kept"
    assert not (tmp_path / "ran").exists()


def test_where_git_is_missing_a_file_in_a_repository_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(folder=tmp_path, environ={}).token == "kept"
    (tmp_path / ".git").mkdir()
    with pytest.raises(AddressError, match="git cannot say"):
        find(folder=tmp_path, environ={})


def test_a_kept_token_goes_to_its_own_gateway_or_this_machine_alone(tmp_path: Path) -> None:
    state(tmp_path, "https://gateway.example.org")
    assert find(folder=tmp_path, environ={}).token == "kept"
    assert find("wss://gateway.example.org/ws", folder=tmp_path, environ={}).token == "kept"
    assert find("http://localhost:9", folder=tmp_path, environ={}).token == "kept"
    with pytest.raises(AddressError, match=r"no token for https://other\.example\.org"):
        find("https://other.example.org", folder=tmp_path, environ={})


def test_a_missing_address_or_token_is_reported_with_the_remedy(tmp_path: Path) -> None:
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
