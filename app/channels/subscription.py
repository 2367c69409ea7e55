"""`Subscription`: one consumer of the stream, its filter and its queue."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..errors import SubscriptionClosedError
from ..events import Event, Gap
from .filters import EventFilter
from .owner import Owner
from .queue import EventQueue, QueueBounds as QueueBounds
from .replay import Replay

if TYPE_CHECKING:
    from .bus import EventBus


class DirectWriter(Protocol):
    """Where the bus writes ready frames of a consumer that keeps up."""

    def write(self, frames: bytes) -> None:
        """Take them all, at once; may call `Subscription.fall_behind` before it returns."""

    def fail(self, error: Exception) -> None:
        """End the consumer's connection after `write` raised `error`."""


class Subscription:
    """The events of the stream that match a filter: in order, once; every loss is reported.

    A consumer is *behind* (it takes from `queue`, an `asyncio.Queue`) or *direct* (the bus writes to
    it, and the queue is empty). It begins behind, with its replay in the queue. A consumer in this
    process stays behind, and may as well use `queue` alone: `await subscription.queue.get()`.
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
    ) -> None:
        self.filter = event_filter  # changed by `refilter` alone: the bus groups by it
        self.queue = EventQueue(owner, bus.counters, bounds, replay, on_gap)
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
        """Return the next item, or None when nothing is owed now. Never waits."""
        return self.queue.take()

    @property
    def position(self) -> int:
        """The last number handed over or filtered out: a client may move there."""
        if (position := self.queue.position) is None:
            self._bus.flush()  # what a direct consumer is owed in this turn
            position = self.queue.position
        return self._bus.head if position is None else position

    def settle(self) -> int:
        """End the turn: the last number given, up to which all is written or is owed here."""
        self._bus.flush()
        return self._bus.head

    def refilter(self, event_filter: EventFilter) -> None:
        """Use another filter for later events; what is owed already is not touched."""
        if not self.closed:
            self._bus.refilter(self, event_filter)

    def go_direct(self, writer: DirectWriter) -> bool:
        """Have the bus write to `writer` from the next event on; False while something is owed."""
        if self.owed or self.closed:
            return False
        self._bus.go_direct(self, writer)
        return True

    def fall_behind(self) -> None:
        """Take from the queue again, from the next event on."""
        if not self.closed:
            self._bus.fall_behind(self)

    async def wait(self) -> None:
        """Wait until something is owed, or `wake` or `close` is called; cancelling loses nothing."""
        await self.queue.wait()

    def wake(self) -> None:
        """Let `wait` return although nothing new is owed (the outlet has a control message)."""
        self.queue.wake()

    def close(self) -> None:
        """Leave the bus; a waiting consumer ends. Closing twice is fine."""
        if not self.closed:
            self._bus.leave(self)
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
