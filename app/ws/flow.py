"""`client_flow`: one client from its request to its last trace, the same for `/ws` and for SSE."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from structlog.typing import FilteringBoundLogger

from ..auth.credentials import Credential
from ..channels.backend import ChannelBackend
from ..channels.bus import EventBus
from ..channels.filters import EventFilter
from ..channels.publisher import EventPublisher
from ..channels.replay import ReplayStore
from ..channels.subscription import QueueBounds, Subscription
from ..errors import BadRequestError, CloseCode
from ..events import Gap, Position
from ..journal.journal import Journal
from ..settings import Settings
from .expiry import Expiry
from .history_replay import HistorySubscription
from .messages import Connected, HistoryStart, Limits, Notice, encode
from .outlet import Outlet
from .registry import ConnectionRegistry

RESTARTS = "the gateway restarts: connect again"


class Parts(NamedTuple):
    """The parts of the gateway that its busiest routes use, injected as one.

    Litestar starts a task for each dependency of a handler that has several.
    """

    bus: EventBus
    backend: ChannelBackend
    replay_store: ReplayStore
    registry: ConnectionRegistry
    settings: Settings
    journal: Journal | None
    publisher: EventPublisher


class ClientRequest(NamedTuple):
    """What a client asks for, and the credential that authenticated it."""

    event_filter: EventFilter
    client_id: str
    position: Position | None
    credential: Credential | None
    history: bool = False  # replay as far as the journal reaches


class Connection(Protocol):
    """What the flow needs of a connection, whatever its transport."""

    @property
    def outlet(self) -> Outlet:
        """The connection's writer, not started yet."""

    @property
    def drained_here(self) -> bool:
        """Whether the flow closes the connection when the gateway drains; else the server does."""

    @property
    def evicted(self) -> str | None:
        """Why the gateway ended the connection, if that counts as an eviction."""

    def fail(self, error: Exception) -> None:
        """End the connection: its outlet raised `error`."""

    def close(self, code: int, reason: str) -> None:
        """Begin to close the connection; the first code wins."""

    async def end(self) -> None:
        """Cancel and await every task of the connection."""


_Connection = TypeVar("_Connection", bound=Connection)


@asynccontextmanager
async def client_flow(
    parts: Parts,
    request: ClientRequest,
    *,
    log: FilteringBoundLogger,
    heartbeat_interval_s: float,
    accept: Callable[[], Awaitable[None]],
    connect: Callable[[Subscription, Connected], _Connection],
) -> AsyncIterator[_Connection]:
    """Hold a place and a subscription for the body; the body ends when the client has disconnected.

    `accept` tells the client that it has a place. `connect` makes the connection, whose outlet sends
    the `Connected` first. Cancelling at any point leaves no place, no subscription and no task.

    Raises:
        BadRequestError: a history is asked for, and there is no journal.
        UnavailableError: no place is free, the gateway is shutting down, or the backend cannot
            serve the position. Nothing has been accepted.
        UnauthorizedError: the credential has ended.
    """
    bus, backend, registry = parts.bus, parts.backend, parts.registry
    if request.history and parts.journal is None:
        raise BadRequestError(
            "history=1 needs a journal, and this gateway keeps none: set SIGHTLINE_JOURNAL"
        )
    if request.position is not None:
        registry.check(request.client_id, request.credential)
        await backend.catch_up(request.position)  # before a place is taken over
    place = registry.reserve(request.client_id, request.credential)
    expiry = Expiry(place, bus.clock)
    subscription = connection = None
    try:
        await accept()
        subscription, resumed, replayed = await _join(
            parts,
            request,
            lambda gap: log.warning("gap", reason=gap.reason, dropped=gap.dropped),
        )
        connected = Connected(
            client_id=request.client_id,
            epoch=bus.epoch,
            sequence_number=bus.head,
            types=request.event_filter.patterns,
            heartbeat_interval_s=heartbeat_interval_s,
            resumed=resumed,
            replayed=replayed,
            limits=limits_of(parts.settings),
            history=history_start(parts.journal),
        )
        connection = connect(subscription, connected)
        for notice in lasting_notices(parts):
            connection.outlet.answer(encode(notice))
        connection.outlet.start(connection.fail)
        if isinstance(subscription, HistorySubscription):
            subscription.start(connection.outlet, connection.fail)
        place.on_close, place.on_message = connection.close, connection.outlet.answer
        if connection.drained_here:
            # A drain may begin inside a signal handler, which may only schedule a call. The second
            # turn is for events of the first: the flush has put them into the queue.
            schedule = asyncio.get_running_loop().call_soon_threadsafe
            close = partial(schedule, connection.close, CloseCode.RESTART, RESTARTS)
            place.on_drain = partial(schedule, close)
        if place.closed_with is not None:
            connection.close(*place.closed_with)
        log.info(
            "client_connected",
            types=request.event_filter.patterns,
            resumed=resumed,
            replayed=replayed,
        )
        yield connection
    finally:
        expiry.cancel()
        registry.release(place)
        if subscription is not None:
            subscription.close()
        if connection is not None and subscription is not None:
            evicted = connection.evicted
            if evicted is not None:
                bus.counters.evictions[evicted] += 1
            log.info("client_gone", evicted=evicted, dropped=subscription.dropped)
            try:
                if isinstance(subscription, HistorySubscription):
                    await subscription.stop()
            finally:
                await connection.end()


async def _join(
    parts: Parts, request: ClientRequest, on_gap: Callable[[Gap], None]
) -> tuple[Subscription, bool, int | None]:
    """Subscribe; and for `connected`, `resumed` and `replayed`."""
    bus, position, settings = parts.bus, request.position, parts.settings
    if request.history and parts.journal is not None and position is not None:
        known = position.epoch in (None, bus.epoch) and position.sequence_number <= bus.head
        subscription = HistorySubscription(
            bus,
            parts.replay_store,
            parts.journal,
            QueueBounds(settings.queue_size, settings.queue_max_bytes),
            settings.replay_limit,
            request.event_filter,
            position.sequence_number if known else 0,
            on_gap,
            None if known else Gap(None, None, None, "epoch_changed"),
        )
        return subscription, await subscription.prepare(), None
    joined, replay = bus.join(request.event_filter, position, on_gap)
    return joined, replay.resumed, len(replay.events)


def lasting_notices(parts: Parts) -> list[Notice]:
    """The conditions that hold now, for a new client: it missed the notices of their beginning."""
    blind, journal = parts.bus.counters.blind, parts.journal
    failing = journal is not None and journal.failing
    if parts.backend.status.connected and not blind and not failing:
        return []
    now, notices = parts.bus.clock.timestamp(), []
    if not parts.backend.status.connected:
        notices.append(Notice.backend_away(now))
    if blind:
        notices.append(Notice.of_workspace(now, blind))
    if journal is not None and failing:
        notices.append(Notice.of_journal(now, journal.status.reason))
    return notices


def limits_of(settings: Settings) -> Limits:
    """The limits, for `connected` and `/api/session`."""
    return Limits(
        max_clients=settings.max_clients,
        queue_size=settings.queue_size,
        replay_limit=settings.replay_limit,
        replay_window_s=settings.replay_window_s,
        max_message_bytes=settings.max_message_bytes,
        max_event_bytes=settings.max_event_bytes,
    )


def history_start(journal: Journal | None) -> HistoryStart | None:
    """The start of the history, for `connected` and `/api/session`; None if nothing is kept."""
    start = None if journal is None else journal.start
    return None if start is None else HistoryStart(*start)
