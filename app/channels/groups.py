"""`Groups`: the subscriptions of a bus by filter, and which of them get the events of a type."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from ..metrics import Counters
from .filters import EventFilter
from .frames import prefix_of
from .queue import EventQueue, QueueBounds
from .replay import NO_REPLAY
from .subscription import DirectWriter, Subscription

if TYPE_CHECKING:
    from .bus import EventBus

MAX_ROUTES = 4096  # publishers may invent types in extra namespaces: clear the cache, never grow


class Group:
    """The subscriptions that share one filter."""

    __slots__ = ("direct", "filter", "queued", "turn")

    def __init__(self, event_filter: EventFilter) -> None:
        self.filter = event_filter
        self.queued: dict[Subscription, EventQueue] = {}
        self.direct: dict[Subscription, DirectWriter] = {}
        self.turn: list[bytes] = []  # header and message of each event for `direct` in this turn


class Route(msgspec.Struct, frozen=True):
    """Where events of one type go."""

    label: str
    prefix: bytes
    groups: tuple[Group, ...]


class Groups:
    """Adds, moves and removes subscriptions.

    Invariant: the current turn holds only events older than any that a queue gets next. So
    `leave`, `refilter`, `go_direct` and `fall_behind` flush the turn first. A new subscription
    starts behind.
    """

    def __init__(self, flush: Callable[[], None], label_of: Callable[[str], str]) -> None:
        """`flush` ends the bus's turn; `label_of` names the counter of an event type."""
        self.by_filter: dict[EventFilter, Group] = {}
        self.routes: dict[str, Route] = (
            {}
        )  # cleared when a group is added; a removed group is empty
        self.inside: set[Subscription] = set()  # those of the gateway itself, which are no clients
        self._flush = flush
        self._label_of = label_of

    def __iter__(self) -> Iterator[Group]:
        return iter(self.by_filter.values())

    @property
    def subscriptions(self) -> int:
        """How many subscriptions clients have."""
        return sum(len(group.queued) + len(group.direct) for group in self) - len(self.inside)

    @property
    def queued(self) -> int:
        """How many events the queues of clients hold."""
        queued = (one for group in self for one in group.queued)
        return sum(len(one) for one in queued if one not in self.inside)

    def route(self, type_: str) -> Route:
        """Find and keep the route of an event type."""
        if len(self.routes) >= MAX_ROUTES:
            self.routes.clear()
        groups = tuple(group for group in self if group.filter.matches(type_))
        route = self.routes[type_] = Route(self._label_of(type_), prefix_of(type_), groups)
        return route

    def join(self, subscription: Subscription) -> None:
        """Queue later events for a new subscription."""
        self._group(subscription.filter).queued[subscription] = subscription.queue

    def go_direct(self, subscription: Subscription, writer: DirectWriter) -> None:
        """Write later events to `writer`; the subscription's queue must be empty."""
        self._flush()
        group = self.by_filter[subscription.filter]
        del group.queued[subscription]
        group.direct[subscription] = writer

    def fall_behind(self, subscription: Subscription) -> None:
        """Queue later events again."""
        self._flush()
        group = self.by_filter[subscription.filter]
        if group.direct.pop(subscription, None) is not None:
            group.queued[subscription] = subscription.queue

    def refilter(self, subscription: Subscription, event_filter: EventFilter) -> None:
        """Move the subscription to another filter; it stays direct or queued."""
        writer = self.leave(subscription)
        subscription.filter = event_filter
        group = self._group(event_filter)
        if writer is None:
            group.queued[subscription] = subscription.queue
        else:
            group.direct[subscription] = writer

    def leave(self, subscription: Subscription) -> DirectWriter | None:
        """Remove the subscription; return its writer if it was direct."""
        self._flush()
        self.inside.discard(subscription)
        group = self.by_filter[subscription.filter]
        group.queued.pop(subscription, None)
        writer = group.direct.pop(subscription, None)
        if not group.queued and not group.direct:
            del self.by_filter[subscription.filter]
        return writer

    def _group(self, event_filter: EventFilter) -> Group:
        group = self.by_filter.get(event_filter)
        if group is None:
            group = self.by_filter[event_filter] = Group(event_filter)
            self.routes.clear()
        return group


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
