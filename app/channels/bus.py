"""`EventBus`: keeps each numbered event and brings it to every subscription that matches.

From "number given" to "stored and offered" there is no await. What consumers that keep up are owed
is gathered for one turn of the event loop and written once, as one run of bytes per filter.
"""

import secrets
import struct
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Protocol

import msgspec

from ..catalog.registry import Catalog
from ..events import Clock, Event, Gap, Position
from ..metrics import Counters
from .filters import EventFilter
from .owner import Owner
from .queue import EventQueue
from .replay import Replay, ReplayStore
from .subscription import DirectWriter, QueueBounds, Subscription

Contents = tuple[bytes, bytes]  # data and metadata, each an encoded JSON object
FLUSH_EVENTS = 64  # a turn is flushed early at this many events, or
FLUSH_BYTES = 96 * 1024  # this many bytes: so many events of 1 KB are still one write
_EVENT = b'%b%b","sequence_number":%d,"data":%b,"metadata":%b}'  # behind a route's prefix
MAX_ROUTES = 4096  # types without a catalog entry are the publisher's to invent: forget, never grow
NO_REPLAY = Replay((), (), resumed=False)


def new_epoch() -> str:
    """An opaque name for one run of the numbering: a restart begins again at 1 under another."""
    return secrets.token_urlsafe(9).replace("-", ".")


_FIN_TEXT = 0x81
_short_header = struct.Struct(">BB").pack
_header = struct.Struct(">BBH").pack
_long_header = struct.Struct(">BBQ").pack


def frame_header(size: int) -> bytes:
    """The header of an unmasked, unfragmented text frame with `size` payload bytes (RFC 6455, 5.2)."""
    if size < 126:
        return _short_header(_FIN_TEXT, size)
    if size < 65536:
        return _header(_FIN_TEXT, 126, size)
    return _long_header(_FIN_TEXT, 127, size)


class _Group:
    """The subscriptions that share one filter."""

    __slots__ = ("direct", "filter", "queued", "turn")

    def __init__(self, event_filter: EventFilter) -> None:
        self.filter = event_filter
        self.queued: dict[Subscription, EventQueue] = {}
        self.direct: dict[Subscription, DirectWriter] = {}
        self.turn: list[bytes] = []  # frames that `direct` are owed at the next flush


class _Route(msgspec.Struct, frozen=True):
    """Where events of one type go."""

    namespace: str
    prefix: bytes
    groups: tuple[_Group, ...]


class Follower(Protocol):
    """A consumer that gets everything and is never dropped, such as the journal."""

    def begin(self, epoch: str, head: int) -> None:
        """What comes next follows number `head` of `epoch`."""

    def offer(self, event: Event) -> None:
        """Take an event. Never waits and never raises."""


