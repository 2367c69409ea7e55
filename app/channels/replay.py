"""`ReplayStore`: the shared, bounded log that every resume reads. It holds no state of clients."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice

import msgspec

from ..events import Event, Gap, Position
from .filters import EventFilter


class Replay(msgspec.Struct, frozen=True):
    """What a resuming client gets before live events."""

    gaps: tuple[Gap, ...]
    events: tuple[Event, ...]
    resumed: bool


_Run = tuple[Sequence[int], int]  # numbers in ascending order, and the index of the first one
NO_REPLAY = Replay((), (), resumed=False)


class ReplayStore:
    """Keeps the newest events, bounded by age, count and bytes, for resuming clients."""

    def __init__(self, epoch: str, window_s: float, max_events: int, max_bytes: int) -> None:
        self.epoch = epoch
        self.head = 0  # the last number given; `_events` ends with it unless it has expired
        self._window_s = window_s
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[Event] = deque()  # contiguous numbers, oldest first
        # The numbers of `_events` by type, ascending; no type is empty. A filter of few types
        # then reads only what it matches.
        self._by_type: dict[str, deque[int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def begin(self, epoch: str, head: int) -> None:
        """Continue after number `head` of `epoch`, with no event retained."""
        self.epoch = epoch
        self.head = head
        self._events.clear()
        self._by_type.clear()
        self._bytes = 0

    def restore(self, epoch: str, head: int, events: Sequence[Event], now: float) -> None:
        """Continue after number `head` of `epoch`, with `events` retained, the last of that number.

        Their `accepted_at` is relative to `now`: 0 for the newest. Downtime does not age them.
        """
        self.begin(epoch, head - len(events))
        for event in events:
            self.append(msgspec.structs.replace(event, accepted_at=now + event.accepted_at))
        self.head = head

    def get(self, number: int) -> Event | None:
        """The retained event with this number; cheap for one near either end."""
        index = number - self.first
        return self._events[index] if 0 <= index < len(self._events) else None

    def append(self, event: Event) -> None:
        """Keep `event`, whose number must be head + 1, and drop what no longer fits."""
        number = event.sequence_number
        if number != self.head + 1:
            raise ValueError(f"expected number {self.head + 1}, got {number}")
        self.head = number
        events = self._events
        events.append(event)
        numbers = self._by_type.get(event.type)
        if numbers is None:
            numbers = self._by_type[event.type] = deque()
        numbers.append(number)
        self._bytes += len(event.encoded)
        oldest_kept = event.accepted_at - self._window_s
        while (
            self._bytes > self._max_bytes
            or len(events) > self._max_events
            or (events and events[0].accepted_at < oldest_kept)
        ):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        event = self._events.popleft()
        self._bytes -= len(event.encoded)
        numbers = self._by_type[event.type]
        numbers.popleft()
        if not numbers:  # publishers may invent types in extra namespaces
            del self._by_type[event.type]

    def expire(self, now: float) -> None:
        """Drop the events that are older than the window at `now`."""
        oldest_kept = now - self._window_s
        while self._events and self._events[0].accepted_at < oldest_kept:
            self._drop_oldest()

    @property
    def first(self) -> int:
        """The oldest retained number, or head + 1 when nothing is retained."""
        return self.head - len(self._events) + 1

    def after(self, number: int, event_filter: EventFilter, most: int | None = None) -> list[Event]:
        """The first `most` retained matching events above `number`, oldest first; None: all."""
        runs = self._runs(number, event_filter)
        return [self._event(one) for one in islice(merge(*map(_ascending, runs)), most)]

    def _runs(self, number: int, event_filter: EventFilter) -> list[_Run]:
        """The matching numbers above `number`, as ascending runs; none is empty."""
        if event_filter.matches_all:
            first = max(number + 1, self.first)
            return [(range(first, self.head + 1), 0)] if first <= self.head else []
        return [
            (numbers, bisect_right(numbers, number))
            for type_, numbers in self._by_type.items()
            if numbers[-1] > number and event_filter.matches(type_)
        ]

    def _event(self, number: int) -> Event:
        return self._events[number - self.first]

    def gap_before(self, position: Position, event_filter: EventFilter) -> Gap | None:
        """The loss of a client at `position`, or None if every later event is retained."""
        number = position.sequence_number
        if position.epoch not in (None, self.epoch) or number > self.head:
            return Gap(None, None, None, "epoch_changed")
        last_lost = self.first - 1
        if number >= last_lost or not event_filter.patterns:
            return None
        # Expired events are gone, so only a match-all filter can count them.
        dropped = last_lost - number if event_filter.matches_all else None
        return Gap(number + 1, last_lost, dropped, "expired")

    def resume(
        self, position: Position, event_filter: EventFilter, now: float, limit: int, max_bytes: int
    ) -> Replay:
        """Return what a client at `position` gets: at most the newest `limit` events, and gaps."""
        self.expire(now)
        gap = self.gap_before(position, event_filter)
        gaps = [gap] if gap else []
        changed = gap is not None and gap.reason == "epoch_changed"
        runs = self._runs(0 if changed else position.sequence_number, event_filter)
        events, first = self._events, self.first
        newest: list[Event] = []
        last_lost, size = None, 0
        for number in merge(*map(_descending, runs), reverse=True):
            event = events[number - first]
            size += len(event.encoded)
            if len(newest) == limit or size > max_bytes:
                last_lost = number
                break
            newest.append(event)
        if last_lost is not None:
            first_lost = min(numbers[start] for numbers, start in runs)
            lost = sum(len(numbers) - start for numbers, start in runs) - len(newest)
            gaps.append(Gap(first_lost, last_lost, lost, "replay_limit"))
        newest.reverse()
        return Replay(tuple(gaps), tuple(newest), resumed=not gaps)


def _ascending(run: _Run) -> Iterator[int]:
    numbers, start = run
    return map(numbers.__getitem__, range(start, len(numbers)))


def _descending(run: _Run) -> Iterator[int]:
    numbers, start = run
    return map(numbers.__getitem__, range(len(numbers) - 1, start - 1, -1))
