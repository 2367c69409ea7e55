"""uvicorn's WebSocket protocol with eviction: a client that is gone is aborted, not waited for.

Stock uvicorn answers a ping time-out with `transport.close()`, which waits for a buffer that a
stalled reader never drains: the place is lost and SIGTERM hangs. This uses uvicorn's internals,
so its minor version is pinned and a live test holds the behaviour.
"""

import asyncio
import socket
import sys
from typing import cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from app.ws.listener import EVICTS

SEND_BUFFER_BYTES = 128 * 1024  # kernel memory a stalled client may hold, doubled by Linux
WRITE_BUFFER_BYTES = 64 * 1024
SHUTDOWN_GRACE_S = 2.0


class SightlineWebSocketProtocol(WebSocketsSansIOProtocol):
    """Abort on a ping time-out and after shutdown's grace; bounded buffers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._heard = True  # whether anything came since the last ping or look
        self._buffered = 0  # bytes unsent at the last look

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # not after a handshake that was refused
            cast(dict[str, object], self.scope["extensions"])[EVICTS] = {}

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)

    def resume_writing(self) -> None:
        self._buffered = sys.maxsize  # it drained: whatever is there at the next look is progress
        super().resume_writing()

    def send_keepalive_ping(self) -> None:
        self._heard = False
        super().send_keepalive_ping()
        self._buffered = self.transport.get_write_buffer_size()

    def keepalive_timeout(self) -> None:
        """Spare a client that was heard, or whose full buffer visibly drains; abort any other."""
        left = self.transport.get_write_buffer_size()
        draining = 0 < left < self._buffered
        if (self._heard or draining) and not self.transport.is_closing():
            self._buffered, self._heard = left, False
            self.pong_timer = None
            if draining and self.ping_timeout is not None:
                self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            else:
                self.pending_ping_payload = None
                self.schedule_ping()
            return
        self.pong_timer = None
        self.close_sent = True
        self.transport.abort()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(SHUTDOWN_GRACE_S, self.transport.abort)
