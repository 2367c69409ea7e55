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
from litestar.handlers import WebsocketListenerRouteHandler
from litestar.types import Scope

from ..auth.credentials import access_in
from ..auth.denial import Uncopied
from ..auth.guards import SUBPROTOCOL
from ..channels.subscription import Subscription
from ..errors import CloseCode
from .flow import RESTARTS, ClientRequest, Parts, client_flow
from .messages import Connected, Pong, encode
from .outlet import TRANSPORT, DirectOutlet, Outlet, Transport
from .queries import Query
from .sending import ASGIOutlet
from .session import Session, TooManyMessagesError

Socket = WebSocket[object, object, object]  # type: ignore[type-var]
DISCONNECTED = (OSError, WebSocketDisconnect)  # raised by a send after the client disconnected
CLOSE_GRACE_S = 1.0  # for the close frame, when the server cancels the connection
_log = structlog.get_logger("sightline.ws")


class SocketConnection:
    """One accepted socket: its session, its outlet, and its closing."""

    __slots__ = (
        *("_closing", "_max_message_bytes", "_session", "_socket", "_subscription"),
        *("closed_as", "outlet", "transport"),
    )

    def __init__(
        self,
        socket: Socket,
        subscription: Subscription,
        session: Session,
        outlet: Outlet,
        transport: Transport | None,
        max_message_bytes: int,
    ) -> None:
        """`transport` is where `outlet` writes, if it writes directly."""
        self._max_message_bytes = max_message_bytes
        self._socket = socket
        self._subscription = subscription
        self._session = session
        self._closing: asyncio.Task[None] | None = None
        self.outlet = outlet
        self.transport = transport
        self.closed_as: str | None = None  # the close code that the gateway sent

    @property
    def drained_here(self) -> bool:
        """Whether the server is a foreign one: `litestar run` closes its sockets itself."""
        return self.transport is None

    @property
    def evicted(self) -> str | None:
        """The gateway's close code, or the reason why the transport was aborted."""
        return self.closed_as or (None if self.transport is None else self.transport.evicted)

    def fail(self, error: Exception) -> None:
        """Close after an error of the outlet."""
        _log.error("outlet_failed", error_type=type(error).__name__, exc_info=error)
        self.close(CloseCode.INTERNAL_ERROR, "internal error")

    def receive(self, data: str) -> None:
        """Handle one message; the outlet sends the answer, so that reading never waits."""
        if self._closing is not None:  # received before the close frame was sent
            return
        if len(data) > self._max_message_bytes or len(data.encode()) > self._max_message_bytes:
            # Under `litestar run` the server refuses such a frame before it is read.
            self.close(CloseCode.TOO_BIG, f"a message is over {self._max_message_bytes} bytes")
            return
        try:
            answer = self._session.handle(data)
        except TooManyMessagesError as error:
            self.close(CloseCode.TOO_MANY_MESSAGES, str(error))
            return
        if not self.outlet.answer(encode(answer), in_order=not isinstance(answer, Pong)):
            self.close(CloseCode.TOO_MANY_MESSAGES, "too many unread answers")

    def close(self, code: int, reason: str) -> None:
        """Begin to close the socket; the first code wins."""
        if self._closing is None:
            self.closed_as = f"close_{code}"
            self._subscription.close()  # no event may follow the close frame
            self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        await self.outlet.stop()
        with suppress(*DISCONNECTED, RuntimeError):
            await self._socket.close(code, reason)

    async def restart(self) -> None:
        """Close the socket with 1012; wait up to `CLOSE_GRACE_S` for the close frame to be sent."""
        self.close(CloseCode.RESTART, RESTARTS)
        assert self._closing is not None
        await asyncio.wait({self._closing}, timeout=CLOSE_GRACE_S)

    async def end(self) -> None:
        """Cancel and await every task of this connection."""
        await self.outlet.stop()
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
            why="this server is not configured by `litestar run`: events go out by slower sends, the"
            " server decides about pings, and a client that stops reading keeps its place",
        )
    return transport


def asked(scope: Scope) -> ClientRequest:
    """Parse what an upgrade asks for; raises `BadRequestError`."""
    query = Query(scope["query_string"], scope["headers"])
    position = query.position("last_sequence_number", b"x-last-sequence", b"x-epoch")
    credential = scope.get("state", {}).get("credential")
    return ClientRequest(
        query.event_filter(access_in(scope)),
        query.client_id(),
        position,
        credential,
        query.history(),
    )


@asynccontextmanager
async def connection_lifespan(socket: Socket, parts: NamedDependency[Parts]) -> AsyncIterator[None]:
    """Carry one client from its upgrade to its last trace. Cancelling leaves nothing."""
    scope, bus = socket.scope, parts.bus
    request = asked(scope)
    scope["headers"] = []  # read already; an idle connection must not keep the token
    log = _log.bind(client_id=request.client_id)
    offered = scope.get("subprotocols") or []

    def connect(subscription: Subscription, connected: Connected) -> SocketConnection:
        transport, interval_s = _transport(socket), connected.heartbeat_interval_s
        outlet = (
            ASGIOutlet(subscription, socket.send_text, bus.clock, interval_s, DISCONNECTED)
            if transport is None
            else DirectOutlet(subscription, transport, bus.clock, interval_s)
        )
        outlet.answer(encode(connected))
        session = Session(
            bus, subscription, lambda code: log.warning("client_mistake", error_type=code)
        )
        return SocketConnection(
            socket, subscription, session, outlet, transport, parts.settings.max_message_bytes
        )

    async with client_flow(
        parts,
        request,
        log=log,
        heartbeat_interval_s=parts.settings.heartbeat_interval_s,
        accept=partial(socket.accept, subprotocols=SUBPROTOCOL if SUBPROTOCOL in offered else None),
        connect=connect,
    ) as connection:
        scope["state"]["connection"] = connection
        try:
            with suppress(WebSocketDisconnect):
                yield
        except asyncio.CancelledError:
            if connection.transport is None:  # some servers end by cancelling
                await connection.restart()
            raise


class _Listener(Uncopied, WebsocketListenerRouteHandler):
    """A listener that is not copied for each upgrade."""


@_Listener("/ws", connection_lifespan=connection_lifespan, opt={"scope": "read"})
async def events_socket(data: str, socket: Socket) -> None:
    """Hand one frame to the session. A binary frame arrives here as an empty string."""
    socket.scope["state"]["connection"].receive(data)
