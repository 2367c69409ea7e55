"""`Subscription`: what one consumer is owed. Bounded, drop-oldest, and every loss becomes a gap."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from app.channels.replay import Replay
from app.events import Event, Gap
from app.filters import EventFilter

if TYPE_CHECKING:
    from app.channels.bus import EventBus


class QueueBounds(msgspec.Struct, frozen=True):
    """How much one consumer may be behind before it loses the oldest."""

    events: int
    max_bytes: int


class DirectWriter(Protocol):
    """Where the bus writes ready frames of a consumer that keeps up."""

    def write(self, frames: bytes) -> None:
        """Take them all, at once; may call `Subscription.fall_behind` before it returns."""

    def fail(self, error: Exception) -> None:
        """End the consumer's connection after `write` raised `error`."""


class Subscription:
    """The events of the stream that match a filter, in order, each once, loss said.

    A consumer is *behind* (it takes from the queue here) or *direct* (the bus writes to it, and
    the queue is empty). It begins behind, by its replay.

    Invariant: what is owed is `_gaps`, then the loss that is still going on, then `_events`. Only
    the oldest event is ever dropped, so a loss always lies there and needs no place of its own.
    """

    __slots__ = (
        *("_bus", "_bytes", "_events", "_first_lost", "_gaps", "_last_lost"),
        *("_max_bytes", "_max_events", "_on_gap", "_told", "_waiter"),
        *("closed", "dropped", "filter"),
    )

    def __init__(
        self,
        bus: "EventBus",
        event_filter: EventFilter,
        bounds: QueueBounds,
        replay: Replay,
        on_gap: Callable[[Gap], None],
    ) -> None:
        self.filter = event_filter  # changed by `refilter` alone: the bus groups by it
        self.dropped = 0  # events lost to this consumer since it joined
        self.closed = False
        self._bus = bus
        self._max_events, self._max_bytes = bounds.events, bounds.max_bytes
        self._on_gap = on_gap
        self._gaps: list[Gap] = [*replay.gaps]
        self._events: deque[Event] = deque(replay.events)
        self._bytes = sum(len(event.encoded) for event in self._events)
        self._told = 0  # of `dropped`, how many a gap has told; the others are one loss,
        self._first_lost = self._last_lost = 0  # from this number to that
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._events)

    def offer(self, event: Event) -> None:
        """Take an event that matches; drop the oldest when full. Never waits."""
        events = self._events
        events.append(event)
        self._bytes += len(event.encoded)
        # An event bigger than the whole bound still goes through: `while` leaves the newest.
        while len(events) > self._max_events or (self._bytes > self._max_bytes and len(events) > 1):
            oldest = events.popleft()
            self._bytes -= len(oldest.encoded)
            self._last_lost = oldest.sequence_number
            if self.dropped == self._told:
                self._first_lost = self._last_lost
            self.dropped += 1
            self._bus.counters.dropped["slow_consumer"] += 1
        if self._waiter is not None:
            self.wake()

    def interrupt(self, gap: Gap) -> None:
        """Owe `gap` in place of all that is owed, but for another epoch: the stream goes on elsewhere."""
        self._told = self.dropped
        untold = [one for one in self._gaps if one.reason == "epoch_changed" != gap.reason]
        self._gaps = [*untold, gap]
        self._events.clear()
        self._bytes = 0
        self.wake()

    def take(self) -> Event | Gap | None:
        """Return the next item, or None when nothing is owed now. Never waits."""
        if self._gaps or self.dropped > self._told:
            gap = self._gaps.pop(0) if self._gaps else self._loss()
            self._bus.counters.gaps[gap.reason] += 1
            self._on_gap(gap)
            return gap
        if self._events:
            event = self._events.popleft()
            self._bytes -= len(event.encoded)
            self._bus.counters.delivered += 1
            return event
        return None

    def _loss(self) -> Gap:
        lost, self._told = self.dropped - self._told, self.dropped
        return Gap(self._first_lost, self._last_lost, lost, "slow_consumer")

    @property
    def owed(self) -> bool:
        """Whether `take` has something to return."""
        return bool(self._gaps or self._events)

    @property
    def position(self) -> int:
        """The last number handed over or filtered out: a client may move there."""
        if self._gaps:
            first = self._gaps[0].from_sequence_number
            return 0 if first is None else first - 1
        if self.dropped > self._told:
            return self._first_lost - 1
        if self._events:
            return self._events[0].sequence_number - 1
        self._bus.flush()  # what a direct consumer is owed in this turn
        return self.position if self.owed else self._bus.head

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
        """Wait until something is owed, `wake` or `close` is called; cancelling loses nothing.

        For one consumer: a second one that waits takes the first one's place.
        """
        if not self.owed and not self.closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def wake(self) -> None:
        """Let `wait` return although nothing new is owed (the outlet has a control message)."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        """Leave the bus; a waiting consumer ends. Closing twice is fine."""
        if not self.closed:
            self._bus.leave(self)
            self.closed = True
            self.wake()

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event | Gap:
        while True:
            if (item := self.take()) is not None:
                return item
            if self.closed:
                raise StopAsyncIteration
            await self.wait()