class EventBus:
    """The stream of one gateway. All of it synchronous; nothing here ever waits for a consumer."""

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
        """`call_soon` runs a function once the loop's turn is over; `bounds` are each queue's."""
        self.clock = clock
        self.counters = counters
        self.owner = Owner()
        self._published = counters.published
        self._store = replay_store
        self._catalog = catalog
        self._call_soon = call_soon
        self._bounds = bounds
        self._replay_limit = replay_limit
        self._groups: dict[EventFilter, _Group] = {}
        self._routes: dict[str, _Route] = {}  # forgotten when a group comes; one that went is empty
        self._follower: Follower | None = None
        self._follow: Callable[[Event], None] | None = None  # its `offer`: saves a look-up an event
        # One turn. Invariant: all in it is older than what any queue will get next, so leaving,
        # another filter, going direct and falling behind flush it first. Who joins is behind.
        self._dirty: list[_Group] = []  # the groups whose `turn` is not empty
        self._turn_bytes = 0
        self._turn_began = 0.0
        self._flushed = 0  # the head at the last flush
        self._flush_is_due = False

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def head(self) -> int:
        """The last sequence number given; 0 before the first event."""
        return self._store.head

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are open."""
        return sum(len(group.queued) + len(group.direct) for group in self._groups.values())

    @property
    def queued(self) -> int:
        """How many events wait in the queues of the consumers that are behind."""
        return sum(len(one) for group in self._groups.values() for one in group.queued)

    def begin(self, epoch: str, head: int) -> None:
        """Go on after number `head` of `epoch`; nothing retained reaches back beyond it.

        Who is owed something else gets a gap in its place: going back is told as another epoch is,
        as numbers are given again. Direct consumers, which belong to
        connections that name another epoch, must have been closed.
        """
        self.owner.require_here()
        changed = epoch != self.epoch or head < self.head
        for group in self._groups.values():
            for subscription, queue in group.queued.items():
                queue.interrupt(
                    Gap(None, None, None, "epoch_changed")
                    if changed
                    else Gap(subscription.position + 1, head, None, "expired")
                )
        self._store.begin(epoch, head)
        if self._follower is not None:
            self._follower.begin(epoch, head)

    def restore(self, epoch: str, head: int, events: Sequence[Event]) -> None:
        """Go on after number `head` of `epoch`, with these events retained. Before anybody joins."""
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
        """Keep and offer an event that has been checked and numbered: head + 1. Never waits.

        `accepted_at` is the monotonic time it was accepted at, where that is not now.

        Raises:
            WrongLoopError: called from another thread or process; nothing was kept.
        """
        if get_ident() != self.owner.thread:
            self.owner.require_here()
        route = self._routes.get(type_) or self._route(type_)
        data, metadata = contents
        encoded = _EVENT % (route.prefix, timestamp.encode(), number, data, metadata)
        size = len(encoded)
        now = self.clock.monotonic()
        event = Event(
            type_, timestamp, number, now if accepted_at is None else accepted_at, encoded
        )
        self._store.append(event)
        if self._follow is not None:
            self._follow(event)
        self._published[route.namespace] += 1
        for group in route.groups:
            if group.direct:
                if not group.turn:
                    if not self._dirty:
                        self._begin_turn(now)
                    self._dirty.append(group)
                usual = 126 <= size < 65536  # saves a call
                header = _header(_FIN_TEXT, 126, size) if usual else frame_header(size)
                group.turn += (header, encoded)
            if group.queued:
                for queue in group.queued.values():
                    queue.put_nowait(event)
        self._turn_bytes += size
        if self._turn_bytes >= FLUSH_BYTES or number - self._flushed >= FLUSH_EVENTS:
            self.flush()
        return event

    def _begin_turn(self, now: float) -> None:
        self._turn_began = now
        if not self._flush_is_due:
            self._call_soon(self._end_turn)
            self._flush_is_due = True  # only now: without the call nobody would end the turn

    def _end_turn(self) -> None:
        self._flush_is_due = False
        self.flush()

    def flush(self) -> None:
        """Write what this turn owes to the direct consumers: the same bytes to all of one filter.

        Safe against being re-entered by a write: each group's turn is empty before it is written.
        """
        if get_ident() != self.owner.thread:
            self.owner.require_here()
        self._turn_bytes, self._flushed = 0, self.head
        dirty, self._dirty = self._dirty, []
        if not dirty:
            return
        for group in dirty:
            turn, group.turn = group.turn, []
            frames = b"".join(turn)
            self.counters.delivered += len(turn) // 2 * len(group.direct)
            for writer in tuple(group.direct.values()):
                try:
                    writer.write(frames)
                except Exception as error:  # one client's trouble never touches another
                    writer.fail(error)
        self.counters.publish_to_write.observe(self.clock.monotonic() - self._turn_began)

    def _route(self, type_: str) -> _Route:
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        groups = tuple(group for group in self._groups.values() if group.filter.matches(type_))
        prefix = b'{"type":"%s","timestamp":"' % type_.encode()  # both need no escaping
        namespace = self._catalog.label_of(type_)
        self._published.setdefault(namespace, 0)
        route = self._routes[type_] = _Route(namespace, prefix, groups)
        return route

    def subscribe(self, *types: str | type[msgspec.Struct]) -> Subscription:
        """Subscribe to patterns and catalog structs, live from now; none at all means everything.

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
        """Subscribe after replaying from `position`; `on_gap` hears of each gap handed over.

        Snapshot and join are one synchronous step, so no event falls or doubles at the seam.
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
        self._group(event_filter).queued[subscription] = subscription.queue
        return subscription, replay

    def go_direct(self, subscription: Subscription, writer: DirectWriter) -> None:
        """Write to `writer` what the subscription is owed from now on; its queue must be empty."""
        self.flush()
        group = self._groups[subscription.filter]
        del group.queued[subscription]
        group.direct[subscription] = writer

    def fall_behind(self, subscription: Subscription) -> None:
        """Queue again what the subscription is owed from now on."""
        self.flush()
        group = self._groups[subscription.filter]
        if group.direct.pop(subscription, None) is not None:
            group.queued[subscription] = subscription.queue

    def refilter(self, subscription: Subscription, event_filter: EventFilter) -> None:
        """Move the subscription to another filter, direct or queued as it is."""
        writer = self.leave(subscription)
        subscription.filter = event_filter
        group = self._group(event_filter)
        if writer is None:
            group.queued[subscription] = subscription.queue
        else:
            group.direct[subscription] = writer

    def leave(self, subscription: Subscription) -> DirectWriter | None:
        """Owe the subscription nothing any more; return where it was written to, if direct."""
        self.flush()
        group = self._groups[subscription.filter]
        group.queued.pop(subscription, None)
        writer = group.direct.pop(subscription, None)
        if not group.queued and not group.direct:
            del self._groups[subscription.filter]
        return writer

    def _group(self, event_filter: EventFilter) -> _Group:
        group = self._groups.get(event_filter)
        if group is None:
            group = self._groups[event_filter] = _Group(event_filter)
            self._routes.clear()
        return group
