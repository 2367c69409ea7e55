"""uvicorn's WebSocket protocol with direct writes, and with eviction of unresponsive clients.

At a ping time-out, stock uvicorn calls `transport.close()`, which waits for a buffer that a stalled
client never drains: the place is lost and SIGTERM hangs. This uses uvicorn's internals: its minor
version is pinned, `internals` checks them at the start, and live tests hold the behaviour.
"""

import asyncio
from contextlib import suppress
from typing import cast

from uvicorn._types import ASGISendEvent, WebSocketAcceptEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode as StandardCode, Frame
from websockets.http11 import Request
from websockets.protocol import Protocol, State

from ..errors import CloseCode
from ..timers import set_timer
from ..ws.outlet import TRANSPORT
from ..ws.session import Allowance
from .backlog import Backlog
from .direct import DirectTransport, Inbox
from .upgrade import KEY, accepted, socket_scope

# Of the transport. With the buffer of the kernel, which the HTTP protocol sets, and that of the
# client, about 400 KB are written before a stalled client is behind: a few hundred events of 1 KB.
WRITE_BUFFER_BYTES = 64 * 1024
SHUTDOWN_GRACE_S = 2.0
CLOSE_GRACE_S = 5.0  # for a client to answer a close frame, and
CLOSE_GRACE_BYTES = 64 * 1024  # that it may send until then
LINGER_S = 1.0  # an immediate close would reset a client that is still sending
# In one turn of the loop: the library parses about 40 frames a millisecond.
READ_BYTES = 4 * 1024


class SightlineWebSocketProtocol(WebSocketsSansIOProtocol):
    """Direct writes, bounded buffers, and an abort after a ping time-out or a slow shutdown."""

    # What few connections change is not in their dicts: 43 names in one take 700 bytes more than 42.
    _key: bytes | None = None  # of a handshake that `take_over` got, until it is accepted
    _early = b""  # input before that
    _unsent_pong = b""  # the answer to the newest pings while the buffer was full
    _after_close = 0  # bytes received after we sent a close frame
    _leaving = False  # whether `shutdown` was called

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._begin(cast(asyncio.Transport, transport))

    def _begin(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if hasattr(transport, "max_size"):  # asyncio's own
            transport.max_size = READ_BYTES
        self._direct = DirectTransport(self)
        self._heard = True  # whether the client sent anything since the last ping or look
        self._backlog = Backlog(transport)
        self._allowance = Allowance(self.loop.time)  # for control frames and empty fragments

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._direct.lose()  # break cycles: the collector would free a thousand connections at once
        self.conn.parser_exc = None  # its traceback has a frame that refers to this connection
        self.conn.parser.close()

    def take_over(self, http: HttpToolsProtocol) -> None:
        """Begin with a valid handshake that the HTTP protocol has read; see `upgrade`."""
        self.transport, self.server, self.client = http.transport, http.server, http.client
        self.connections.add(self)
        self._begin(http.transport)
        headers = dict(http.headers)
        self._key = headers[KEY]
        self.queue = Inbox()  # type: ignore[assignment]
        self.scope = socket_scope(http.scope, http.url, headers)
        self._offer_direct_writes()
        self.conn.parser = Protocol.parse(self.conn)  # frames come next, and no request
        next(self.conn.parser)
        self.handshake_initiated = True
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        event.headers.clear()  # the scope has them too: one copy is enough
        if hasattr(self, "scope"):  # absent after a refused handshake
            self._offer_direct_writes()

    def _offer_direct_writes(self) -> None:
        cast(dict[str, object], self.scope["extensions"])[TRANSPORT] = self._direct

    def start_keepalive(self) -> None:
        if hasattr(self, "response"):
            del self.response  # sent: free its memory
        super().start_keepalive()

    def data_received(self, data: bytes) -> None:
        if self._key is not None:  # the client did not wait for the answer
            self._early += data
            self.transport.pause_reading()
            return
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

    def send_receive_event_to_app(self) -> None:
        """Close with 1007 if a text is not UTF-8; uvicorn would log a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.conn.fail(StandardCode.INVALID_DATA, "the text is not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def _spend(self) -> None:
        if not self._allowance.spend() and not self.close_sent:
            self.conn.fail(CloseCode.TOO_MANY_MESSAGES, "too many frames")
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Send the close frame, and close after `LINGER_S` without waiting for the client."""
        assert self.conn.close_sent is not None
        code, reason = int(self.conn.close_sent.code), self.conn.close_sent.reason
        if not self.conn.close_rcvd_then_sent:  # else the code is the client's
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
        if self._key is not None and message["type"] == "websocket.accept":
            self._accept(self._key, message)
        else:
            self._direct.flush()
            await super().send(message)
        if self._leaving and message["type"] == "websocket.accept":
            self.shutdown()
        if self.close_timer is not None and message["type"] == "websocket.close":
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_GRACE_S, self.transport.abort)

    def _accept(self, key: bytes, message: WebSocketAcceptEvent) -> None:
        if self.disconnected:
            raise ClientDisconnected
        headers = [*self.default_headers, *message.get("headers", ())]
        self._direct.write_with_next(accepted(key, headers, message.get("subprotocol")))
        del self._key
        self.conn.state = State.OPEN
        self.handshake_complete = True
        self.start_keepalive()
        if self._early:
            self.loop.call_soon(self._read_early)

    def _read_early(self) -> None:
        data, self._early = self._early, b""
        self.data_received(data)
        if not self.read_paused:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._direct.pause()

    def resume_writing(self) -> None:
        pong, self._unsent_pong = self._unsent_pong, b""
        self._direct.write(pong)
        super().resume_writing()
        self._direct.resume()

    def schedule_ping(self) -> None:
        assert self.ping_interval is not None
        ping = set_timer(self.loop, self.ping_interval, self.send_keepalive_ping)
        self.ping_timer = cast(asyncio.TimerHandle, ping)

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
        self._leaving = True
        if self.handshake_complete or self.close_sent:
            self._direct.flush()
            super().shutdown()
        # Else `send` calls this again after the application's answer; uvicorn would answer 500 now.
        self.loop.call_later(SHUTDOWN_GRACE_S, self.transport.abort)
