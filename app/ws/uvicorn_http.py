"""uvicorn's HTTP protocol with an end to its patience, for the handshake and for plain requests.

Stock uvicorn waits for a head or a body for ever, answers an oversized upgrade with silence, keeps
a response for a client that never reads it, and accepts until no descriptor is left. This uses
uvicorn's internals, so its minor version is pinned and live tests hold the behaviour.
"""

import asyncio
import socket

import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.metrics import Counters
from app.ws.backlog import Backlog
from app.ws.room import Room, peer_of
from app.ws.uvicorn_cycle import GatewayCycle, last_answer
from app.ws.uvicorn_strict import StrictHTTPProtocol

MAX_HEAD_BYTES = 8 * 1024  # the websockets library takes no longer line either
HEAD_TIMEOUT_S = 8.0  # for a whole head, however lively its bytes drip
BODY_TIMEOUT_S = 8.0  # and the time that its bytes so far take at
BODY_BYTES_PER_S = 16 * 1024
LONGEST_BODY_S = 60.0
UNREAD_TIMEOUT_S = 8.0  # without one byte taken of those that are written and have not arrived
UNWANTED_BYTES = 64 * 1024  # of a body whose answer is out, or of requests whose turn has not come
LINGER_S = 1.0  # a client that is still sending reads its refusal only if it is not reset
SHUTDOWN_GRACE_S = 2.0  # for requests under way
READ_BYTES = 64 * 1024  # of one client, before the others have their turn
SEND_BUFFER_BYTES = 128 * 1024  # kernel memory an unread response may hold, doubled by Linux

_log = structlog.get_logger("sightline.door")


def http_protocol(most: int, counters: Counters) -> type["SightlineHTTPProtocol"]:
    """The protocol class of a server that holds at most so many connections."""
    return type("HTTPProtocol", (SightlineHTTPProtocol,), {"room": Room(most, counters)})


