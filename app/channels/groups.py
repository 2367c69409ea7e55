"""`Groups`: the subscriptions of a bus by filter, and how each of them gets its events."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from ..events import Event
from ..metrics import Counters
from .filters import EventFilter
from .frames import frames_of, prefix_of
from .queue import EventQueue, QueueBounds
from .replay import NO_REPLAY
from .subscription import DirectWriter, Subscription

if TYPE_CHECKING:
    from .bus import EventBus

MAX_ROUTES = 4096  # publishers may invent types in extra namespaces: clear the cache, never grow


class Group:
    """The subscriptions that share one filter, by how they get their events."""

    __slots__ = ("behind", "direct", "filter", "queued")

    def __init__(self, event_filter: EventFilter) -> None:
        self.filter = event_filter
        self.queued: dict[Subscription, EventQueue] = {}  # filled at once: code in the process
        self.behind: dict[Subscription, EventQueue] = {}  # filled at the flush: connections
        self.direct: dict[Subscription, DirectWriter] = {}  # written to at the flush

    @property
    def members(self) -> tuple[dict[Subscription, EventQueue | DirectWriter], ...]:
        """All subscriptions."""
        return self.queued, self.behind, self.direct  # type: ignore[return-value]

    @property
    def queues(self) -> dict[Subscription, EventQueue]:
        """The queues of those that are not direct."""
        return self.queued | self.behind


class Route(msgspec.Struct, frozen=True):
    """Where events of one type go."""

    label: str
    prefix: bytes
    groups: tuple[Group, ...]
    queues: tuple[EventQueue, ...]  # those that are filled at once


class Groups:
    """Adds, moves and removes subscriptions, and hands a turn of events to connections.

    Invariant: the current turn holds only events older than any that a connection gets next. So
    `leave`, `refilter`, `go_direct` and `fall_behind` flush the turn first. A new subscription
    gets each event at once.
    """

    def __init__(
        self, flush: Callable[[], None], label_of: Callable[[str], str], counters: Counters
    ) -> None:
        """`flush` ends the bus's turn; `label_of` names the counter of an event type."""
        self.by_filter: dict[EventFilter, Group] = {}
        # Cleared when a group or a queue that is filled at once is added or removed.
        self.routes: dict[str, Route] = {}
        self.inside: set[Subscription] = set()  # those of the gateway itself, which are no clients
        self._flush = flush
        self._label_of = label_of
        self._counters = counters

    def __iter__(self) -> Iterator[Group]:
        return iter(self.by_filter.values())

    @property
    def subscriptions(self) -> int:
        """How many subscriptions clients have."""
        return sum(len(kind) for group in self for kind in group.members) - len(self.inside)

    @property
    def queued(self) -> int:
        """How many events the queues of clients hold."""
        queued = (one for group in self for one in group.queues)
        return sum(len(one) for one in queued if one not in self.inside)

    def route(self, type_: str) -> Route:
        """Find and keep the route of an event type."""
        if len(self.routes) >= MAX_ROUTES:
            self.routes.clear()
        groups = tuple(group for group in self if group.filter.matches(type_))
        queues = tuple(queue for group in groups for queue in group.queued.values())
        label = self._label_of(type_)
        route = self.routes[type_] = Route(label, prefix_of(type_), groups, queues)
        self._counters.published.setdefault(label, 0)
        return route

    def distribute(self, turn: list[Event]) -> bool:
        """Hand these events to the connections, and count them. Returns whether any was written to.

        Groups that take the same types of this turn share one run of events, and its bytes.
        """
        types = [event.type for event in turn]
        distinct = dict.fromkeys(types)
        taken: dict[Group, tuple[str, ...]] = {}
        for type_ in distinct:
            route = self.routes.get(type_) or self.route(type_)
            self._counters.published[route.label] += types.count(type_)
            for group in route.groups:
                taken[group] = (*taken.get(group, ()), type_)
        runs: dict[tuple[str, ...], list[Group]] = {}
        for group, some in taken.items():
            if group.direct or group.behind:
                runs.setdefault(some, []).append(group)
        written = False
        for some, groups in runs.items():
            run = turn if len(some) == len(distinct) else [one for one in turn if one.type in some]
            frames = b""
            for group in groups:
                for queue in group.behind.values():  # first: a write may add to these
                    queue.put_all(run)
                if group.direct:
                    frames = frames or frames_of(run)
                    self._counters.delivered += len(run) * len(group.direct)
                    _write(frames, tuple(group.direct.values()))
                    written = True
        return written

    def join(self, subscription: Subscription) -> None:
        """Put later events into the queue of a new subscription, each at once."""
        self._group(subscription.filter).queued[subscription] = subscription.queue
        self.routes.clear()

    def go_direct(self, subscription: Subscription, writer: DirectWriter) -> bool:
        """Write later events to `writer` at each flush; False while an item is owed."""
        self._flush()
        if subscription.owed:
            return False
        self._remove(subscription).direct[subscription] = writer
        return True

    def fall_behind(self, subscription: Subscription) -> None:
        """Put later events into the queue at each flush."""
        self._flush()
        self._remove(subscription).behind[subscription] = subscription.queue

    def refilter(self, subscription: Subscription, event_filter: EventFilter) -> None:
        """Move the subscription to another filter; it gets its events as before."""
        self._flush()
        old, new = self.by_filter[subscription.filter], self._group(event_filter)
        for before, after in zip(old.members, new.members, strict=True):
            if subscription in before:
                after[subscription] = before.pop(subscription)
        self._end_if_empty(old)
        subscription.filter = event_filter
        self.routes.clear()

    def leave(self, subscription: Subscription) -> None:
        """Remove the subscription."""
        self._flush()
        self.inside.discard(subscription)
        self._end_if_empty(self._remove(subscription))

    def _group(self, event_filter: EventFilter) -> Group:
        group = self.by_filter.get(event_filter)
        if group is None:
            group = self.by_filter[event_filter] = Group(event_filter)
            self.routes.clear()
        return group

    def _remove(self, subscription: Subscription) -> Group:
        group = self.by_filter[subscription.filter]
        if subscription in group.queued:
            self.routes.clear()
        for kind in group.members:
            kind.pop(subscription, None)
        return group

    def _end_if_empty(self, group: Group) -> None:
        if not any(group.members):
            del self.by_filter[group.filter]


def _write(frames: bytes, writers: tuple[DirectWriter, ...]) -> None:
    for writer in writers:
        try:
            writer.write(frames)
        except Exception as error:  # one failing client must not affect the others
            writer.fail(error)


def subscribe_inside(
    bus: "EventBus", event_filter: EventFilter, bounds: QueueBounds
) -> Subscription:
    """Subscribe a part of the gateway itself, from the next event on. It counts as no client.

    What it takes and loses is in none of the counters of the bus.

    Raises:
        WrongLoopError: called from another thread, event loop or process.
    """
    bus.owner.require_here()
    subscription = Subscription(
        bus, bus.owner, event_filter, bounds, NO_REPLAY, lambda gap: None, Counters()
    )
    bus.groups.join(subscription)
    bus.groups.inside.add(subscription)
    return subscription
