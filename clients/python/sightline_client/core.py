"""The decisions of a client, without a socket, a clock or randomness of its own.

The I/O around it (`stream`, `sync`) opens a connection with `parameters`, hands the first text to
`begin` and each later one to `read`, which gives the entry for the `Inbox`, and calls `wait_s` after
a failure. For the consumer it calls `processed` and then `hand_out` with the next entry.
"""

from collections.abc import Iterable

import msgspec

from sightline_client.errors import ProtocolError, SightlineError, UnavailableError
from sightline_client.events import DATA_CLASSES, KnownData
from sightline_client.inbox import EPOCH_CHANGED, Entry
from sightline_client.messages import (
    Complaint,
    Connected,
    Event,
    Gap,
    Heartbeat,
    Item,
    Position,
    decode,
    loss_in,
)

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 30.0
SILENCE_GRACE_S = 10.0  # how late a heartbeat may be; the browser client allows the same
HANDSHAKE_S = 10.0
STABLE_S = 60.0  # a connection that lasts this long resets the count of failures
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
    """Full jitter: `random` from [0, 1), `attempt` counted from 0 since the last stable minute."""
    return random * min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 10))


def pause_s(failure: SightlineError, attempt: int, random: float) -> float:
    """How long to wait after a failure: at least as long as the failure asks for.

    What a gateway asks for, all its clients hear at once, so they spread over as long again.
    """
    if isinstance(failure, UnavailableError):
        return failure.wait_s + max(random * failure.wait_s, backoff_s(attempt, random))
    return max(failure.wait_s, backoff_s(attempt, random))


class Core:
    """The state of one client over all its connections."""

    def __init__(
        self,
        client_id: str,
        types: Iterable[str | type[KnownData]] | None = None,
        position: Position | None = None,
        give_up_after_s: float | None = None,
    ) -> None:
        self.position = position
        """The last number processed: where another process resumes."""
        self.connected: Connected | None = None
        """The `connected` message of the latest connection."""
        self._client_id = client_id
        self._types = None if types is None else [pattern(entry) for entry in types]
        self._received = position  # the last number read: where the next connection resumes
        self._next: Position | None = None  # the position once the item handed out is processed
        self._attempt = 0
        self._retry_at: float | None = None  # when the latest connection was due
        self._give_up_after_s = give_up_after_s
        self._down_since: float | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The query of the upgrade."""
        query = {"client_id": self._client_id}
        if self._types is not None:
            query["types"] = ",".join(self._types)
        if self._received is not None:
            query["last_sequence_number"] = str(self._received.sequence_number)
            if self._received.epoch is not None:
                query["epoch"] = self._received.epoch
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
        self._down_since = None
        if self._received is None:
            self._received = self.position = Position(connected.sequence_number, connected.epoch)
        elif self._received.epoch is None:  # the gateway took it as the current one
            self._received = Position(self._received.sequence_number, connected.epoch)
            self.position = self._received

    def read(self, text: str) -> Entry | None:
        """Read a later message. None if it brings nothing, or only what was read before.

        Raises:
            ProtocolError: a message that makes no sense, or a complaint; the stream goes on.
        """
        assert self.connected is not None, "begin() comes first"
        epoch = self.connected.epoch
        match message := decode(text):
            case Event(sequence_number=number) if self._is_above(number, epoch):
                return self._entry(message, Position(number, epoch))
            case Gap():
                return self._entry(message, self._after(message, epoch))
            case Heartbeat(sequence_number=number):
                received = self._received
                # Only a gap leads into another epoch, or a loss would not be reported.
                if received and received.epoch == epoch and number > received.sequence_number:
                    return self._entry(None, Position(number, epoch))
            case Complaint():
                raise ProtocolError(f"the gateway complains: {message.message} ({message.code})")
        return None

    def unreadable(self, text: str) -> Entry | None:
        """The gap for a message that `read` refused; None if no event is lost."""
        assert self.connected is not None, "begin() comes first"
        gap = loss_in(text)
        return self._entry(gap, self._after(gap, self.connected.epoch)) if gap else None

    def hand_out(self, entry: Entry) -> Item | None:
        """The next item for the consumer; the items before it are processed."""
        if entry.item is None:
            self.position = entry.after
        else:
            self._next = entry.after
        return entry.item

    def receive(self, text: str) -> Item | None:
        """`read` and `hand_out` in one call, for a consumer without an inbox."""
        entry = self.read(text)
        return None if entry is None else self.hand_out(entry)

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
        if self._retry_at is not None and now - self._retry_at >= STABLE_S:
            self._attempt = 0
        wait_s = pause_s(failure, self._attempt, random)
        self._attempt += 1
        self._retry_at = now + wait_s
        return wait_s

    def _entry(self, item: Item | None, after: Position | None) -> Entry:
        self._received = after or self._received
        return Entry(item, after)

    def _is_above(self, number: int, epoch: str) -> bool:
        position = self._received
        return position is None or position.epoch != epoch or number > position.sequence_number

    def _after(self, gap: Gap, epoch: str) -> Position | None:
        if gap.reason == EPOCH_CHANGED:  # only now: a connection lost before gets the gap again
            return Position(gap.to_sequence_number or 0, epoch)
        end = gap.to_sequence_number
        return Position(end, epoch) if end is not None and self._is_above(end, epoch) else None


def pattern(entry: str | type[KnownData]) -> str:
    """The pattern for a pattern or an event class."""
    return entry if isinstance(entry, str) else type_of(entry)
