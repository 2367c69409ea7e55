"""`EventBus`: numbers an event, keeps it, offers it to every subscription. All of it synchronous."""

import secrets

import msgspec

from app.catalog import Catalog
from app.channels.replay import ReplayStore
from app.channels.subscription import Subscription
from app.events import Clock, Event, Position, splice, timestamp
from app.filters import EventFilter


def new_epoch() -> str:
    """An opaque name for one run of the numbering: a restart begins again at 1 under another."""
    return secrets.token_urlsafe(9).replace("-", ".")


class EventBus:
    """The stream. From "number given" to "stored and offered" there is no await."""

    def __init__(
        self,
        replay_store: ReplayStore,
        catalog: Catalog,
        clock: Clock,
        queue_size: int,
        queue_max_bytes: int,
        replay_limit: int,
    ) -> None:
        self.clock = clock
        self._store = replay_store
        self._catalog = catalog
        self._queue_size = queue_size
        self._queue_max_bytes = queue_max_bytes
        self._replay_limit = replay_limit
        self._subscriptions: dict[Subscription, None] = {}

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
        return len(self._subscriptions)

    def accept(self, type_: str, encoded_data: bytes, encoded_metadata: bytes) -> Event:
        """Number, stamp, keep and offer an event that has been checked. Never waits."""
        number = self._store.head + 1
        stamp = timestamp(self.clock.wall())
        event = Event(
            type=type_,
            timestamp=stamp,
            sequence_number=number,
            encoded_data=encoded_data,
            encoded_metadata=encoded_metadata,
            accepted_at=self.clock.monotonic(),
            encoded=splice(type_, stamp, number, encoded_data, encoded_metadata),
        )
        self._store.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)
        return event

    def subscribe(self, *types: str | type[msgspec.Struct]) -> Subscription:
        """Subscribe to patterns and catalog structs, live from now; none at all means everything.

        Raises:
            InvalidPatternError: a pattern is malformed.
            UnknownEventTypeError: a struct is not in the catalog.
        """
        patterns = [t if isinstance(t, str) else self._catalog.type_of(t) for t in types]
        return self.join(EventFilter(patterns or ("*",)))[0]

    def join(
        self, event_filter: EventFilter, position: Position | None = None
    ) -> tuple[Subscription, bool, int]:
        """Subscribe after replaying from `position`: (subscription, resumed, events replayed).

        Snapshot and join are one synchronous step, so no event falls or doubles at the seam.
        """
        replay = None
        if position is not None:
            replay = self._store.resume(
                position,
                event_filter,
                self.clock.monotonic(),
                min(self._replay_limit, self._queue_size),
                self._queue_max_bytes,
            )
        subscription = Subscription(
            event_filter,
            self.head,
            self._queue_size,
            self._queue_max_bytes,
            self._leave,
            replay,
        )
        self._subscriptions[subscription] = None
        return subscription, bool(replay and replay.resumed), len(replay.events) if replay else 0

    def _leave(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription, None)
