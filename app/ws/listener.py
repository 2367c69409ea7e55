"""`/ws`: carries messages between socket and session."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import cast

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.utils import normalize_path
from structlog.typing import FilteringBoundLogger

from ..auth.credentials import access_in
from ..auth.guards import SUBPROTOCOL, admit
from ..channels.subscription import Subscription
from ..errors import CloseCode
from .flow import RESTARTS, ClientRequest, Parts, client_flow
from .messages import Connected, Pong, encode
from .outlet import TRANSPORT, DirectOutlet, Outlet, Transport
from .queries import Query
from .sending import ASGIOutlet
from .session import Session, TooManyMessagesError
from .socket import DisconnectedError, Socket

PATH = "/ws"
NEEDS = {"scope": "read"}  # as the `opt` of a route
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
        """Close after an unexpected error, of the outlet or of a message."""
        _log.error("connection_failed", error_type=type(error).__name__, exc_info=error)
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
        with suppress(OSError, RuntimeError):
            await self._socket.close(code, reason)

    async def restart(self) -> None:
        """Close the socket with 1012, and wait for the close frame."""
        self.close(CloseCode.RESTART, RESTARTS)
        await self.closed()

    async def closed(self) -> None:
        """After `close`, wait up to `CLOSE_GRACE_S` for the close frame to be sent."""
        assert self._closing is not None
        await asyncio.wait({self._closing}, timeout=CLOSE_GRACE_S)

    async def end(self) -> None:
        """Cancel and await every task of this connection."""
        await self.outlet.stop()
        if self._closing is not None:
            self._closing.cancel()
            await asyncio.wait({self._closing})


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


class EventsSocket:
    """Serves upgrades of `/ws`, and leaves everything else to the routes behind it.

    It is no route of Litestar, whose listeners cost each connection more CPU time than all the rest.
    """

    def __init__(self, routes: ASGIApp, parts: Parts) -> None:
        self._routes = routes
        self._parts = parts
        self._warned = False
        self._log: FilteringBoundLogger | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or upgrade. An exception before `websocket.accept` is a refusal."""
        if scope["type"] != ScopeType.WEBSOCKET or normalize_path(scope["path"]) != PATH:
            await self._routes(scope, receive, send)
            return
        admit(scope, NEEDS)
        request = asked(scope)
        scope["headers"] = []  # read already; an idle connection must not keep the token
        subprotocol = _subprotocol(scope)
        scope["subprotocols"] = []  # where a token may be, too
        with suppress(DisconnectedError):  # before it was accepted
            await self._serve(request, scope, Socket(receive, send), subprotocol)

    async def _serve(
        self, request: ClientRequest, scope: Scope, socket: Socket, subprotocol: str | None
    ) -> None:
        """Carry one client from its upgrade to its last trace. Cancelling leaves nothing."""
        parts, transport = self._parts, self._transport(scope)
        peer = ":".join(map(str, scope.get("client") or ("unknown",)))
        log = self._bound_log().bind(client_id=request.client_id, peer=peer)

        def connect(subscription: Subscription, connected: Connected) -> SocketConnection:
            bus, interval_s = parts.bus, connected.heartbeat_interval_s
            outlet = (
                ASGIOutlet(subscription, socket.send, bus.clock, interval_s)
                if transport is None
                else DirectOutlet(subscription, transport, bus.clock, interval_s)
            )
            outlet.answer(encode(connected))
            session = Session(
                bus, subscription, lambda code: log.warning("client_mistake", error_type=code)
            )
            most_bytes = parts.settings.max_message_bytes
            return SocketConnection(socket, subscription, session, outlet, transport, most_bytes)

        async with client_flow(
            parts,
            request,
            log=log,
            heartbeat_interval_s=parts.settings.heartbeat_interval_s,
            accept=partial(socket.accept, subprotocol),
            connect=connect,
        ) as connection:
            try:
                while True:
                    connection.receive(await socket.receive())
            except DisconnectedError:
                pass
            except asyncio.CancelledError:
                if transport is None:  # some servers end by cancelling
                    await connection.restart()
                raise
            except Exception as error:
                connection.fail(error)
                await connection.closed()

    def _bound_log(self) -> FilteringBoundLogger:
        """The log as it is configured since the lifespan began; to bind it takes long."""
        if self._log is None:
            self._log = _log.bind()
        return self._log

    def _transport(self, scope: Scope) -> Transport | None:
        extensions = cast(dict[str, Transport], scope.get("extensions") or {})
        transport = extensions.get(TRANSPORT)
        if transport is None and not self._warned:
            self._warned = True
            _log.warning(
                "no_direct_writes",
                why="this server is not configured by `litestar run`: events go out by slower sends,"
                " the server decides about pings, and a client that stops reading keeps its place",
            )
        return transport


def _subprotocol(scope: Scope) -> str | None:
    offered = cast(list[str], scope.get("subprotocols") or [])
    return SUBPROTOCOL if SUBPROTOCOL in offered else None
