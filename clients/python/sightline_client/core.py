"""What a client knows and decides: no socket, no clock, no chance of its own.

The I/O around it (`stream`, `sync`) opens a connection with `parameters`, hands the first
text to `begin` and each later one to `receive`, calls `processed` when the consumer asks for the next item, and `wait_s` after a failure.
"""

from collections.abc import Iterable

import msgspec

from sightline_client.errors import ProtocolError, SightlineError
from sightline_client.events import DATA_CLASSES, KnownData
from sightline_client.messages import (
    Complaint,
    Connected,
    Event,
    Gap,
    Heartbeat,
    Item,
    Position,
    decode,
)

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 30.0
SILENCE_GRACE_S = 10.0  # by as much a heartbeat may be late: what the browser client allows too
HANDSHAKE_S = 10.0
_TYPES: dict[type[msgspec.Struct], str] = {data: type_ for type_, data in DATA_CLASSES.items()}


def type_of(data: type[msgspec.Struct]) -> str:
    """The event type whose data the class describes.

    Raises:
        TypeError: it is not a class of `sightline_client.events`.
    """
    type_ = _TYPES.get(data)
    if type_ is None:
        raise TypeError(f"{data.__qualname__} is not an event class of sightline_client.events")
    return type_


def backoff_s(attempt: int, random: float) -> float:
    """Full jitter: `random` from [0, 1), `attempt` counted from 0 since the last `connected`."""
    return random * min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 10))


class Core:
    """One client's life over all its connections."""

    def __init__(
        self,
        client_id: str,
        types: Iterable[str | type[KnownData]] | None = None,
        position: Position | None = None,
        give_up_after_s: float | None = None,
    ) -> None:
        self.position = position
        """The last number processed: where the next connection resumes."""
        self.connected: Connected | None = None
        """What the gateway said when the latest connection began."""
        self._client_id = client_id
        self._types = None if types is None else [_pattern(entry) for entry in types]
        self._next: Position | None = None  # the position once the item handed out is processed
        self._attempt = 0
        self._give_up_after_s = give_up_after_s
        self._down_since: float | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The query of the upgrade."""
        query = {"client_id": self._client_id}
        if self._types is not None:
            query["types"] = ",".join(self._types)
        if self.position is not None:
            query["last_sequence_number"] = str(self.position.sequence_number)
            if self.position.epoch is not None:
                query["epoch"] = self.position.epoch
        return query

    @property
    def silence_s(self) -> float:
        """How long nothing may arrive before the connection counts as dead."""
        assert self.connected is not None, "begin() comes first"
        return self.connected.heartbeat_interval_s + SILENCE_GRACE_S

    def begin(self, text: str) -> None:
        """Read the first message of a connection.

        Raises:
            ProtocolError: it is not `connected`, so this is no gateway.
        """
        connected = decode(text)
        if not isinstance(connected, Connected):
            raise ProtocolError(f"expected connected first, got {text[:80]!r}: is it a gateway?")
        self.connected = connected
        self._attempt = 0
        self._down_since = None
        if self.position is None:
            self.position = Position(connected.sequence_number, connected.epoch)
        elif self.position.epoch is None:  # the gateway took it as the current one
            self.position = Position(self.position.sequence_number, connected.epoch)

    def receive(self, text: str) -> Item | None:
        """Read a later message; return what the consumer is to hear. What was before is processed.

        Raises:
            ProtocolError: a message that makes no sense, or a complaint; the stream goes on.
        """
        assert self.connected is not None, "begin() comes first"
        epoch = self.connected.epoch
        match message := decode(text):
            case Event() if not self._is_above(message.sequence_number, epoch):
                return None
            case Event():
                self._next = Position(message.sequence_number, epoch)
                return message
            case Gap():
                self._next = self._after(message, epoch)
                return message
            case Heartbeat(sequence_number=number):
                position = self.position
                # Into another epoch only a gap leads, or the loss would go unsaid.
                if position and position.epoch == epoch and number > position.sequence_number:
                    self.position = Position(number, epoch)
            case Complaint():
                raise ProtocolError(f"the gateway complains: {message.message} ({message.code})")
        return None

    def processed(self) -> None:
        """The consumer asks for the next item, so it has processed the one before."""
        if self._next is not None:
            self.position, self._next = self._next, None

    def wait_s(self, failure: SightlineError, now: float, random: float) -> float:
        """Return how many seconds to wait before the next connection.

        Raises:
            SightlineError: `failure` itself, where trying again does not help or was in vain for
                too long.
        """
        if self._down_since is None:
            self._down_since = now
        patience_s = self._give_up_after_s
        if not failure.temporary or (
            patience_s is not None and now - self._down_since >= patience_s
        ):
            raise failure
        wait_s = max(failure.wait_s, backoff_s(self._attempt, random))
        self._attempt += 1
        return wait_s

    def _is_above(self, number: int, epoch: str) -> bool:
        position = self.position
        return position is None or position.epoch != epoch or number > position.sequence_number

    def _after(self, gap: Gap, epoch: str) -> Position | None:
        if gap.reason == "epoch_changed":  # only now: a connection lost before hears the gap again
            return Position(gap.to_sequence_number or 0, epoch)
        end = gap.to_sequence_number
        return Position(end, epoch) if end is not None and self._is_above(end, epoch) else None


def _pattern(entry: str | type[KnownData]) -> str:
    return entry if isinstance(entry, str) else type_of(entry)
