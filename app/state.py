"""The state folder: what the gateway leaves there for its own clients, for its user's eyes only."""

import os
import pwd
import secrets
import shlex
from pathlib import Path

from app.errors import SettingsError

TOKEN_FILE = "session.token"
URL_FILE = "gateway.url"
BROWSERS_FILE = "browser.sessions"
_MOST_BYTES = 64 * 1024


def make_folder(folder: Path) -> None:
    """Make the state folder; only a fresh or empty one is hidden from git: others may hold work."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        folder.chmod(0o700)
        (folder / ".gitignore").write_text("*\n")


def read_private(path: Path) -> str | None:
    """The text of a file, or None where there is none or another user put it there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return None
        return file.read(_MOST_BYTES).decode("ascii", "replace").strip()


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; at no moment may others read it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def unusable(path: Path, error: OSError) -> SettingsError:
    """The error for a file of the state folder that this user cannot use, with the remedy."""
    folder = path.parent.absolute()
    remedy = "give a folder this user may write"
    for place in (path, folder):
        try:
            owner = os.lstat(place).st_uid
        except OSError:
            continue
        if owner != os.geteuid():
            remedy = (
                f"{str(place)!r} belongs to {_user(owner)}, who ran a gateway here before: give it"
                f" back with `sudo chown -R {_user(os.geteuid())} {shlex.quote(str(folder))}`, or {remedy}"
            )
            break
    return SettingsError(
        f"SIGHTLINE_STATE_DIR: cannot use {str(path)!r} ({error.strerror}); {remedy}"
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
