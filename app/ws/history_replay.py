"""`HistorySubscription`: replays from the journal at the reader's pace, then joins the bus."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from ..channels.bus import EventBus
from ..channels.filters import EventFilter
from ..channels.replay import NO_REPLAY, ReplayStore
from ..channels.subscription import DirectWriter, QueueBounds, Subscription
from ..errors import UnavailableError
from ..events import Event, Gap, Position
from ..journal.history import Question
from ..journal.journal import Journal
from .outlet import Outlet

CHUNK_EVENTS = 250  # at most, and never more than a queue holds
_log = structlog.get_logger("sightline.history")


class _Numbered(msgspec.Struct):
    sequence_number: int


_number_of = msgspec.json.Decoder(_Numbered).decode


class _Chunk(NamedTuple):
    gap: Gap | None  # before the events
    events: list[Event]
    reached: int  # the last number read, whether it matched or not


class HistorySubscription(Subscription):
    """A subscription outside the bus whose queue holds one chunk of the past; then one of the bus.

    It joins the bus in the synchronous step that finds the rest in the replay store, within the
    limits of an ordinary replay: so each event comes once, in order.
    """

    __slots__ = (
        *(
            "_bounds",
            "_emptied",
            "_epoch",
            "_first",
            "_journal",
            "_limit",
            "_live",
            "_on_gap",
            "_reached",
        ),
        *("_reading", "_store", "_switches", "_task"),
    )

    def __init__(
        self,
        bus: EventBus,
        replay_store: ReplayStore,
        journal: Journal,
        bounds: QueueBounds,
        replay_limit: int,
        event_filter: EventFilter,
        number: int,
        on_gap: Callable[[Gap], None],
        loss: Gap | None = None,
    ) -> None:
        """Replay what follows `number` of the current epoch, behind `loss`."""
        super().__init__(bus, bus.owner, event_filter, bounds, NO_REPLAY, on_gap)
        self._epoch = bus.epoch
        self._store = replay_store
        self._journal = journal
        self._bounds = bounds
        self._limit = min(replay_limit, bounds.events)
        self._on_gap = on_gap
        self._reached = number
        self._reading = event_filter  # for what is read now; `filter` is the newest
        self._switches: list[tuple[int, EventFilter]] = []  # filters for events above a number
        self._emptied = asyncio.Event()
        self._live: Subscription | None = None
        # Read before `start`.
        self._first = None if loss is None else _Chunk(loss, [], number)
        self._task: asyncio.Task[None] | None = None

    async def prepare(self) -> bool:
        """Read the first chunk; return whether nothing between position and chunk is lost."""
        if self._first is not None:
            return False
        if self._rest_is_retained():
            return True
        self._first = await self._read()
        return self._first is not None and self._first.gap is None

    def start(self, outlet: Outlet, on_error: Callable[[Exception], None]) -> None:
        """Replay in a task, which calls `outlet.catch_up` for each chunk."""
        self._task = asyncio.create_task(self._run(outlet, on_error))

    async def stop(self) -> None:
        """Cancel the task and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def position(self) -> int:
        if self._live is not None:
            return self._live.position
        position = self.queue.position
        return self._reached if position is None else position

    def take(self) -> Event | Gap | None:
        item = super().take()
        self._note_if_empty()
        return item

    def take_run(self, most_bytes: int, last: int | None = None) -> list[Event]:
        run = super().take_run(most_bytes, last)
        self._note_if_empty()
        return run

    def _note_if_empty(self) -> None:
        if self._live is None and self.queue.empty():
            self._emptied.set()

    def refilter(self, event_filter: EventFilter) -> None:
        if self._live is not None:
            self._live.refilter(event_filter)
        else:
            self._switches.append((self._bus.head, event_filter))
        self.filter = event_filter

    def go_direct(self, writer: DirectWriter) -> bool:
        """While replaying, only say that nothing is owed: the task calls `catch_up` again."""
        return not self.owed if self._live is None else self._live.go_direct(writer)

    def fall_behind(self) -> None:
        if self._live is not None:
            self._live.fall_behind()

    def close(self) -> None:
        if self._live is not None:
            self._live.close()
        self.queue.close()
        self._emptied.set()

    async def _run(self, outlet: Outlet, on_error: Callable[[Exception], None]) -> None:
        try:
            while not self.closed and (
                self._first or not (self._rest_is_retained() and self._join(outlet))
            ):
                chunk, self._first = self._first or await self._read(), None
                if chunk is not None:
                    await self._hand_over(chunk, outlet)
                elif not self.closed:
                    self._join(outlet, with_gaps=True)
                    return
        except Exception as error:
            on_error(error)

    def _rest_is_retained(self) -> bool:
        if self._switches:
            return False
        now, max_bytes = self._bus.clock.monotonic(), self._bounds.max_bytes
        position = Position(self._reached, self._epoch)
        return self._store.resume(position, self._reading, now, self._limit, max_bytes).resumed

    async def _read(self) -> _Chunk | None:
        """Read on, from memory if possible; None if the journal leads no further."""
        until = self._switches[0][0] if self._switches else None
        limit = min(CHUNK_EVENTS, self._bounds.events)
        if self._reached >= self._store.first - 1:
            head = self._bus.head if until is None else until
            found = self._store.after(self._reached, self._reading)
            events = [event for event in found if event.sequence_number <= head]
            if len(events) > limit:
                events = events[:limit]
                head = events[-1].sequence_number
            return _Chunk(None, events, head)
        question = Question(
            limit=limit,
            after=Position(self._reached, self._epoch),
            before=None if until is None else Position(until + 1, self._epoch),
            event_filter=self._reading,
        )
        try:
            page = await self._journal.page(question)
        except UnavailableError as error:
            _log.warning("history_unreadable", error=str(error))
            return None
        if page is None or page.epoch != self._epoch or page.next <= self._reached:
            return None
        events = [Event("", "", _number_of(m).sequence_number, 0.0, m) for m in page.messages]
        return _Chunk(page.gap, events, page.next)

    async def _hand_over(self, chunk: _Chunk, outlet: Outlet) -> None:
        """Queue the chunk, as much as fits at a time, and wait until all of it has been taken."""
        if chunk.gap is not None:
            self._bus.counters.dropped[chunk.gap.reason] += chunk.gap.dropped or 0
            self.queue.interrupt(chunk.gap)  # nothing else is owed now
        size = 0
        for event in chunk.events:
            size += len(event.encoded)
            if size > self._bounds.max_bytes:
                await self._until_empty(outlet)
                size = len(event.encoded)
            if self.closed:
                return
            self.queue.put_nowait(event)
            self._reached = event.sequence_number
        self._reached = chunk.reached
        while self._switches and self._switches[0][0] <= self._reached:
            self._reading = self._switches.pop(0)[1]
        await self._until_empty(outlet)

    async def _until_empty(self, outlet: Outlet) -> None:
        self._emptied.clear()
        outlet.catch_up()
        while not self.queue.empty() and not self.closed:
            self._emptied.clear()
            await self._emptied.wait()

    def _join(self, outlet: Outlet, with_gaps: bool = False) -> bool:
        """Join the bus; not if part of the rest has just expired, unless `with_gaps`."""
        position = Position(self._reached, self._epoch)
        live, replay = self._bus.join(self.filter, position, self._on_gap)
        if not replay.resumed and not with_gaps:
            live.close()
            return False
        live.fall_behind()
        replayed, self.queue, self._live = self.queue, live.queue, live
        replayed.wake()  # the outlet waits there
        outlet.catch_up()
        return True
