"""Reads what a gateway left in its state folder, where only this user can have written it.

A clone or an archive can bring files of these names along. They must not name the gateway that the
user's secrets go to. The gateway has the same function in `app.state`.
"""

import os
import stat
import subprocess
from pathlib import Path

_MOST_BYTES = 64 * 1024
_GIT_S = 10
# A repository's own settings must start no program and fetch nothing while git answers one question.
_GIT = (
    *("git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never", "ls-files", "-z", "--", ":(icase)"),
)
_UNSURE = "it lies in a git repository and git cannot say whether it tracks it"


class NotOursError(Exception):
    """Another user may have written the file; the message says why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{str(path)!r} does not count: {why}")


def read_kept(path: Path) -> str:
    """The text of a file; empty where there is none.

    Raises:
        NotOursError: the file came from somebody else, or may have.
    """
    text = _read(path)
    if text and (why := _why_tracked(path)):
        raise NotOursError(path, why)
    return text


def _read(path: Path) -> str:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        folder = os.lstat(path.parent)
        if stat.S_ISLNK(folder.st_mode):
            raise NotOursError(
                path, "its folder is a link: set SIGHTLINE_STATE_DIR to the real one"
            )
        descriptor = os.open(path, flags)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if why := _why_not_ours(os.fstat(descriptor)):
            raise NotOursError(path, why)
        return file.read(_MOST_BYTES).decode("utf-8", "replace").strip()


def _why_not_ours(file: os.stat_result) -> str:
    """The reason not to trust the file; empty if only this user can have written it."""
    if not stat.S_ISREG(file.st_mode):
        return "it is not a regular file"
    if not hasattr(os, "geteuid"):
        return ""
    if file.st_uid != os.geteuid():
        return "it belongs to another user"
    if file.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "its mode is not 0600, as a gateway makes it: delete it and start the gateway"
    return ""


def _why_tracked(path: Path) -> str:
    """The reason not to trust the file; empty if no git repository around it tracks it."""
    folder = path.parent.absolute()
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return ""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    command = (*_GIT[:-1], _GIT[-1] + path.name)
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{_UNSURE} ({error})"
    if done.stdout:
        return "git tracks it, so a clone may have brought it: `git rm` it"
    if done.returncode and b"not a git repository (or any" not in done.stderr:
        reason = done.stderr.decode("utf-8", "replace").strip()[:200]
        return f"{_UNSURE} ({reason})"
    return ""
