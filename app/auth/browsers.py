"""`BrowserSessions`: the browsers that are logged in. A browser needs two secrets to be let in.

Browsers send a cookie to every port of its host, so the cookie alone is not enough. The browser key
is in storage that only pages of one scheme, host and port can read.
"""

import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..events import Clock
from ..state import read_kept, write_private
from .access import FULL, SESSION, Access
from .credentials import Credential
from .shares import makes_room

LIFETIME_S = 12 * 60 * 60
MOST = 100  # that the session token let in, and as many that named tokens did
_MOST_BYTES = 512 * 1024  # of the file
MOST_AGENT_CHARACTERS = 200


class BrowserSession(msgspec.Struct):
    """One logged-in browser. Only fingerprints of its secrets are kept."""

    id: str
    cookie: str
    key: str
    logged_in_at: str
    issued_at: float  # monotonic seconds
    user_agent: str
    token: str = SESSION  # what let it in: the id of a named token, or the session token


class LogIn(msgspec.Struct):
    """The two secrets of a browser. The gateway does not keep them."""

    cookie: str
    key: str


class _Kept(msgspec.Struct):
    """Sessions and the boot that their monotonic times belong to."""

    boot_id: str
    sessions: list[BrowserSession]


class BrowserSessions:
    """The sessions, each for `LIFETIME_S`; a new one may end an old one, as `makes_room` says."""

    def __init__(
        self,
        digest: Callable[[str, bytes], str],
        clock: Clock,
        on_end: Callable[[Credential], None] = lambda credential: None,
        access_of: Callable[[str], Access | None] = lambda token: FULL,
    ) -> None:
        """`digest(purpose, secret)` makes fingerprints; `on_end` closes a session's connections.

        `access_of` says what the token of an id may do; None if it has ended.
        """
        self._digest = digest
        self._clock = clock
        self._on_end = on_end
        self._access_of = access_of
        self._sessions: dict[str, BrowserSession] = {}  # by the cookie's fingerprint, oldest first
        self._credentials: dict[str, Credential] = {}  # by the session's id

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, user_agent: str = "", token: str = SESSION) -> LogIn:
        """Log a browser in and return its secrets. It may do what the token of this id may do."""
        sessions = self._sessions.values()
        loser = makes_room((session.token for session in sessions), token, MOST)
        if loser is not None:
            self._drop(next(session for session in sessions if session.token == loser))
        secret = LogIn(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._add(
            BrowserSession(
                id=secrets.token_hex(8),
                cookie=self._digest("cookie", secret.cookie.encode()),
                key=self._digest("browser key", secret.key.encode()),
                logged_in_at=self._clock.timestamp(),
                issued_at=self._clock.monotonic(),
                user_agent=user_agent[:MOST_AGENT_CHARACTERS],
                token=token,
            )
        )
        return secret

    def find(self, cookie: bytes) -> BrowserSession | None:
        """The session of a cookie (any bytes); None if the cookie is wrong or expired."""
        session = self._sessions.get(self._digest("cookie", cookie))
        return session if session is not None and self._left_s(session) > 0 else None

    def fits(self, session: BrowserSession, key: bytes) -> bool:
        """Whether `key` (any bytes) is the browser key of the session."""
        return hmac.compare_digest(session.key, self._digest("browser key", key))

    def credential(self, session: BrowserSession) -> Credential:
        """The credential of this session's connections."""
        return self._credentials[session.id]

    def all(self) -> list[tuple[BrowserSession, int]]:
        """The sessions, oldest first, each with its remaining seconds."""
        left = [(session, self._left_s(session)) for session in self._sessions.values()]
        return [(session, int(left_s)) for session, left_s in left if left_s > 0]

    def end(self, id_: str) -> bool:
        """Log one browser out; False if there is no such session."""
        for session in self._sessions.values():
            if session.id == id_:
                self._drop(session)
                return True
        return False

    def end_of(self, token: str) -> bool:
        """Log out the browsers that a token let in; False if there are none."""
        found = [session for session in self._sessions.values() if session.token == token]
        for session in found:
            self._drop(session)
        return bool(found)

    def end_all(self) -> None:
        """Log every browser out."""
        for session in tuple(self._sessions.values()):
            self._drop(session)

    def expire(self) -> None:
        """End all expired sessions."""
        for session in tuple(self._sessions.values()):
            if self._left_s(session) <= 0:
                self._drop(session)

    def next_end_s(self) -> float | None:
        """Seconds until the next session expires; None if there are no sessions."""
        left_s = min(map(self._left_s, self._sessions.values()), default=None)
        return None if left_s is None else max(0.0, left_s)

    def keep(self, path: Path, boot_id: str) -> None:
        """Write the sessions to a file, so browsers stay logged in over a restart.

        Raises:
            OSError: the file cannot be written. The old file is deleted, because it may hold
                sessions that have ended.
        """
        kept = _Kept(boot_id, list(self._sessions.values()))
        try:
            write_private(path, msgspec.json.encode(kept).decode())
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def take_back(self, path: Path, boot_id: str) -> None:
        """Restore the sessions that `keep` wrote in this boot; ignore an invalid file."""
        try:
            kept = msgspec.json.decode(read_kept(path, _MOST_BYTES) or "", type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return
        if boot_id and kept.boot_id == boot_id:
            for session in kept.sessions[-2 * MOST :]:
                if self._left_s(session) > 0:
                    self._add(session)

    def _left_s(self, session: BrowserSession) -> float:
        # A session issued in the future is from another clock, so it counts as expired.
        age_s = self._clock.monotonic() - session.issued_at
        return LIFETIME_S - age_s if age_s >= 0 else 0.0

    def _add(self, session: BrowserSession) -> None:
        access = self._access_of(session.token)
        if access is not None:
            self._sessions[session.cookie] = session
            self._credentials[session.id] = Credential("cookie", session.id, access)

    def _drop(self, session: BrowserSession) -> None:
        del self._sessions[session.cookie]
        credential = self._credentials.pop(session.id)
        credential.ended = True
        self._on_end(credential)
