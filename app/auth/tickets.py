"""`Tickets`: one-time values, each of which logs one browser in."""

import secrets
from collections.abc import Callable

from ..events import Clock
from .access import SESSION
from .shares import makes_room

TICKET_LIFETIME_S = 300
MAX_TICKETS = 100


class Tickets:
    """One-time values: at most `most` of the session token are valid, and as many of all others.

    A new one replaces an old one as `makes_room` says.

    Only fingerprints are stored, so a look-up takes the same time for every wrong value.
    """

    def __init__(
        self, digest: Callable[[bytes], str], clock: Clock, lifetime_s: float, most: int
    ) -> None:
        self._digest = digest
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._most = most
        self._issued: dict[str, tuple[float, str]] = {}  # oldest first; monotonic seconds, maker

    def issue(self, maker: str = SESSION) -> str:
        """Make a new ticket; `maker` is the id of the named token that asked, or `SESSION`."""
        makers = [one for _, one in self._issued.values()]
        loser = makes_room(makers, maker, self._most)
        if loser is not None:
            del self._issued[next(key for key, one in self._issued.items() if one[1] == loser)]
        value = secrets.token_urlsafe(32)
        self._issued[self._digest(value.encode())] = self._clock.monotonic(), maker
        return value

    def spend(self, value: bytes) -> bool:
        """Whether `value` (any bytes) is a valid ticket; it is invalid afterwards."""
        return self.take(value) is not None

    def take(self, value: bytes) -> str | None:
        """Like `spend`, but return the ticket's maker; None if the ticket is not valid.

        There is no `await`, so only one of two concurrent uses succeeds.
        """
        issued_at, maker = self._issued.pop(self._digest(value), (None, ""))
        if issued_at is None or not 0 <= self._clock.monotonic() - issued_at < self._lifetime_s:
            return None
        return maker

    def clear(self) -> None:
        """Make all tickets invalid."""
        self._issued.clear()
