"""`EventQueue`: the `asyncio.Queue` of one subscription, which drops the oldest when full."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import get_ident

import msgspec

from ..errors import SubscriptionClosedError
from ..events import Event, Gap
from ..metrics import Counters
from .owner import Owner
from .replay import Replay


class QueueBounds(msgspec.Struct, frozen=True):
    """How much one queue may hold before it drops the oldest."""

    events: int
    max_bytes: int


class EventQueue(asyncio.Queue[Event | Gap]):
    """The items owed to a consumer, which it still has to get: events in order, once, and a gap
    for every loss.

    `maxsize`, `qsize` and `full` count events; a gap uses no place. Several consumers may `get`:
    each item goes to one of them.

    Invariant: `_gaps` comes first, then one pending loss, then `_queue`. Only the oldest event is
    dropped, so a pending loss always precedes the events and needs no item of its own.
    """

    # The base class has these in every version of Python; typeshed omits them.
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
        """Start with the items of `replay`. `on_gap` is called with each gap handed over."""
        self.dropped = 0  # events lost to this consumer since it joined
        self.closed = False
        self._owner = owner
        self._counters = counters
        self._max_bytes = bounds.max_bytes
        self._on_gap = on_gap
        self._reported = 0  # drops already reported; the rest are one pending loss
        self._first_lost = self._last_lost = 0  # with this range
        self._gaps: list[Gap] = [*replay.gaps]
        super().__init__(bounds.events)
        self._queue.extend(replay.events)
        self._bytes = sum([len(event.encoded) for event in replay.events])
        self._owe_more(len(replay.gaps) + len(replay.events))

    def _init(self, maxsize: int) -> None:
        self._queue: deque[Event] = deque()

    def _put(self, event: Event) -> None:  # type: ignore[override]  # a gap is never put
        self._queue.append(event)
        self._bytes += len(event.encoded)
        if len(self._queue) > self._maxsize or self._bytes > self._max_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Drop what no longer fits. The newest event stays, even if it alone exceeds the bound."""
        events, size = self._queue, self._bytes
        oldest, held = events[0], len(events)
        first_lost = oldest.sequence_number
        while len(events) > self._maxsize or (size > self._max_bytes and len(events) > 1):
            oldest = events.popleft()
            size -= len(oldest.encoded)
        if not (lost := held - len(events)):
            return
        self._bytes = size
        self._unfinished_tasks -= lost
        if self.dropped == self._reported:
            self._first_lost = first_lost
            self._unfinished_tasks += 1  # the gap of the loss, which counts once
        self._last_lost = oldest.sequence_number
        self.dropped += lost
        self._counters.dropped["slow_consumer"] += lost

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

    def put_all(self, events: Sequence[Event]) -> None:
        """Add events, and drop the oldest when full: as `put_nowait` of each, for less."""
        self._queue.extend(events)
        self._bytes += sum([len(event.encoded) for event in events])
        self._owe_more(len(events))
        if len(self._queue) > self._maxsize or self._bytes > self._max_bytes:
            self._drop_oldest()
        self.wake()

    async def put(self, event: Event) -> None:  # type: ignore[override]
        """Add an event at once, as `put_nowait` does: publishers never wait."""
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
        """Count items for `join`, which waits for one `task_done` per item."""
        self._unfinished_tasks += items
        if self._unfinished_tasks:
            self._finished.clear()

    def empty(self) -> bool:
        """Whether no event and no gap is owed."""
        return not self._queue and not self._gaps  # a pending loss implies an event

    def take(self) -> Event | Gap | None:
        """Return the next item, or None if none is owed. Never waits."""
        if get_ident() != self._owner.thread:
            self._owner.require_here()
        return self._get() if self._queue or self._gaps else None

    def take_run(self, most_bytes: int, last: int | None = None) -> list[Event]:
        """Take events from the front, at less cost than `take` for each; none while a gap is owed.

        The run ends with the event that reaches `most_bytes` (of messages), or before the first event
        above number `last`. Never waits.
        """
        if get_ident() != self._owner.thread:
            self._owner.require_here()
        if self._gaps or self.dropped > self._reported:
            return []
        events, run, size = self._queue, [], 0
        while events and size < most_bytes and (last is None or events[0].sequence_number <= last):
            run.append(event := events.popleft())
            size += len(event.encoded)
        self._bytes -= size
        self._counters.delivered += len(run)
        return run

    def get_nowait(self) -> Event | Gap:
        """Return the next item.

        Raises:
            asyncio.QueueEmpty: none is owed.
        """
        self._owner.require_here()
        return super().get_nowait()

    async def get(self) -> Event | Gap:
        """Return the next item, waiting for one if necessary. Cancelling loses no item.

        Raises:
            SubscriptionClosedError: the subscription is closed, and every owed item was taken.
        """
        while (item := self.take()) is None:
            if self.closed:
                raise SubscriptionClosedError("this subscription is closed: subscribe again")
            await self.wait()
        return item

    async def wait(self) -> None:
        """Wait until an item is owed, or `wake` or `close` is called. Cancelling loses no item."""
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
            if not self.empty():  # this waiter was woken for it: wake another one
                self._wakeup_next(self._getters)
            raise

    def wake(self) -> None:
        """Make every `wait` return, even without a new item."""
        while self._getters:
            self._wakeup_next(self._getters)

    def close(self) -> None:
        """Make `get` raise after the last owed item."""
        self.closed = True
        self.wake()

    @property
    def position(self) -> int | None:
        """The number before the next owed item, or None if none is owed."""
        if self._gaps:
            first = self._gaps[0].from_sequence_number
            return 0 if first is None else first - 1
        if self.dropped > self._reported:
            return self._first_lost - 1
        return self._queue[0].sequence_number - 1 if self._queue else None

    def __repr__(self) -> str:
        """Only the size: a thousand events would fill the log."""
        return f"<EventQueue {self.qsize()} of {self.maxsize} events, dropped {self.dropped}>"

    __str__ = __repr__
