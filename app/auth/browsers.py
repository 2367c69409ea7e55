"""`BrowserSessions`: the browsers that are logged in. Each holds two secrets; either alone is worth nothing.

The cookie goes to every port of its host, because browsers share cookies among ports. The browser key
stands in storage that only pages of one scheme, host and port can read.
"""

import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..events import Clock
from ..state import read_kept, write_private
from .credentials import Credential

LIFETIME_S = 12 * 60 * 60
MOST = 100
MOST_AGENT_CHARACTERS = 200


class BrowserSession(msgspec.Struct):
    """One logged-in browser. The secrets are kept as fingerprints alone."""

    id: str
    cookie: str
    key: str
    logged_in_at: str
    issued_at: float  # monotonic seconds
    user_agent: str


class LogIn(msgspec.Struct):
    """The two secrets that a browser gets. They exist nowhere else."""

    cookie: str
    key: str


class _Kept(msgspec.Struct):
    """The monotonic clock counts from the machine's boot: its readings mean nothing in another."""

    boot_id: str
    sessions: list[BrowserSession]


class BrowserSessions:
    """At most `MOST` browsers, each for `LIFETIME_S`; a newer one pushes the oldest out."""

    def __init__(
        self,
        digest: Callable[[str, bytes], str],
        clock: Clock,
        on_end: Callable[[Credential], None] = lambda credential: None,
    ) -> None:
        """`digest` fingerprints a secret for one purpose; `on_end` closes what a session opened."""
        self._digest = digest
        self._clock = clock
        self._on_end = on_end
        self._sessions: dict[str, BrowserSession] = {}  # by the cookie's fingerprint, oldest first
        self._credentials: dict[str, Credential] = {}  # by the session's id

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, user_agent: str = "") -> LogIn:
        """Log a browser in."""
        if len(self._sessions) >= MOST:
            self._drop(next(iter(self._sessions.values())))
        secret = LogIn(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._add(
            BrowserSession(
                id=secrets.token_hex(8),
                cookie=self._digest("cookie", secret.cookie.encode()),
                key=self._digest("browser key", secret.key.encode()),
                logged_in_at=self._clock.timestamp(),
                issued_at=self._clock.monotonic(),
                user_agent=user_agent[:MOST_AGENT_CHARACTERS],
            )
        )
        return secret

    def find(self, cookie: bytes) -> BrowserSession | None:
        """The session of a cookie, any bytes at all; None for a wrong or expired one."""
        session = self._sessions.get(self._digest("cookie", cookie))
        return session if session is not None and self._left_s(session) > 0 else None

    def fits(self, session: BrowserSession, key: bytes) -> bool:
        """Whether `key`, any bytes at all, is the second secret of the session."""
        return hmac.compare_digest(session.key, self._digest("browser key", key))

    def credential(self, session: BrowserSession) -> Credential:
        """What a connection of this session is let in by."""
        return self._credentials[session.id]

    def all(self) -> list[tuple[BrowserSession, int]]:
        """The sessions, the oldest first, each with the seconds it has left."""
        left = [(session, self._left_s(session)) for session in self._sessions.values()]
        return [(session, int(left_s)) for session, left_s in left if left_s > 0]

    def end(self, id_: str) -> bool:
        """Log one browser out; False where there is no such session."""
        for session in self._sessions.values():
            if session.id == id_:
                self._drop(session)
                return True
        return False

    def end_all(self) -> None:
        """Log every browser out."""
        for session in tuple(self._sessions.values()):
            self._drop(session)

    def expire(self) -> None:
        """End what has expired."""
        for session in tuple(self._sessions.values()):
            if self._left_s(session) <= 0:
                self._drop(session)

    def next_end_s(self) -> float | None:
        """Seconds until the next session expires; None where there is none."""
        left_s = min(map(self._left_s, self._sessions.values()), default=None)
        return None if left_s is None else max(0.0, left_s)

    def keep(self, path: Path, boot_id: str) -> None:
        """Write the sessions down, so that a restart logs nobody out.

        Raises:
            OSError: it cannot be written. No older file is left: what has ended must not come back.
        """
        kept = _Kept(boot_id, list(self._sessions.values()))
        try:
            write_private(path, msgspec.json.encode(kept).decode())
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def take_back(self, path: Path, boot_id: str) -> None:
        """Read what `keep` wrote; anything else, or an earlier boot's, counts as nothing."""
        try:
            kept = msgspec.json.decode(read_kept(path) or "", type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return
        if boot_id and kept.boot_id == boot_id:
            for session in kept.sessions[-MOST:]:
                if self._left_s(session) > 0:
                    self._add(session)

    def _left_s(self, session: BrowserSession) -> float:
        """Nothing is left of one that was issued in the future: the clock is another."""
        age_s = self._clock.monotonic() - session.issued_at
        return LIFETIME_S - age_s if age_s >= 0 else 0.0

    def _add(self, session: BrowserSession) -> None:
        self._sessions[session.cookie] = session
        self._credentials[session.id] = Credential("cookie", session.id)

    def _drop(self, session: BrowserSession) -> None:
        del self._sessions[session.cookie]
        credential = self._credentials.pop(session.id)
        credential.ended = True
        self._on_end(credential)
