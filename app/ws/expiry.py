"""`Expiry`: closes the connection of a credential that ends by itself, when it does."""

from ..errors import CloseCode
from ..events import Clock, Timer
from .registry import Place

MOST_TIMER_S = 60.0  # then it looks again: the wall clock may have jumped, or the machine slept
AGAIN = "connect again: the proxy says whether you are still logged in"
ENDED = "your token has expired: connect with a new one"


class Expiry:
    """One timer of a place. Nothing to do for a credential that others end."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._timer: Timer | None = None
        self._look()

    def _look(self) -> None:
        credential = self._place.credential
        left_s = None if credential is None else credential.left_s
        if credential is None or left_s is None:
            return
        if left_s > 0:
            self._timer = self._clock.call_later(min(left_s, MOST_TIMER_S), self._look)
        elif credential.kind == "user":  # the client resumes, if the proxy lets it in again
            self._place.close(CloseCode.RESTART, AGAIN)
        else:
            self._place.close(CloseCode.UNAUTHORIZED, ENDED)

    def cancel(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
