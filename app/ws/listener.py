"""The Litestar listener of `/ws`: a thin shell that carries messages between socket and session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import cast

import structlog
from litestar import WebSocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import websocket_listener
from litestar.types import Scope

from ..auth.guards import SUBPROTOCOL
from ..channels.backend import ChannelBackend
from ..channels.bus import EventBus
from ..channels.filters import EventFilter
from ..channels.subscription import Subscription
from ..errors import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_RESTART,
    CLOSE_TOO_BIG,
    CLOSE_TOO_MANY_MESSAGES,
)
from ..events import Position
from ..journal.journal import Journal
from ..settings import Settings
from .messages import Connected, HistoryStart, Limits, Notice, Pong, encode
from .outlet import TRANSPORT, ASGIOutlet, DirectOutlet, Outlet, Transport
from .queries import Query
from .registry import ConnectionRegistry
from .session import Session, TooManyMessagesError

Socket = WebSocket[object, object, object]  # type: ignore[type-var]
GONE = (OSError, WebSocketDisconnect)  # how sending tells that the client has left
CLOSE_GRACE_S = 1.0  # for a client of a server that cancels us, to read why
RESTARTS = "the gateway restarts: connect again"
_log = structlog.get_logger("sightline.ws")


def limits_of(settings: Settings) -> Limits:
    """What `connected` and `/api/session` tell a client to expect."""
    return Limits(
        max_clients=settings.max_clients,
        queue_size=settings.queue_size,
        replay_limit=settings.replay_limit,
        replay_window_s=settings.replay_window_s,
        max_message_bytes=settings.max_message_bytes,
        max_event_bytes=settings.max_event_bytes,
    )


def history_start(journal: Journal | None) -> HistoryStart | None:
    """Where the history begins, for `connected` and `/api/session`."""
    start = None if journal is None else journal.start
    return None if start is None else HistoryStart(*start)


class Connection:
    """One accepted socket: its session, its outlet, and the closing of it."""

    __slots__ = (
        *("_closing", "_max_message_bytes", "_outlet", "_session", "_socket", "_subscription"),
        "closed_as",
    )

    def __init__(
        self,
        socket: Socket,
        subscription: Subscription,
        session: Session,
        outlet: Outlet,
        max_message_bytes: int,
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._socket = socket
        self._subscription = subscription
        self._session = session
        self._outlet = outlet
        self._closing: asyncio.Task[None] | None = None
        self.closed_as: str | None = None  # why the gateway closed it, if it did
        outlet.start(self._failed)

    def _failed(self, error: Exception) -> None:
        _log.error("outlet_failed", error_type=type(error).__name__, exc_info=error)
        self.close(CLOSE_INTERNAL_ERROR, "internal error")

    def receive(self, data: str) -> None:
        """Handle one message; the answer goes through the outlet, so that reading never waits."""
        if self._closing is not None:  # more had come before the close frame was out
            return
        if len(data) > self._max_message_bytes or len(data.encode()) > self._max_message_bytes:
            # Only `litestar run` has the server refuse the frame before it is read.
            self.close(CLOSE_TOO_BIG, f"a message is over {self._max_message_bytes} bytes")
            return
        try:
            answer = self._session.handle(data)
        except TooManyMessagesError as error:
            self.close(CLOSE_TOO_MANY_MESSAGES, str(error))
            return
        if not self._outlet.answer(encode(answer), in_order=not isinstance(answer, Pong)):
            self.close(CLOSE_TOO_MANY_MESSAGES, "too many unread answers")

    def close(self, code: int, reason: str) -> None:
        """Begin to close the socket; the first code wins."""
        if self._closing is None:
            self.closed_as = f"close_{code}"
            self._subscription.close()  # no event may follow the close frame
            self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        await self._outlet.stop()
        with suppress(OSError, WebSocketDisconnect, RuntimeError):
            await self._socket.close(code, reason)

    async def restart(self) -> None:
        """Close the socket with 1012, and wait a moment until the client is told."""
        self.close(CLOSE_RESTART, RESTARTS)
        assert self._closing is not None
        await asyncio.wait({self._closing}, timeout=CLOSE_GRACE_S)

    async def end(self) -> None:
        """End and await what this connection began."""
        await self._outlet.stop()
        if self._closing is not None:
            self._closing.cancel()
            await asyncio.wait({self._closing})


def _transport(socket: Socket) -> Transport | None:
    extensions = cast(dict[str, Transport], socket.scope.get("extensions") or {})
    transport = extensions.get(TRANSPORT)
    state = socket.app.state
    if transport is None and not state.get("told_no_direct_writes"):
        state.told_no_direct_writes = True
        _log.warning(
            "no_direct_writes",
            why="this server is not configured by `litestar run`: events go out by slower sends, it"
            " decides about pings, and a client that stops reading keeps its place",
        )
    return transport


def asked(scope: Scope) -> tuple[EventFilter, str, Position | None]:
    """What an upgrade asks for; raises `BadRequestError`."""
    query = Query(scope["query_string"], scope["headers"])
    position = query.position("last_sequence_number", b"x-last-sequence", b"x-epoch")
    return query.event_filter(), query.client_id(), position


@asynccontextmanager
async def connection_lifespan(
    socket: Socket,
    bus: NamedDependency[EventBus],
    backend: NamedDependency[ChannelBackend],
    registry: NamedDependency[ConnectionRegistry],
    settings: NamedDependency[Settings],
    journal: NamedDependency[Journal | None],
) -> AsyncIterator[None]:
    """From the upgrade's parameters to the last trace of the client. Cancelling leaves nothing."""
    event_filter, client_id, position = asked(socket.scope)
    socket.scope["headers"] = []  # read: an idle connection keeps neither them nor their token
    if position is not None:
        registry.check(client_id)
        await backend.catch_up(position)  # who cannot be served takes over nobody's place
    place = registry.reserve(client_id, socket.scope["state"]["credential"])
    log = _log.bind(client_id=client_id)
    transport = _transport(socket)
    subscription = connection = None
    try:
        offered = socket.scope.get("subprotocols") or []
        await socket.accept(subprotocols=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        subscription, replay = bus.join(
            event_filter,
            position,
            lambda gap: log.warning("gap", reason=gap.reason, dropped=gap.dropped),
        )
        interval_s = settings.heartbeat_interval_s
        outlet = (
            ASGIOutlet(subscription, socket.send_text, bus.clock, interval_s, GONE)
            if transport is None
            else DirectOutlet(subscription, transport, bus.clock, interval_s)
        )
        connected = Connected(
            client_id=client_id,
            epoch=bus.epoch,
            sequence_number=bus.head,
            types=event_filter.patterns,
            heartbeat_interval_s=settings.heartbeat_interval_s,
            resumed=replay.resumed,
            replayed=len(replay.events),
            limits=limits_of(settings),
            history=history_start(journal),
        )
        outlet.answer(encode(connected))
        if not backend.status.connected:
            outlet.answer(encode(Notice.backend_away(bus.clock.timestamp())))
        if blind := bus.counters.blind:
            outlet.answer(encode(Notice.of_workspace(bus.clock.timestamp(), blind)))
        session = Session(
            bus, subscription, lambda code: log.warning("client_mistake", error_type=code)
        )
        connection = Connection(socket, subscription, session, outlet, settings.max_message_bytes)
        place.on_close, place.on_message = connection.close, outlet.answer
        if transport is None:  # `litestar run` closes the others itself, at its end
            # A drain may begin inside a signal handler, where nothing else may be touched.
            loop = asyncio.get_running_loop()
            place.on_drain = partial(
                loop.call_soon_threadsafe, connection.close, CLOSE_RESTART, RESTARTS
            )
        if place.closed_with is not None:
            connection.close(*place.closed_with)
        socket.scope["state"]["connection"] = connection
        log.info(
            "client_connected",
            types=event_filter.patterns,
            resumed=replay.resumed,
            replayed=len(replay.events),
        )
        with suppress(WebSocketDisconnect):
            yield
    except asyncio.CancelledError:
        if connection is not None and transport is None:  # how some servers end
            await connection.restart()
        raise
    finally:
        registry.release(place)
        if subscription is not None:
            subscription.close()
            evicted = connection.closed_as if connection is not None else None
            if evicted is None and transport is not None:
                evicted = transport.evicted
            if evicted is not None:
                bus.counters.evictions[evicted] += 1
            log.info("client_gone", evicted=evicted, dropped=subscription.dropped)
        if connection is not None:
            await connection.end()


@websocket_listener("/ws", connection_lifespan=connection_lifespan)
async def events_socket(data: str, socket: Socket) -> None:
    """Hand one frame to the session. A binary one arrives here as an empty string."""
    socket.scope["state"]["connection"].receive(data)
