"""uvicorn's WebSocket protocol with direct writes, and with eviction of unresponsive clients.

At a ping time-out, stock uvicorn calls `transport.close()`, which waits for a buffer that a stalled
client never drains: the place is lost and SIGTERM hangs. This uses uvicorn's internals: its minor
version is pinned, `incompatibility` checks it at the start, and live tests hold the behaviour.
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

# Buffers for a stalled client, besides its queue. Linux doubles the first; with the client's own
# buffer they hold about 400 KB, a few hundred events of 1 KB, before the client is behind.
SEND_BUFFER_BYTES = 128 * 1024
WRITE_BUFFER_BYTES = 64 * 1024
SHUTDOWN_GRACE_S = 2.0
_log = structlog.get_logger("sightline.ws")
CLOSE_GRACE_S = 5.0  # for a client to answer a close frame, and
CLOSE_GRACE_BYTES = 64 * 1024  # that it may send until then
LINGER_S = 1.0  # an immediate close would reset a client that is still sending
# In one turn of the loop: the library parses about 40 frames a millisecond.
READ_BYTES = 4 * 1024


class DirectTransport:
    """The transport of one WebSocket, for an outlet that writes encoded frames."""

    __slots__ = ("_on_pause", "_on_resume", "_protocol", "evicted", "writable")

    def __init__(self, protocol: "SightlineWebSocketProtocol") -> None:
        self.writable = True
        self.evicted: str | None = None  # the reason of an abort
        self._protocol = protocol
        self._on_pause: Callable[[], None] = lambda: None
        self._on_resume: Callable[[], None] = lambda: None

    def attach(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Set the callbacks for changes of `writable`."""
        self._on_pause, self._on_resume = on_pause, on_resume

    def write(self, frames: bytes) -> None:
        """Write whole frames; write nothing after a close frame (RFC 6455, 5.5.1)."""
        protocol = self._protocol
        if not (protocol.close_sent or protocol.transport.is_closing()):
            protocol.transport.write(frames)

    def abort(self, reason: str) -> None:
        """Close the connection at once, and discard what is buffered."""
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
    """Direct writes, bounded buffers, and an abort after a ping time-out or a slow shutdown."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if hasattr(transport, "max_size"):  # asyncio's own
            transport.max_size = READ_BYTES
        self._direct = DirectTransport(self)
        self._heard = True  # whether the client sent anything since the last ping or look
        self._backlog = Backlog(cast(asyncio.Transport, transport))
        self._unsent_pong = b""  # the answer to the newest pings while the buffer was full
        self._allowance = Allowance(self.loop.time)  # for control frames and empty fragments
        self._after_close = 0  # bytes received after we sent a close frame

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()  # the scope has them too: one copy is enough
        if hasattr(self, "scope"):  # absent after a refused handshake
            cast(dict[str, object], self.scope["extensions"])[TRANSPORT] = self._direct

    def start_keepalive(self) -> None:
        del self.response  # sent: free its memory
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
        """Answer pings; while the client does not read, only the newest ones (RFC 6455, 5.5.3)."""
        pongs = b"".join(self.conn.data_to_send())
        if self.close_sent:  # the rest of a flood
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
        """Accept a fragment; an empty one counts as a control frame, as no size bounds it."""
        if event.data or event.fin:
            super().handle_cont(event)
        else:
            self._spend()

    def _spend(self) -> None:
        if not self._allowance.spend() and not self.close_sent:
            self.conn.fail(CLOSE_TOO_MANY_MESSAGES, "too many frames")
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Send the close frame, and close after `LINGER_S` without waiting for the client."""
        assert self.conn.close_sent is not None
        code, reason = int(self.conn.close_sent.code), self.conn.close_sent.reason
        self._direct.evicted = f"close_{code}"
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():
            with suppress(OSError):  # reset; `connection_lost` follows
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
        """Keep a client that sent something or whose backlog drains; abort any other."""
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


def incompatibility(config: uvicorn.Config) -> str | None:
    """The internals used here that this uvicorn lacks, as text; None if all exist."""
    stock = WebSocketsSansIOProtocol(config, ServerState(), {})
    missing = sorted(name for name in _USED if not hasattr(stock, name))
    return f"uvicorn {uvicorn.__version__} has no {', '.join(missing)}" if missing else None


def use_stock_if_incompatible(config: uvicorn.Config) -> None:
    """If the internals changed, use uvicorn's own protocol: slower and without eviction."""
    if (lacking := incompatibility(config)) is not None:
        _log.error("stock_protocol", why=lacking, remedy="install the locked versions again")
        config.ws = config.ws_protocol_class = WebSocketsSansIOProtocol
