"""The session token, login tickets and browser sessions, without any HTTP."""

import hmac
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from ..events import Clock, Timer
from ..settings import Settings
from ..state import (
    BROWSERS_FILE,
    TOKEN_FILE,
    redirect_file,
    write_private,
)
from .access import FULL, HOOKS, SESSION, Access
from .audit import Audit
from .bearers import Bearers, bearers_of
from .browsers import BrowserSessions, LogIn
from .credentials import Credential
from .named import Change, NamedToken, NamedTokens
from .proof import hook_token, proof, run_token
from .session_token import SessionToken as SessionToken, session_token as session_token
from .tickets import MAX_TICKETS, TICKET_LIFETIME_S as TICKET_LIFETIME_S, Tickets as Tickets
from .token_bucket import TokenBucket, Value
from .token_file import TokenFile
from .trusted_users import users_of

MOST_TIMER_S = 24 * 60 * 60.0  # event loops refuse timers of years
MOST_USED = 10_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = structlog.get_logger("sightline.login")


def _hook_credential() -> Credential:
    return Credential("token", access=Access(HOOKS, ("publish",)))


class Keyring:
    """All credentials of a gateway: issues, checks and ends them."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        on_end: Callable[[Credential], None] = lambda credential: None,
        audit: Audit | None = None,
        shared: Value | None = None,
    ) -> None:
        """`on_end` closes the connections that an ended credential opened.

        `shared` has the named tokens and has been read; without it, they are in the state folder.
        """
        self.audit = audit or Audit(clock)
        self._used = set[str]()  # in this run: ids of tokens, and names of users
        self.users = users_of(settings, clock)
        self.bearers: Bearers | None = bearers_of(settings, clock)
        self.allowed_origins = settings.allowed_origins
        self.session_token = session_token(settings)
        self.token_credential = Credential("token")
        self.hook_credential = _hook_credential()
        self.named = NamedTokens(clock, self._end_named)
        self.token_store: TokenFile | TokenBucket = (
            TokenFile(settings.state_dir, self.named, self._changed)
            if shared is None
            else TokenBucket(shared, self.named, self._changed)
        )
        self.tickets = Tickets(
            partial(self._digest, "ticket"), clock, TICKET_LIFETIME_S, MAX_TICKETS
        )
        self.browser_sessions = BrowserSessions(self._digest, clock, on_end, self._access_of)
        self.run = secrets.token_urlsafe(16)  # names this run of the gateway to clients
        self._settings = settings
        self._clock = clock
        self._on_end = on_end
        self._kept_in = settings.state_dir / BROWSERS_FILE
        self._boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
        self._watching = False
        self._timer: Timer | None = None
        self.token_store.read()
        self.browser_sessions.take_back(self._kept_in, self._boot_id)

    def is_token(self, candidate: bytes, address: str | None) -> bool:
        """Whether `candidate` is the session token, or the run token for `address`: see `proof`."""
        if self.session_token.matches(candidate):
            return True
        if address is None:
            return False
        stand_in = run_token(self.session_token.reveal(), self.run, address)
        return hmac.compare_digest(stand_in.encode(), candidate)

    def is_hook_token(self, candidate: bytes) -> bool:
        """Whether `candidate` is what `sightline hooks install` wrote for an agent."""
        expected = hook_token(self.session_token.reveal())
        return hmac.compare_digest(expected.encode(), candidate)

    def credential_of(
        self, candidate: bytes, address: str | None, *, is_hook: bool = False
    ) -> Credential | None:
        """The credential of a token of any kind; the hook token counts only with `is_hook`."""
        if self.is_token(candidate, address):
            return self.token_credential
        if is_hook and self.is_hook_token(candidate):
            return self.hook_credential
        found = self.named.find(candidate)
        if found is not None:
            self._use(found.id, "token_used", found)
        elif self.bearers is not None:
            found = self.bearers.credential(candidate)
            if found is not None:
                self._use(found.access.name, "token_used", found)
        return found

    def credential_of_user(self, name: str) -> Credential:
        """The credential of a user whom a trusted proxy names; raises `ForbiddenError`."""
        assert self.users is not None
        found = self.users.credential(name)
        self._use(found.access.name, "user_seen", found)
        return found

    @property
    def knows_users(self) -> bool:
        """Whether there may be others than the session token: only then is anything signed."""
        return self.named.configured or self.users is not None or self.bearers is not None

    def _use(self, key: str, action: str, credential: Credential) -> None:
        if key not in self._used:
            if len(self._used) >= MOST_USED:  # a proxy or an issuer may name any number of users
                self._used.clear()
            self._used.add(key)
            self.audit.record(action, credential.access.name)

    def make_ticket(self, credential: Credential) -> str:
        """Make a ticket; the browser that it logs in may do what this credential may do."""
        self.audit.record("ticket_made", credential.access.name)
        return self.tickets.issue(SESSION if credential.access is FULL else credential.id)

    def prove(self, nonce: str, address: str) -> str:
        """Answer a client's challenge; see `app.auth.proof`."""
        return proof(self.session_token.reveal(), nonce, self.run, address)

    def log_in(self, ticket: bytes, user_agent: str = "") -> LogIn | None:
        """Exchange a ticket for a browser session; None if the ticket is not valid."""
        maker = self.tickets.take(ticket)
        access = None if maker is None else self._access_of(maker)
        if maker is None or access is None:
            return None
        redirect_file(self._settings.state_dir, ticket.decode()).unlink(missing_ok=True)
        secret = self.browser_sessions.begin(user_agent, maker)
        self.audit.record("logged_in", access.name)
        self._keep()
        return secret

    def end_session(self, id_: str) -> bool:
        """Log one browser out and close its connections; False if there is no such session."""
        ended = self.browser_sessions.end(id_)
        if ended:
            self.audit.record("logged_out", session=id_)
        self._keep()
        return ended

    def end_sessions(self) -> None:
        """Log every browser out and close their connections."""
        self.audit.record("all_logged_out")
        self.browser_sessions.end_all()
        self._keep()

    def rotate(self) -> None:
        """Replace the session token, also in the file; close its connections and log browsers out.

        Raises:
            OSError: the file cannot be written; nothing has changed.
        """
        value = secrets.token_urlsafe(32)
        write_private(self._settings.state_dir / TOKEN_FILE, value)
        self.session_token = SessionToken(value)
        self.audit.record("session_token_rotated", SESSION)
        ended, self.token_credential = self.token_credential, Credential("token")
        ended.ended = self.hook_credential.ended = True  # the hook token follows from the token
        self.hook_credential = _hook_credential()
        self._on_end(ended)
        self.tickets.clear()  # they may have been made with the old token
        self.end_sessions()
        if self._settings.session_token is not None:
            _log.warning(
                "token_comes_back",
                setting="SIGHTLINE_SESSION_TOKEN",
                remedy="change it, or the next start brings the old token back",
            )

    def _access_of(self, token_id: str) -> Access | None:
        """What the token of an id may do, or the session token; None if it ended."""
        if token_id == SESSION:
            return FULL
        credential = self.named.credential(token_id)
        return None if credential is None else credential.access

    def _end_named(self, token: NamedToken, credential: Credential) -> None:
        """Close what a named token has opened, and log out the browsers that it let in."""
        self._on_end(credential)
        self._used.discard(token.id)
        if self.browser_sessions.end_of(token.id):
            self._keep()

    def watch(self) -> None:
        """Start to end sessions and tokens as they expire, with one timer for the next expiry."""
        self._watching = True
        self._expire()

    def close(self) -> None:
        """Stop the timer."""
        self._watching = False
        if self._timer is not None:
            self._timer.cancel()

    def _digest(self, purpose: str, value: bytes) -> str:
        """A fingerprint for one purpose; it changes with the session token."""
        return self.session_token.digest(purpose.encode() + b"\n" + value)

    def _keep(self) -> None:
        try:
            self.browser_sessions.keep(self._kept_in, self._boot_id)
        except OSError as error:  # a full disk must not prevent a login
            _log.warning("browser_session_not_kept", error=error.strerror)
        self._set_timer()

    def _changed(self, changes: list[Change]) -> None:
        """Record what happened to named tokens; what the start finds is no change."""
        self.audit.publishes = self.knows_users or bool(changes)
        for action, token in changes if self._watching else ():
            self.audit.record(action, token.name, scopes=list(token.scopes))
        self._set_timer()

    def _expire(self) -> None:
        self.browser_sessions.expire()
        self._changed(self.named.expire())

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends = (self.browser_sessions.next_end_s(), self.named.next_end_s())
        left = [left_s for left_s in ends if left_s is not None]
        if self._watching and left:
            self._timer = self._clock.call_later(min(min(left), MOST_TIMER_S), self._expire)
