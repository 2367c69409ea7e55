"""`Subscription`: one consumer of the stream, its filter and its queue."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..errors import SubscriptionClosedError
from ..events import Event, Gap
from ..metrics import Counters
from .filters import EventFilter
from .owner import Owner
from .queue import EventQueue, QueueBounds as QueueBounds
from .replay import Replay

if TYPE_CHECKING:
    from .bus import EventBus


class DirectWriter(Protocol):
    """Where the bus writes the ready frames of a direct consumer."""

    def write(self, frames: bytes) -> None:
        """Take all frames at once. May call `Subscription.fall_behind` before it returns."""

    def fail(self, error: Exception) -> None:
        """End the consumer's connection after `write` raised `error`."""


class Subscription:
    """The events of the stream that match a filter: in order, once; every loss is reported.

    A consumer takes from `queue`, an `asyncio.Queue`, which has its replay at the start and gets
    each event at once. So it is for code in this process, which may also use `queue` alone:
    `await subscription.queue.get()`. A connection is *behind* (its queue is filled once a turn) or
    *direct* (the bus writes to it once a turn, and the queue is empty).
    """

    __slots__ = ("_bus", "filter", "queue")

    def __init__(
        self,
        bus: "EventBus",
        owner: Owner,
        event_filter: EventFilter,
        bounds: QueueBounds,
        replay: Replay,
        on_gap: Callable[[Gap], None],
        counters: Counters | None = None,
    ) -> None:
        """`counters` are those of the bus by default."""
        self.filter = event_filter  # changed only by `refilter`: the bus groups by it
        self.queue = EventQueue(owner, counters or bus.counters, bounds, replay, on_gap)
        self._bus = bus

    def __len__(self) -> int:
        return self.queue.qsize()

    @property
    def closed(self) -> bool:
        """Whether the subscription has left the bus."""
        return self.queue.closed

    @property
    def dropped(self) -> int:
        """How many events this consumer has lost since it joined."""
        return self.queue.dropped

    @property
    def owed(self) -> bool:
        """Whether `take` has something to return."""
        return not self.queue.empty()

    def take(self) -> Event | Gap | None:
        """Return the next item, or None if none is owed. Never waits."""
        return self.queue.take()

    def take_run(self, most_bytes: int, last: int | None = None) -> list[Event]:
        """Return the next events, bounded; none if a gap comes first. See `EventQueue.take_run`."""
        return self.queue.take_run(most_bytes, last)

    @property
    def position(self) -> int:
        """The last number handed over or filtered out: the position to resume from."""
        if (position := self.queue.position) is None:
            self._bus.flush()  # a connection is owed the events of this turn
            position = self.queue.position
        return self._bus.head if position is None else position

    def settle(self) -> int:
        """Flush the turn and return the head: every event up to it is written or in the queue."""
        self._bus.flush()
        return self._bus.head

    def refilter(self, event_filter: EventFilter) -> None:
        """Use another filter for later events; owed items stay."""
        if not self.closed:
            self._bus.groups.refilter(self, event_filter)

    def go_direct(self, writer: DirectWriter) -> bool:
        """Have the bus write to `writer` from the next event on; False while an item is owed."""
        return not self.closed and self._bus.groups.go_direct(self, writer)

    def fall_behind(self) -> None:
        """Have the queue filled once a turn, from the next event on: for a connection."""
        if not self.closed:
            self._bus.groups.fall_behind(self)

    async def wait(self) -> None:
        """Wait until an item is owed, or `wake` or `close` is called. Cancelling loses no item."""
        await self.queue.wait()

    def wake(self) -> None:
        """Make `wait` return without a new item (the outlet has a control message)."""
        self.queue.wake()

    def close(self) -> None:
        """Leave the bus and end a waiting consumer. A second call does nothing."""
        if not self.closed:
            self._bus.groups.leave(self)
            self.queue.close()

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event | Gap:
        try:
            return await self.queue.get()
        except SubscriptionClosedError:
            raise StopAsyncIteration from None
