"""What lets somebody in: the session token, tickets, and the sessions of browsers. No web here."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from app.events import Clock
from app.settings import Settings, is_session_token
from app.state import BROWSERS_FILE, TOKEN_FILE, make_folder, read_private, unusable, write_private

TICKET_LIFETIME_S = 300
MAX_TICKETS = 100
BROWSER_SESSION_LIFETIME_S = 12 * 60 * 60
MAX_BROWSER_SESSIONS = 100
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = structlog.get_logger("sightline.login")


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

    def digest(self, value: bytes) -> str:
        """A fingerprint of another secret; it is worth nothing once the token has changed."""
        return hmac.digest(self._value.encode(), value, hashlib.sha256).hex()

    def __repr__(self) -> str:
        return "SessionToken([redacted])"


def session_token(settings: Settings) -> SessionToken:
    """The given token, else the kept one, else a new one; afterwards the file holds it."""
    path = settings.state_dir / TOKEN_FILE
    try:
        make_folder(settings.state_dir)
        value = settings.session_token or _kept(path) or secrets.token_urlsafe(32)
        write_private(path, value)
    except OSError as error:
        raise unusable(path, error) from None
    return SessionToken(value)


def _kept(path: Path) -> str | None:
    text = read_private(path)
    return text if text is not None and is_session_token(text) else None


class _KeptPasses(msgspec.Struct):
    """The monotonic clock counts from the machine's boot: its readings mean nothing in another."""

    boot_id: str
    issued_at: dict[str, float]


class Passes:
    """Random values that let their holder in for a while: a bounded number, the oldest goes first.

    Only fingerprints are held, so neither memory nor a file gives a value away, and finding one
    takes the same time for every wrong value.
    """

    def __init__(
        self, digest: Callable[[bytes], str], clock: Clock, lifetime_s: float, most: int
    ) -> None:
        self._digest = digest
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._most = most
        self._issued_at: dict[str, float] = {}  # oldest first; monotonic seconds

    def issue(self) -> str:
        """Make a new one; the oldest is forgotten where there are too many."""
        if len(self._issued_at) >= self._most:
            del self._issued_at[next(iter(self._issued_at))]
        value = secrets.token_urlsafe(32)
        self._issued_at[self._digest(value.encode())] = self._clock.monotonic()
        return value

    def admits(self, value: bytes) -> bool:
        """Whether `value`, any bytes at all, was issued and has not expired."""
        return self._is_young(self._issued_at.get(self._digest(value)))

    def spend(self, value: bytes) -> bool:
        """As `admits`, once: no `await` in here, so of two who race one gets in."""
        return self._is_young(self._issued_at.pop(self._digest(value), None))

    def _is_young(self, issued_at: float | None) -> bool:
        return issued_at is not None and 0 <= self._clock.monotonic() - issued_at < self._lifetime_s

    def keep(self, path: Path, boot_id: str) -> None:
        """Write the fingerprints down, so that who is in stays in over a restart."""
        kept = _KeptPasses(boot_id, self._issued_at)
        write_private(path, msgspec.json.encode(kept).decode())

    def take_back(self, path: Path, boot_id: str) -> None:
        """Read what `keep` wrote; anything else, or an earlier boot's, counts as nothing."""
        try:
            kept = msgspec.json.decode(read_private(path) or "", type=_KeptPasses)
        except (OSError, msgspec.MsgspecError):
            return
        if boot_id and kept.boot_id == boot_id:
            self._issued_at = dict(list(kept.issued_at.items())[-self._most :])


class Keyring:
    """Everything that opens the gateway's door."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.session_token = session_token(settings)
        digest = self.session_token.digest
        self.tickets = Passes(digest, clock, TICKET_LIFETIME_S, MAX_TICKETS)
        self.browser_sessions = Passes(
            digest, clock, BROWSER_SESSION_LIFETIME_S, MAX_BROWSER_SESSIONS
        )
        self._kept_in = settings.state_dir / BROWSERS_FILE
        self._boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
        self.browser_sessions.take_back(self._kept_in, self._boot_id)

    def log_in(self, ticket: bytes) -> str | None:
        """Trade a ticket for a browser session; None for a spent, old or unknown one."""
        if not self.tickets.spend(ticket):
            return None
        session = self.browser_sessions.issue()
        try:
            self.browser_sessions.keep(self._kept_in, self._boot_id)
        except OSError as error:  # a full disk keeps nobody out
            _log.warning("browser_session_not_kept", error=error.strerror)
        return session
