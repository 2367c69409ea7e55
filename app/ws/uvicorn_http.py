"""uvicorn's HTTP protocol with an end to its patience, for the handshake and for plain requests.

Stock uvicorn waits for a head or a body for ever, answers an oversized upgrade with silence, keeps
a response for a client that never reads it, and accepts until no descriptor is left. This uses
uvicorn's internals, so its minor version is pinned and live tests hold the behaviour.
"""

import asyncio
import os
import resource
import socket

import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import ErrorMessage
from app.metrics import Counters
from app.ws.uvicorn_strict import StrictHTTPProtocol

MAX_HEAD_BYTES = 8 * 1024  # the websockets library takes no longer line either
HEAD_TIMEOUT_S = 8.0  # for a whole head, however lively its bytes drip
BODY_TIMEOUT_S = 8.0  # and the time that its bytes so far take at
BODY_BYTES_PER_S = 16 * 1024
LONGEST_BODY_S = 60.0
UNREAD_TIMEOUT_S = 8.0  # without one byte of a waiting response taken
LINGER_S = 1.0  # a client that is still sending reads its refusal only if it is not reset
SHUTDOWN_GRACE_S = 2.0  # for requests under way
READ_BYTES = 64 * 1024  # of one client, before the others have their turn
SEND_BUFFER_BYTES = 128 * 1024  # kernel memory an unread response may hold, doubled by Linux
MAX_WAITING = 2048  # connections beside the clients'
RESERVED_DESCRIPTORS = 64  # for files, git, and what one turn of the loop accepts

_log = structlog.get_logger("sightline.door")


def most_connections(max_clients: int) -> int:
    """How many connections to hold: the clients, a bounded crowd, never the last descriptors."""
    most = max_clients + MAX_WAITING
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors != resource.RLIM_INFINITY:
        most = min(most, descriptors - len(os.listdir("/dev/fd")) - RESERVED_DESCRIPTORS)
    return max(most, 1)


def http_protocol(most: int, counters: Counters) -> type["SightlineHTTPProtocol"]:
    """The protocol class of a server that holds at most so many connections."""
    return type("HTTPProtocol", (SightlineHTTPProtocol,), {"most": most, "counters": counters})


class SightlineHTTPProtocol(StrictHTTPProtocol):
    """Heads, bodies and responses in bounded time; the oldest idle connection makes room."""

    most: int
    counters: Counters

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
        self._deadline: asyncio.TimerHandle | None = None  # of a head or body; None between them
        self._unread: asyncio.TimerHandle | None = None
        self._refused = False  # whatever still comes is not looked at
        self._wait_for_head()
        if len(self.connections) > self.most:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._deadline)
        _cancel(self._unread)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and not self._refused:
            self._wait_for_head()
        while data and self._reading_head and not self._refused:
            room = MAX_HEAD_BYTES - self._received
            part, data = data[:room], data[room:]
            self._received += len(part)
            super().data_received(part)
            if self._reading_head and self._received == MAX_HEAD_BYTES:
                self._refuse(
                    431,
                    "head_too_large",
                    f"the head is over {MAX_HEAD_BYTES} bytes: shorten address, headers or cookies",
                )
        if data and not self._refused and self.transport.get_protocol() is self:
            self._received += len(data)
            super().data_received(data)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._reading_head = False
        self._wait(BODY_TIMEOUT_S)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        _cancel(self._deadline)
        self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the shape of all refusals."""
        self._refuse(400, "bad_request", f"{msg.rstrip('.')}: use an HTTP library")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._unread)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(SHUTDOWN_GRACE_S, self.transport.abort)

    @property
    def _idle(self) -> bool:
        """Whether no response is owed, so that nobody would miss this connection."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._reading_head = True
        self._wait(HEAD_TIMEOUT_S)

    def _wait(self, timeout_s: float) -> None:
        _cancel(self._deadline)
        self._received = 0
        self._began = self.loop.time()
        self._deadline = self.loop.call_later(timeout_s, self._look_at_sender)

    def _look_at_sender(self) -> None:
        waited_s = self.loop.time() - self._began
        if self.flow.read_paused:  # by us
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
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(UNREAD_TIMEOUT_S, self._look_at_reader, left)

    def _look_at_reader(self, left_before: int) -> None:
        if self.transport.get_write_buffer_size() < left_before:
            self._watch_reader()
        else:
            self.counters.evictions["response_unread"] += 1
            _log.warning("evicted", reason="response_unread", peer=self._peer)
            self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection that has been idle for longest; this new one is idle, too."""
        ours = (each for each in self.connections if isinstance(each, SightlineHTTPProtocol))
        waiting = (each for each in ours if each._idle and not each._refused)
        oldest = min(waiting, key=lambda each: each._began)
        oldest._refuse(503, "unavailable", "too many connections: try again in a moment")
        oldest.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer where that is still possible, then close as soon as the client lets go of it."""
        busy = not self._idle if self._reading_head else self.cycle.response_started
        self._refused = True
        _cancel(self._deadline)
        if self.cycle is not None:  # its application must neither wait nor write any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.is_closing():
            return
        if busy or self.pipeline:
            self.counters.evictions[code] += 1
            _log.warning("evicted", reason=code, peer=self._peer)
            self.transport.close()
        else:
            self._answer(status, code, message)

    def _answer(self, status: int, code: str, message: str) -> None:
        self.counters.refusals[str(status)] += 1
        _log.warning("refused", status=status, reason=code, peer=self._peer)
        body = msgspec.json.encode(ErrorMessage(code, message))
        head = [STATUS_LINE[status]]
        head += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        head.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
        head.append(b"retry-after: 5\r\n" if status == 503 else b"")
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    @property
    def _peer(self) -> str:
        return ":".join(map(str, self.client or ("unknown",)))


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
