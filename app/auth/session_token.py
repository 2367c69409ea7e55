"""`SessionToken`: the secret that may do everything, and its file."""

import hashlib
import hmac
import secrets
from pathlib import Path

import structlog

from ..settings import Settings, is_session_token
from ..state import TOKEN_FILE, NotOursError, make_folder, read_kept, unusable, write_private

_log = structlog.get_logger("sightline.login")


class SessionToken:
    """A secret with constant-time comparison, whose `repr` is redacted."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def matches(self, candidate: bytes) -> bool:
        """Whether `candidate` (any bytes) is the token."""
        return hmac.compare_digest(self._value.encode(), candidate)

    def digest(self, value: bytes) -> str:
        """A fingerprint of another secret; it no longer matches once the token has changed."""
        return hmac.digest(self._value.encode(), value, hashlib.sha256).hex()

    def __repr__(self) -> str:
        return "SessionToken([redacted])"


def session_token(settings: Settings) -> SessionToken:
    """The token of the settings, the token file, or a new one; also written to the file."""
    path = settings.state_dir / TOKEN_FILE
    try:
        make_folder(settings.state_dir)
        value = settings.session_token or _kept(path) or secrets.token_urlsafe(32)
        write_private(path, value)
    except OSError as error:
        raise unusable(path, error) from None
    return SessionToken(value)


def _kept(path: Path) -> str | None:
    try:
        text = read_kept(path)
    except NotOursError as error:
        _log.warning("token_not_believed", why=error.strerror)
        return None
    return text if text is not None and is_session_token(text) else None
