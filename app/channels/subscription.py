"""`Subscription`: what one consumer is owed. Bounded, drop-oldest, and every loss becomes a gap."""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from app.channels.replay import Replay
from app.events import Event, Gap
from app.filters import EventFilter


class Subscription:
    """A bounded queue of the events that match a filter.

    Invariant: the stream to the consumer is `_gaps` then `_events`; only the oldest event is ever
    dropped, so a loss always lies between the two and the gap needs no place of its own.
    """

    def __init__(
        self,
        event_filter: EventFilter,
        head: int,
        queue_size: int,
        max_bytes: int,
        on_close: Callable[["Subscription"], None],
        replay: Replay | None = None,
    ) -> None:
        self.filter = event_filter
        self.dropped = 0  # events lost to this consumer since it joined
        self.closed = False
        self._queue_size = queue_size
        self._max_bytes = max_bytes
        self._on_close = on_close
        self._gaps: deque[Gap] = deque(replay.gaps if replay else ())
        self._events: deque[Event] = deque(replay.events if replay else ())
        self._bytes = sum(len(event.encoded) for event in self._events)
        self._head = head  # the last number offered or filtered out
        self._woken = asyncio.Event()
        if self._gaps or self._events:
            self._woken.set()

    def __len__(self) -> int:
        return len(self._events)

    def offer(self, event: Event) -> None:
        """Take `event` if it matches; drop the oldest when full. Never waits."""
        self._head = event.sequence_number
        if not self.filter.matches(event.type):
            return
        self._events.append(event)
        self._bytes += len(event.encoded)
        # An event bigger than the whole bound still goes through: `while` leaves the newest.
        while len(self._events) > self._queue_size or (
            self._bytes > self._max_bytes and len(self._events) > 1
        ):
            self._lose(self._events.popleft())
        self._woken.set()

    def _lose(self, event: Event) -> None:
        self.dropped += 1
        self._bytes -= len(event.encoded)
        number = event.sequence_number
        last = self._gaps[-1] if self._gaps else None
        if last is not None and last.reason == "slow_consumer" and last.dropped is not None:
            self._gaps[-1] = msgspec.structs.replace(
                last, to_sequence_number=number, dropped=last.dropped + 1
            )
        else:
            self._gaps.append(Gap(number, number, 1, "slow_consumer"))

    def take(self) -> Event | Gap | None:
        """Return the next item, or None when nothing is owed now. Never waits."""
        if self._gaps:
            return self._gaps.popleft()
        if self._events:
            event = self._events.popleft()
            self._bytes -= len(event.encoded)
            return event
        if not self.closed:
            self._woken.clear()
        return None

    @property
    def position(self) -> int:
        """The last number handed over or filtered out: a client may move there."""
        if self._gaps:
            first = self._gaps[0].from_sequence_number
            return 0 if first is None else first - 1
        if self._events:
            return self._events[0].sequence_number - 1
        return self._head

    async def wait(self) -> None:
        """Wait until something is owed or the subscription is closed; cancelling loses nothing."""
        await self._woken.wait()

    def wake(self) -> None:
        """Let `wait` return although nothing new is owed (the outlet has a control message)."""
        self._woken.set()

    def close(self) -> None:
        """Leave the bus; a waiting consumer ends. Closing twice is fine."""
        if not self.closed:
            self.closed = True
            self._on_close(self)
            self._woken.set()

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
