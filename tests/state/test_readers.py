"""The gateway and the Python client trust the same files of a state folder.

The client may not import the gateway, so each has its own reader.
"""

import inspect
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sightline_client.state as client

import app.state as gateway


def git(folder: Path, *words: str) -> None:
    subprocess.run(("git", *words), cwd=folder, check=True, capture_output=True)


def private(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "gateway.url"
    path.write_text("http://127.0.0.1:3000\n")
    path.chmod(0o600)
    return path


def missing(top: Path) -> Path:
    return top / "gateway.url"


def readable_by_others(top: Path) -> Path:
    path = private(top)
    path.chmod(0o644)
    return path


def a_link(top: Path) -> Path:
    (top / "link").symlink_to(private(top))
    return top / "link"


def in_a_linked_folder(top: Path) -> Path:
    private(top / "real")
    (top / "state").symlink_to(top / "real")
    return top / "state" / "gateway.url"


def a_folder(top: Path) -> Path:
    (top / "gateway.url").mkdir(mode=0o700)
    return top / "gateway.url"


def a_pipe(top: Path) -> Path:
    os.mkfifo(top / "gateway.url", 0o600)
    return top / "gateway.url"


def untracked(top: Path) -> Path:
    git(top, "init", "-q")
    return private(top / "state")


def tracked(top: Path) -> Path:
    path = untracked(top)
    git(top, "add", "-f", ".")
    return path


def in_a_broken_repository(top: Path) -> Path:
    path = untracked(top)
    (top / ".git/config").write_text("[broken")
    return path


def outcome(read: Callable[[Path], str | None], path: Path, error: type[Exception]) -> str:
    try:
        return read(path) or "nothing"
    except error:
        return "refused"
    except OSError:
        return "nothing"  # the gateway's callers report it; the client has no address then


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (private, "http://127.0.0.1:3000"),
        (untracked, "http://127.0.0.1:3000"),
        *((make, "nothing") for make in (missing, a_link, a_folder)),
        *((make, "refused") for make in (readable_by_others, in_a_linked_folder)),
        *((make, "refused") for make in (a_pipe, tracked, in_a_broken_repository)),
    ],
)
def test_both_readers_trust_and_refuse_the_same_files(
    tmp_path: Path, make: Callable[[Path], Path], wanted: str
) -> None:
    path = make(tmp_path)
    assert outcome(gateway.read_kept, path, gateway.NotOursError) == wanted
    assert outcome(client.read_kept, path, client.NotOursError) == wanted


def test_both_readers_ask_git_in_the_same_way() -> None:
    def body(function: Callable[[Path], str]) -> str:
        return inspect.getsource(function).partition('"""\n')[2]

    assert body(gateway._why_tracked) == body(client._why_tracked)
    assert gateway._GIT == client._GIT
