"""`Session`: answers the control messages of one connection. No I/O; the clock is injected."""

from collections.abc import Callable

import msgspec

from ..channels.bus import EventBus
from ..channels.strict_json import check_depth, reason
from ..channels.subscription import Subscription
from ..errors import InvalidDataError, SightlineError
from .messages import (
    Answer,
    ErrorMessage,
    Id,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    decode_control,
    id_of,
)

CONTROL_RATE = 100.0  # control messages a second, after a burst of
CONTROL_BURST = 200.0
_REMEDY = '; send e.g. {"type":"subscribe","types":["git.*"]} or {"type":"ping"}'


class TooManyMessagesError(SightlineError):
    """The client exceeded the control-message rate: close 4429."""

    code = "too_many_messages"


class Allowance:
    """A rate limit: `CONTROL_BURST` messages at once, then `CONTROL_RATE` a second."""

    __slots__ = ("_left", "_monotonic", "_refilled_at")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = CONTROL_BURST
        self._refilled_at = monotonic()

    def spend(self) -> bool:
        """Use one message of the allowance; False if none is left."""
        now = self._monotonic()
        refill = (now - self._refilled_at) * CONTROL_RATE
        self._left = min(CONTROL_BURST, self._left + refill)
        self._refilled_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Session:
    """One client's filter and its control messages."""

    __slots__ = ("_allowance", "_bus", "_on_mistake", "_subscription")

    def __init__(
        self,
        bus: EventBus,
        subscription: Subscription,
        on_mistake: Callable[[str], None] = lambda code: None,
    ) -> None:
        """`on_mistake` is called with the code of each error answer."""
        self._on_mistake = on_mistake
        self._bus = bus
        self._subscription = subscription
        self._allowance = Allowance(bus.clock.monotonic)

    def handle(self, text: str) -> Answer:
        """Carry out one control message and return the answer. A binary frame comes as empty text.

        Raises:
            TooManyMessagesError: over 100 a second after a burst of 200.
        """
        if not self._allowance.spend():
            raise TooManyMessagesError(
                f"over {CONTROL_RATE:.0f} control messages a second: wait a minute, then reconnect"
            )
        if not text:
            return self._error("binary_frame", "a frame is empty or binary: send JSON as text")
        id_: Id = msgspec.UNSET
        encoded = text.encode(errors="surrogatepass")
        try:
            check_depth("the message", encoded)
            message = decode_control(encoded)
            id_ = message.id
            if isinstance(message, Ping):
                return Pong(self._bus.clock.timestamp(), id_)
            current = self._subscription.filter
            self._subscription.refilter(
                current.with_patterns(message.types)
                if isinstance(message, Subscribe)
                else current.without_patterns(message.types)
            )
        except InvalidDataError as error:
            return self._error("invalid_message", str(error) + _REMEDY)
        except SightlineError as error:
            return self._error(error.code, str(error), id_)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            return self._error("invalid_message", reason(error, encoded) + _REMEDY, id_of(encoded))
        return Subscribed(self._subscription.filter.patterns, self._bus.head, id_)

    def _error(self, code: str, message: str, id_: Id = msgspec.UNSET) -> ErrorMessage:
        self._on_mistake(code)
        return ErrorMessage(code, message, id_)
