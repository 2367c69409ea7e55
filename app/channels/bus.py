"""`EventBus`: stores each numbered event and offers it to every matching subscription.

There is no await between "number given" and "stored and offered". Code in the process has an event
in its queue when `accept` returns. For connections, events are gathered for one turn of the event
loop, and handed over together: direct ones are written one run of bytes per filter.
"""

import secrets
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Protocol

import msgspec

from ..catalog.registry import Catalog
from ..events import Clock, Event, Gap, Position
from ..metrics import Counters
from .filters import EventFilter
from .frames import EVENT
from .groups import Groups
from .owner import Owner
from .replay import NO_REPLAY, Replay, ReplayStore
from .subscription import QueueBounds, Subscription

Contents = tuple[bytes, bytes]  # data and metadata, each an encoded JSON object
FLUSH_EVENTS = 64  # a turn is flushed early at this many events, or
FLUSH_BYTES = 96 * 1024  # at this many bytes: 64 events of 1 KB are still one write


def new_epoch() -> str:
    """An opaque name for one run of the numbering. Every restart from 1 gets another epoch."""
    return secrets.token_urlsafe(9).replace("-", ".")


class Follower(Protocol):
    """A consumer that gets every event and loses none, such as the journal."""

    def begin(self, epoch: str, head: int) -> None:
        """The next event follows number `head` of `epoch`."""

    def offer(self, event: Event) -> None:
        """Take an event. Never waits and never raises."""


class EventBus:
    """The stream of one gateway. Every method is synchronous and never waits for a consumer."""

    def __init__(
        self,
        replay_store: ReplayStore,
        catalog: Catalog,
        clock: Clock,
        call_soon: Callable[[Callable[[], None]], object],
        bounds: QueueBounds,
        replay_limit: int,
        counters: Counters,
    ) -> None:
        """`call_soon` runs a function after the loop's current turn; `bounds` are for each queue."""
        self.clock = clock
        self.counters = counters
        self.owner = Owner()
        self._store = replay_store
        self._catalog = catalog
        self._call_soon = call_soon
        self._bounds = bounds
        self._replay_limit = replay_limit
        self.groups = Groups(self.flush, catalog.label_of, counters)
        self._routes = self.groups.routes  # the same dict: saves a look-up an event
        self._follower: Follower | None = None
        self._follow: Callable[[Event], None] | None = None  # its `offer`: saves a look-up an event
        # The current turn of the loop:
        self._turn: list[Event] = []  # not yet handed to connections
        self._turn_bytes = 0
        self._turn_began = 0.0
        self._flush_is_due = False
        self._flushing = False

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def head(self) -> int:
        """The last sequence number given; 0 before the first event."""
        return self._store.head

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are open, without those of the gateway itself."""
        return self.groups.subscriptions

    @property
    def queued(self) -> int:
        """How many events the queues of these subscriptions hold."""
        return self.groups.queued

    def begin(self, epoch: str, head: int) -> None:
        """Continue after number `head` of `epoch`, with no event retained.

        A gap replaces whatever queued consumers are owed. Going back is reported like a new epoch,
        because numbers are reused. Direct consumers must have been closed: their connections name
        the old epoch.
        """
        self.flush()
        changed = epoch != self.epoch or head < self.head
        for group in self.groups:
            for subscription, queue in group.queues.items():
                expired = Gap(subscription.position + 1, head, None, "expired")
                queue.interrupt(Gap(None, None, None, "epoch_changed") if changed else expired)
        self._store.begin(epoch, head)
        if self._follower is not None:
            self._follower.begin(epoch, head)

    def restore(self, epoch: str, head: int, events: Sequence[Event]) -> None:
        """Continue after number `head` of `epoch`, with `events` retained; before any `join`."""
        self.owner.require_here()
        self._store.restore(epoch, head, events, self.clock.monotonic())

    def follow(self, follower: Follower) -> None:
        """Hand every later event and epoch to `follower`, from the current head on."""
        self.owner.require_here()
        follower.begin(self.epoch, self.head)
        self._follower, self._follow = follower, follower.offer

    def find(self, number: int) -> Event | None:
        """The event with this number, if it is retained here."""
        return self._store.get(number)

    def accept(
        self,
        type_: str,
        timestamp: str,
        number: int,
        contents: Contents,
        accepted_at: float | None = None,
    ) -> Event:
        """Store and offer a checked event whose number is head + 1. Never waits.

        `accepted_at` is the monotonic time of acceptance; None means now.

        Raises:
            WrongLoopError: called from another thread or process; nothing was stored.
        """
        if get_ident() != self.owner.thread:
            self.owner.require_here()
        route = self._routes.get(type_) or self.groups.route(type_)
        data, metadata = contents
        encoded = EVENT % (route.prefix, timestamp.encode(), number, data, metadata)
        now = self.clock.monotonic()
        event = Event(
            type_, timestamp, number, now if accepted_at is None else accepted_at, encoded
        )
        self._store.append(event)
        if self._follow is not None:
            self._follow(event)
        for queue in route.queues:
            queue.put_nowait(event)
        turn = self._turn
        if not turn:
            self._turn_began = now
        turn.append(event)
        self._turn_bytes += len(encoded)
        if self._turn_bytes >= FLUSH_BYTES or len(turn) >= FLUSH_EVENTS:
            self.flush()
        elif not self._flush_is_due:
            self._call_soon(self._end_turn)
            self._flush_is_due = True  # set last: if `call_soon` raises, the next event tries again
        return event

    def _end_turn(self) -> None:
        self._flush_is_due = False
        self.flush()

    def flush(self) -> None:
        """Hand this turn's events to the connections: the same bytes to all of one filter.

        A write may call `flush` again, which does nothing; what a write publishes comes next.
        """
        if get_ident() != self.owner.thread:
            self.owner.require_here()
        if self._flushing:
            return
        self._flushing = True
        try:
            while turn := self._turn:
                began = self._turn_began
                self._turn, self._turn_bytes = [], 0
                if self.groups.distribute(turn):
                    self.counters.publish_to_write.observe(self.clock.monotonic() - began)
        finally:
            self._flushing = False

    def subscribe(self, *types: str | type[msgspec.Struct]) -> Subscription:
        """Subscribe to patterns and catalog structs, from the next event on; without any, to all.

        Raises:
            InvalidPatternError: a pattern is malformed.
            UnknownEventTypeError: a struct is not in the catalog.
            WrongLoopError: called from another thread, event loop or process.
        """
        patterns = [t if isinstance(t, str) else self._catalog.type_of(t) for t in types]
        return self.join(EventFilter(patterns or ("*",)))[0]

    def join(
        self,
        event_filter: EventFilter,
        position: Position | None = None,
        on_gap: Callable[[Gap], None] = lambda gap: None,
    ) -> tuple[Subscription, Replay]:
        """Subscribe with a replay from `position`; `on_gap` is called with each gap handed over.

        Replay and join are one synchronous step, so no event is missed or doubled between them.
        """
        self.owner.require_here()
        replay = NO_REPLAY
        if position is not None:
            replay = self._store.resume(
                position,
                event_filter,
                self.clock.monotonic(),
                min(self._replay_limit, self._bounds.events),
                self._bounds.max_bytes,
            )
            self.counters.replayed += len(replay.events)
            for gap in replay.gaps:
                self.counters.dropped[gap.reason] += gap.dropped or 0
        subscription = Subscription(self, self.owner, event_filter, self._bounds, replay, on_gap)
        self.groups.join(subscription)
        return subscription, replay
