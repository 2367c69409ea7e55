"""`GET /api/events/stream`: the messages of `/ws` as server-sent events, where WebSockets do not pass."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.types import Message, Receive, Scope, Send

from ..auth.credentials import access_in
from ..channels.filters import EventFilter
from ..channels.subscription import Subscription
from ..events import Position
from ..settings import Settings
from ..ws.flow import ClientRequest, Parts, client_flow
from ..ws.messages import Connected, encode
from ..ws.outlet import Outlet
from ..ws.queries import Query, new_client_id
from ..ws.sending import SSEOutlet, block, first_position

HEARTBEAT_INTERVAL_S = 15.0  # at most: proxies cut a silent response, some of them after 20 s
START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store, no-transform"),  # a proxy that compresses gathers events
        (b"x-accel-buffering", b"no"),  # or nginx gathers events before it hands them on
    ],
}
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]
_log = structlog.get_logger("sightline.stream")


@get("/api/events/stream", opt={"scope": "read"})
async def stream_events(request: HTTPRequest, parts: NamedDependency[Parts]) -> "EventStream":
    """Stream what matches `types`, from behind `Last-Event-ID` or live from now; `history=1` replays from the journal."""
    query = Query(request.scope["query_string"], request.scope["headers"])
    event_filter = query.event_filter(access_in(request.scope))
    return EventStream(parts, event_filter, query.last_event_id(), query.history())


class EventStream:
    """The response to one client, as an ASGI application."""

    def __init__(
        self,
        parts: Parts,
        event_filter: EventFilter,
        position: Position | None,
        history: bool = False,
    ) -> None:
        self._parts = parts
        self._filter = event_filter
        self._position = position
        self._history = history

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client disconnects or the gateway drains. Cancelling leaves nothing.

        A send waits while the client does not read; `app.server.http` drops a client that reads
        nothing more.

        Raises:
            UnavailableError, UnauthorizedError: as `client_flow`; nothing was sent.
        """
        bus = self._parts.bus
        client_id = new_client_id()
        credential = scope.get("state", {}).get("credential")

        def connect(subscription: Subscription, connected: Connected) -> StreamConnection:
            epoch, number = first_position(self._position, bus.epoch, bus.head)
            first = block(epoch, number, encode(connected))
            interval_s = connected.heartbeat_interval_s
            return StreamConnection(
                send,
                subscription,
                lambda write: SSEOutlet(subscription, write, bus, interval_s, first),
            )

        async with client_flow(
            self._parts,
            ClientRequest(self._filter, client_id, self._position, credential, self._history),
            log=_log.bind(client_id=client_id),
            heartbeat_interval_s=heartbeat_interval_s(self._parts.settings),
            accept=accept_later,
            connect=connect,
        ) as connection:
            await connection.serve(receive)


def heartbeat_interval_s(settings: Settings) -> float:
    """The interval of an event stream."""
    return min(HEARTBEAT_INTERVAL_S, settings.heartbeat_interval_s)


async def accept_later() -> None:
    """The head goes out with `connected`: until then an error is still a response of its own."""


class StreamConnection:
    """One open response: its outlet, and its end."""

    drained_here = True
    evicted = None  # `app.server.http` counts a client that does not read

    def __init__(
        self,
        send: Send,
        subscription: Subscription,
        outlet: Callable[[Callable[[bytes], Awaitable[None]]], Outlet],
    ) -> None:
        """`outlet` makes the writer of the blocks."""
        self._send = send
        self._started = False
        self._subscription = subscription
        # Its result is whether the gateway closed the stream; False after an error.
        self._closed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.outlet = outlet(self._write)

    async def _write(self, blocks: bytes, more: bool = True) -> None:
        if not self._started:
            self._started = True
            await self._send(START)
        await self._send({"type": "http.response.body", "body": blocks, "more_body": more})

    def fail(self, error: Exception) -> None:
        """Break off the response, so that the client sees a lost connection."""
        if not isinstance(error, OSError):  # with which some servers report a disconnect
            _log.error("stream_failed", error_type=type(error).__name__, exc_info=error)
        if not self._closed.done():
            self._closed.set_result(False)

    def close(self, code: int, reason: str) -> None:
        """Begin to end the response. The code and the reason are for WebSockets alone."""
        self._subscription.close()  # nothing may follow
        if not self._closed.done():
            self._closed.set_result(True)

    async def serve(self, receive: Receive) -> None:
        """Return when the client has disconnected or the response has ended."""
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((leaving, self._closed), return_when=asyncio.FIRST_COMPLETED)
            if self._closed.done() and self._closed.result():
                await self.outlet.stop()
                await self._write(b"", more=False)
        except Exception as error:
            self.fail(error)
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def end(self) -> None:
        """Cancel and await the outlet's task."""
        await self.outlet.stop()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
