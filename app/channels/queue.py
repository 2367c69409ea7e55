"""`EventQueue`: the `asyncio.Queue` of one subscription. When it is full, the oldest event is dropped."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident

import msgspec

from ..errors import SubscriptionClosedError
from ..events import Event, Gap
from ..metrics import Counters
from .owner import Owner
from .replay import Replay


class QueueBounds(msgspec.Struct, frozen=True):
    """How much one consumer may be behind before it loses the oldest."""

    events: int
    max_bytes: int


class EventQueue(asyncio.Queue[Event | Gap]):
    """The items that a consumer is owed: events in order, each once, and a gap for every loss.

    `maxsize`, `qsize` and `full` count events; a gap takes no place. One consumer or several may
    `get`: each item goes to one of them.

    Invariant: what is owed is `_gaps`, then the loss that is still going on, then `_queue`. Only
    the oldest event is ever dropped, so a loss always lies there and needs no place of its own.
    """

    # What the base class has, in every version of Python, and typeshed leaves out.
    _maxsize: int
    _getters: deque[asyncio.Future[None]]
    _unfinished_tasks: int
    _finished: asyncio.Event
    _wakeup_next: Callable[[deque[asyncio.Future[None]]], None]

    def __init__(
        self,
        owner: Owner,
        counters: Counters,
        bounds: QueueBounds,
        replay: Replay,
        on_gap: Callable[[Gap], None],
    ) -> None:
        """Begin with what `replay` holds. `on_gap` is called with each gap handed over."""
        self.dropped = 0  # events lost to this consumer since it joined
        self.closed = False
        self._owner = owner
        self._counters = counters
        self._max_bytes = bounds.max_bytes
        self._on_gap = on_gap
        self._reported = 0  # of `dropped`, those that a gap has reported; the others are one loss,
        self._first_lost = self._last_lost = 0  # from this number to that
        self._gaps: list[Gap] = [*replay.gaps]
        super().__init__(bounds.events)
        self._queue.extend(replay.events)
        self._bytes = sum(len(event.encoded) for event in replay.events)
        self._owe_more(len(replay.gaps) + len(replay.events))

    def _init(self, maxsize: int) -> None:
        self._queue: deque[Event] = deque()

    def _put(self, event: Event) -> None:  # type: ignore[override]  # a gap is never put
        events = self._queue
        events.append(event)
        self._bytes += len(event.encoded)
        # An event bigger than the whole bound still goes in: `while` leaves the newest.
        while len(events) > self._maxsize or (self._bytes > self._max_bytes and len(events) > 1):
            oldest = events.popleft()
            self._bytes -= len(oldest.encoded)
            self._last_lost = oldest.sequence_number
            if self.dropped == self._reported:
                self._first_lost = self._last_lost
            else:
                self._unfinished_tasks -= 1  # the first one's place is the gap's
            self.dropped += 1
            self._counters.dropped["slow_consumer"] += 1

    def _get(self) -> Event | Gap:
        if self._gaps or self.dropped > self._reported:
            gap = self._gaps.pop(0) if self._gaps else self._loss()
            self._counters.gaps[gap.reason] += 1
            self._on_gap(gap)
            return gap
        event = self._queue.popleft()
        self._bytes -= len(event.encoded)
        self._counters.delivered += 1
        return event

    def put_nowait(self, event: Event) -> None:  # type: ignore[override]
        """Add an event, and drop the oldest when full. Never raises `QueueFull`."""
        self._put(event)
        if not self._unfinished_tasks:
            self._finished.clear()
        self._unfinished_tasks += 1
        if self._getters:
            self._wakeup_next(self._getters)

    async def put(self, event: Event) -> None:  # type: ignore[override]
        """Add an event at once, as `put_nowait`: a queue that drops never lets a publisher wait."""
        self.put_nowait(event)

    def _loss(self) -> Gap:
        lost, self._reported = self.dropped - self._reported, self.dropped
        return Gap(self._first_lost, self._last_lost, lost, "slow_consumer")

    def interrupt(self, gap: Gap) -> None:
        """Replace everything owed with `gap`, but keep an unreported `epoch_changed`."""
        kept = [one for one in self._gaps if one.reason == "epoch_changed" != gap.reason]
        owed = len(self._gaps) + (self.dropped > self._reported) + len(self._queue)
        self._reported = self.dropped
        self._gaps = [*kept, gap]
        self._queue.clear()
        self._bytes = 0
        self._owe_more(len(self._gaps) - owed)
        self.wake()

    def _owe_more(self, items: int) -> None:
        """Count for `join`, which waits until each item was taken and then reported by `task_done`."""
        self._unfinished_tasks += items
        if self._unfinished_tasks:
            self._finished.clear()

    def empty(self) -> bool:
        """Whether nothing is owed now, neither an event nor a gap."""
        return not self._queue and not self._gaps  # a loss lies before an event

    def take(self) -> Event | Gap | None:
        """Return the next item, or None when nothing is owed now. Never waits."""
        if get_ident() != self._owner.thread:
            self._owner.require_here()
        return self._get() if self._queue or self._gaps else None

    def get_nowait(self) -> Event | Gap:
        """Return the next item.

        Raises:
            asyncio.QueueEmpty: nothing is owed now.
        """
        self._owner.require_here()
        return super().get_nowait()

    async def get(self) -> Event | Gap:
        """Return the next item as soon as there is one. Cancelling loses nothing.

        Raises:
            SubscriptionClosedError: the subscription is closed, and all that it was owed was taken.
        """
        while (item := self.take()) is None:
            if self.closed:
                raise SubscriptionClosedError("this subscription is closed: subscribe again")
            await self.wait()
        return item

    async def wait(self) -> None:
        """Wait until something is owed, or `wake` or `close` is called. Cancelling loses nothing."""
        self._owner.require_here()
        if not self.empty() or self.closed:
            return
        getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._getters.remove(getter)
            if not self.empty():  # it was this one's turn: another one takes it
                self._wakeup_next(self._getters)
            raise

    def wake(self) -> None:
        """Let every `wait` return although nothing new may be owed."""
        while self._getters:
            self._wakeup_next(self._getters)

    def close(self) -> None:
        """Let every `get` end once all that is owed has been taken."""
        self.closed = True
        self.wake()

    @property
    def position(self) -> int | None:
        """The number before the next item that is owed, or None when nothing is owed."""
        if self._gaps:
            first = self._gaps[0].from_sequence_number
            return 0 if first is None else first - 1
        if self.dropped > self._reported:
            return self._first_lost - 1
        return self._queue[0].sequence_number - 1 if self._queue else None

    def __repr__(self) -> str:
        """Its size alone: a thousand events would fill the log."""
        return f"<EventQueue {self.qsize()} of {self.maxsize} events, dropped {self.dropped}>"

    __str__ = __repr__
