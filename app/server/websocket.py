"""uvicorn's WebSocket protocol with direct writes, and with eviction: who is gone is aborted.

Stock uvicorn answers a ping time-out with `transport.close()`, which waits for a buffer that a
stalled reader never drains: the place is lost and SIGTERM hangs. This uses uvicorn's internals,
so its minor version is pinned, `misfit` looks at the start and live tests hold the behaviour.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import structlog
import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request

from ..errors import CLOSE_TOO_MANY_MESSAGES
from ..ws.outlet import TRANSPORT
from ..ws.session import Allowance
from .backlog import Backlog

# What a client that stalls may hold beyond its queue. Linux doubles the first; with the reader's
# own buffer about 400 KB are under way, a few hundred events of 1 KB, before it is behind.
SEND_BUFFER_BYTES = 128 * 1024
WRITE_BUFFER_BYTES = 64 * 1024
SHUTDOWN_GRACE_S = 2.0
_log = structlog.get_logger("sightline.ws")
CLOSE_GRACE_S = 5.0  # for a client to answer a close frame, and
CLOSE_GRACE_BYTES = 64 * 1024  # what may still come until then
LINGER_S = 1.0  # a client that is still sending reads why it is closed only if it is not reset
# The library parses some 40 frames a millisecond, and others must have their turn meanwhile.
READ_BYTES = 4 * 1024


class DirectTransport:
    """The connection below one WebSocket, for an outlet that writes ready frames."""

    __slots__ = ("_on_pause", "_on_resume", "_protocol", "evicted", "writable")

    def __init__(self, protocol: "SightlineWebSocketProtocol") -> None:
        self.writable = True
        self.evicted: str | None = None  # why the connection was aborted, if it was
        self._protocol = protocol
        self._on_pause: Callable[[], None] = lambda: None
        self._on_resume: Callable[[], None] = lambda: None

    def attach(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Have these called when `writable` changes."""
        self._on_pause, self._on_resume = on_pause, on_resume

    def write(self, frames: bytes) -> None:
        """Write whole frames; nothing once a close frame is out (RFC 6455, 5.5.1)."""
        protocol = self._protocol
        if not (protocol.close_sent or protocol.transport.is_closing()):
            protocol.transport.write(frames)

    def abort(self, reason: str) -> None:
        """Drop the connection and what is buffered for it."""
        self.evicted = reason
        self._protocol.close_sent = True
        self._protocol.transport.abort()

    def pause(self) -> None:
        """The transport is full."""
        self.writable = False
        self._on_pause()

    def resume(self) -> None:
        """The transport has room again."""
        self.writable = True
        self._on_resume()


class SightlineWebSocketProtocol(WebSocketsSansIOProtocol):
    """Direct writes, bounded buffers, and an abort on a ping time-out and after shutdown's grace."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if hasattr(transport, "max_size"):  # asyncio's own
            transport.max_size = READ_BYTES
        self._direct = DirectTransport(self)
        self._heard = True  # whether anything came since the last ping or look
        self._backlog = Backlog(cast(asyncio.Transport, transport))
        self._unsent_pong = (
            b""  # the answer to the newest pings that came while the buffer was full
        )
        self._allowance = Allowance(self.loop.time)  # for frames that say nothing
        self._after_close = 0  # bytes that came behind our close frame

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()  # the scope holds them too; an idle connection keeps one copy
        if hasattr(self, "scope"):  # not after a handshake that was refused
            cast(dict[str, object], self.scope["extensions"])[TRANSPORT] = self._direct

    def start_keepalive(self) -> None:
        del self.response  # sent; see `handle_connect`
        super().start_keepalive()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self.close_sent:
            self._after_close += len(data)
            if self._after_close > CLOSE_GRACE_BYTES:
                self.transport.abort()
        if self.conn.parser_exc is None:
            super().data_received(data)

    def handle_ping(self) -> None:
        """Answer, but only the newest pings while the client does not read (RFC 6455, 5.5.3)."""
        pongs = b"".join(self.conn.data_to_send())
        if self.close_sent:  # the rest of a flood that we have closed for
            return
        if not self._direct.writable:
            self._unsent_pong = pongs or self._unsent_pong
        elif not self.transport.is_closing():
            self.transport.write(pongs)
        self._spend()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._spend()

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment; empty ones have no size that would bound them."""
        if event.data or event.fin:
            super().handle_cont(event)
        else:
            self._spend()

    def _spend(self) -> None:
        if not self._allowance.spend() and not self.close_sent:
            self.conn.fail(CLOSE_TOO_MANY_MESSAGES, "too many frames")
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Say why the connection ends, and end it without waiting for more than that to be read."""
        assert self.conn.close_sent is not None
        code, reason = int(self.conn.close_sent.code), self.conn.close_sent.reason
        self._direct.evicted = f"close_{code}"
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():
            with suppress(OSError):  # it was reset, which is seen in another turn of the loop
                self.transport.write_eof()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_timer is not None and message["type"] == "websocket.close":
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_GRACE_S, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._direct.pause()

    def resume_writing(self) -> None:
        pong, self._unsent_pong = self._unsent_pong, b""
        self._direct.write(pong)
        super().resume_writing()
        self._direct.resume()

    def send_keepalive_ping(self) -> None:
        self._heard = False
        super().send_keepalive_ping()
        self._backlog.look()

    def keepalive_timeout(self) -> None:
        """Spare a client that was heard, or whose backlog visibly drains; abort any other."""
        state = self._backlog.look()
        draining = state == "moving"
        if (self._heard or draining) and not self.transport.is_closing():
            self._heard = False
            self.pong_timer = None
            if draining and self.ping_timeout is not None:
                self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            else:
                self.pending_ping_payload = None
                self.schedule_ping()
            return
        self.pong_timer = None
        self._direct.abort("ping_timeout" if state == "empty" else "stalled")

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(SHUTDOWN_GRACE_S, self.transport.abort)


_USED = {
    *("close_sent", "conn", "loop", "pending_ping_payload", "ping_timeout", "pong_timer"),
    *("transport", "connection_made", "data_received", "handle_connect", "handle_ping"),
    *("close_timer", "handle_cont", "handle_parser_exception", "handle_pong", "queue", "send"),
    *("keepalive_timeout", "pause_writing", "resume_writing", "schedule_ping"),
    *("send_keepalive_ping", "shutdown"),
}


def misfit(config: uvicorn.Config) -> str | None:
    """Name what this uvicorn lacks of the internals used here; None if nothing."""
    stock = WebSocketsSansIOProtocol(config, ServerState(), {})
    missing = sorted(name for name in _USED if not hasattr(stock, name))
    return f"uvicorn {uvicorn.__version__} has no {', '.join(missing)}" if missing else None


def fall_back_if_misfit(config: uvicorn.Config) -> None:
    """Serve by uvicorn's stock protocol, slower and without eviction, rather than fail midway."""
    if (lacking := misfit(config)) is not None:
        _log.error("stock_protocol", why=lacking, remedy="install the locked versions again")
        config.ws = config.ws_protocol_class = WebSocketsSansIOProtocol
