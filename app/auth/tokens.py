"""The session token: given in the settings, or made at start and kept in the state folder."""

import hmac
import os
import secrets
from pathlib import Path

from app.errors import SettingsError
from app.settings import Settings, is_session_token

FILE_NAME = "session.token"


class SessionToken:
    """A secret that compares in constant time and never shows itself by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the few places that hand it on."""
        return self._value

    def matches(self, candidate: bytes) -> bool:
        """Whether `candidate`, any bytes at all, is the token."""
        return hmac.compare_digest(self._value.encode(), candidate)

    def __repr__(self) -> str:
        return "SessionToken([redacted])"


def session_token(settings: Settings) -> SessionToken:
    """The given token, else the kept one, else a new one; afterwards the file holds it."""
    path = settings.state_dir / FILE_NAME
    try:
        _make_folder(settings.state_dir)
        value = settings.session_token or _kept(path) or secrets.token_urlsafe(32)
        _write(path, value)
    except OSError as error:
        raise SettingsError(
            f"SIGHTLINE_STATE_DIR: cannot keep the session token in {str(path)!r}"
            f" ({error.strerror}); give a folder this user may write"
        ) from None
    return SessionToken(value)


def _make_folder(folder: Path) -> None:
    """Only a fresh or empty folder is hidden from git: any other may hold somebody's work."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        folder.chmod(0o700)
        (folder / ".gitignore").write_text("*\n")


def _kept(path: Path) -> str | None:
    """The token of an earlier start; never one that another user put there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return None
        text = file.read(4096).decode("ascii", "replace").strip()
    return text if is_session_token(text) else None


def _write(path: Path, value: str) -> None:
    """Replace the file in one step; at no moment may others read it."""
    temporary = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(value + "\n")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