class SightlineHTTPProtocol(StrictHTTPProtocol):
    """Heads, bodies and responses in bounded time and bytes; who waits without a credential goes first."""

    room: Room

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if raw.family != socket.AF_UNIX:  # asyncio does not where a listener was handed over
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # `pause_writing` tells of what is left over; at 0, TLS would be paused for ever
        transport.set_write_buffer_limits(high=1, low=0)
        if hasattr(transport, "max_size"):  # asyncio's own
            transport.max_size = READ_BYTES
        self.peer = peer_of(self.client[0] if self.client else None)
        self._known = False
        self._running: GatewayCycle | None = None  # the request that is being answered, or was
        self._deadline: asyncio.TimerHandle | None = None  # of a head or body; None between them
        self._unread: asyncio.TimerHandle | None = None
        self._backlog = Backlog(transport)
        self._held = b""  # what came behind a request that waits for its turn
        self._refused = False  # whatever still comes is not looked at
        self._wait_for_head()
        self.room.keep_within(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._deadline)
        _cancel(self._unread)
        self.room.leave(self)
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        _cancel(self._deadline)
        _cancel(self._unread)
        self.room.leave(self)
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        if (self.pipeline or self._held) and not self._refused:  # their turn has not come
            self._held += data
            if len(self._held) > UNWANTED_BYTES:
                self._refuse(400, "bad_request", "too many requests at once: wait for the answers")
            return
        if self._deadline is None and not self._refused:
            self._wait_for_head()
        while data and not self._refused and self.transport.get_protocol() is self:
            if self.pipeline:
                self._held = data
                return
            room = MAX_HEAD_BYTES - self._received if self._reading_head else MAX_HEAD_BYTES
            part, data = data[:room], data[room:]
            self._received += len(part)
            super().data_received(part)
            if not self._refused:
                self._count()

    def _count(self) -> None:
        """End what takes more bytes than a request may."""
        framing = self._received - self._body_bytes
        if self._deadline is None:
            return  # the request is complete
        if self._reading_head:
            if self._received >= MAX_HEAD_BYTES:
                why = (
                    f"the head is over {MAX_HEAD_BYTES} bytes: shorten address, headers or cookies"
                )
                self._refuse(431, "head_too_large", why)
        elif framing > MAX_HEAD_BYTES + self._body_bytes:
            why = "chunk sizes and trailers outgrow the body: send larger chunks, and no trailers"
            self._refuse(400, "bad_request", why)
        elif self._unwanted > UNWANTED_BYTES:
            self._linger()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._reading_head:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._reading_head = False
        self._wait(BODY_TIMEOUT_S)
        if self.pipeline:
            self.flow.resume_reading()  # or nobody sees that the client has gone

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle is not None and self.cycle.response_complete:
            self._unwanted += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        _cancel(self._deadline)
        self._deadline = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._held and not self.pipeline:
            data, self._held = self._held, b""
            self.loop.call_soon(self.data_received, data)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        GatewayCycle.adopt(cycle)
        assert isinstance(cycle, GatewayCycle)
        self._known, self._running = self.known, cycle
        if self._unread is None:
            self._watch_reader()
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or cannot be taken, in the shape of all refusals."""
        if (fault := self.fault) is not None:
            self._refuse(fault.status, fault.code, str(fault))
        else:
            self._refuse(400, "bad_request", f"{msg.rstrip('.')}: use an HTTP library")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(SHUTDOWN_GRACE_S, self.transport.abort)

    @property
    def _idle(self) -> bool:
        """Whether no response is owed, so that nobody would miss this connection."""
        return self._running is None or self._running.response_complete

    @property
    def waiting(self) -> bool:
        """Whether the gateway waits for this client: for a request, or for the rest of one."""
        if self._refused:
            return False
        return self._running is None or self._running.response_complete or self._running.more_body

    @property
    def known(self) -> bool:
        """Whether it has shown a good credential: the guard writes so into the scope."""
        if self._running is not None:
            self._known = self._known or "authenticated_by" in self._running.scope["state"]
        return self._known

    def make_room(self) -> None:
        """Say why, as far as that can be said at once, and end."""
        self._refuse(503, "unavailable", "too many connections: try again in a moment")
        self.transport.abort()

    def _wait_for_head(self) -> None:
        self._reading_head = True
        self._wait(HEAD_TIMEOUT_S)

    def _wait(self, timeout_s: float) -> None:
        _cancel(self._deadline)
        self._received = self._body_bytes = self._unwanted = 0
        self._began = self.loop.time()
        self._deadline = self.loop.call_later(timeout_s, self._look_at_sender)
        self.room.join(self)

    def _look_at_sender(self) -> None:
        waited_s = self.loop.time() - self._began
        if self.flow.read_paused or self.pipeline:  # by us
            allowed_s = waited_s + BODY_TIMEOUT_S
        elif self._reading_head:
            allowed_s = HEAD_TIMEOUT_S
        else:
            allowed_s = BODY_TIMEOUT_S + self._received / BODY_BYTES_PER_S
            allowed_s = min(allowed_s, LONGEST_BODY_S)
        if waited_s < allowed_s:
            self._deadline = self.loop.call_later(allowed_s - waited_s, self._look_at_sender)
        elif self._reading_head and not self._received:
            self.transport.close()  # browsers open such in advance, and want no answer
        else:
            part = "head" if self._reading_head else "body"
            self._refuse(408, "too_slow", f"the {part} of the request took too long: send it again")

    def _watch_reader(self) -> None:
        _cancel(self._unread)
        self._backlog.look()
        self._unread = self.loop.call_later(UNREAD_TIMEOUT_S, self._look_at_reader)

    def _look_at_reader(self) -> None:
        self._unread = None
        if self._backlog.look() == "stuck":
            self.room.counters.evictions["response_unread"] += 1
            _log.warning("evicted", reason="response_unread", peer=self._address)
            self.transport.abort()
        elif self._backlog.size or not self._idle:
            self._watch_reader()

    def _leave(self) -> None:
        """Let no application wait or write any more: also none whose turn had not come."""
        for cycle in (self._running, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer where that is still possible, then close as soon as the client lets go of it."""
        busy = self._running is not None and self._running.response_started
        busy = busy and not (self._reading_head and self._idle)
        self._refused = True
        _cancel(self._deadline)
        self._leave()
        if self.transport.is_closing():
            return
        if busy or self.pipeline:
            self.room.counters.evictions[code] += 1
            _log.warning("evicted", reason=code, peer=self._address)
            self.transport.close()
        else:
            self._answer(status, code, message)

    def _answer(self, status: int, code: str, message: str) -> None:
        self.room.counters.refusals[str(status)] += 1
        _log.warning("refused", status=status, reason=code, peer=self._address)
        headers = self.server_state.default_headers
        self.transport.write(last_answer(status, code, message, headers))
        self._linger()

    def _linger(self) -> None:
        """Close, but not before a client that is still sending could read what was answered."""
        self._refused = True
        _cancel(self._deadline)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    @property
    def _address(self) -> str:
        return ":".join(map(str, self.client or ("unknown",)))


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
