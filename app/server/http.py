"""uvicorn's HTTP protocol with bounds on time, bytes and connections, for requests and upgrades.

Stock uvicorn waits for a head or a body without limit, does not answer an oversized upgrade, keeps
a response that its client never reads, and accepts connections until no descriptor is left. This
uses uvicorn's internals: its minor version is pinned, and live tests hold the behaviour.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ..metrics import Counters
from ..timers import Timer, cancel, set_timer
from .backlog import Backlog
from .cycle import GatewayCycle, JoinedWrites, last_answer
from .request_bytes import CountingHTTPProtocol
from .room import Room, peer_of
from .turnstile import Turnstile

HEAD_TIMEOUT_S = 8.0  # for a whole head
BODY_TIMEOUT_S = 8.0  # plus the time for the received bytes at
BODY_BYTES_PER_S = 16 * 1024
LONGEST_BODY_S = 60.0
UNREAD_TIMEOUT_S = 8.0  # without progress of the backlog
LINGER_S = 1.0  # an immediate close would reset a client that is still sending
SHUTDOWN_GRACE_S = 2.0  # for running requests
LAST_REQUEST_S = 0.2  # for a request that is on its way when the gateway shuts down
READ_BYTES = 64 * 1024  # from one client in one turn of the loop
SEND_BUFFER_BYTES = 128 * 1024  # of the kernel, for unread output; Linux doubles it

_log = structlog.get_logger("sightline.access")


def http_protocol(most: int, counters: Counters) -> type["SightlineHTTPProtocol"]:
    """The protocol class of a server that holds at most `most` connections."""
    shared = {"room": Room(most, counters), "turnstile": Turnstile()}
    return type("HTTPProtocol", (SightlineHTTPProtocol,), shared)


class SightlineHTTPProtocol(CountingHTTPProtocol):
    """Bounds heads, bodies and responses; waiting unauthenticated connections are closed first."""

    room: Room
    turnstile: Turnstile

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if raw.family != socket.AF_UNIX:  # asyncio does not set it for an inherited listener
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # So that `pause_writing` reports any unsent byte; at `high=0`, TLS would stay paused.
        transport.set_write_buffer_limits(high=1, low=0)
        if hasattr(transport, "max_size"):  # asyncio's own
            transport.max_size = READ_BYTES
        # uvicorn asks its logger instead, which the lifespan has configured anew.
        self.access_log = self.access_log and self.config.access_log
        self.peer = peer_of(self.client[0] if self.client else None)
        self._known = False
        self._ending = False  # the next response is the last one
        self._running: GatewayCycle | None = None  # the current or last request
        self._deadline: Timer | asyncio.TimerHandle | None = None  # for the awaited part
        self._unread: Timer | asyncio.TimerHandle | None = None
        self._backlog = Backlog(transport)
        self._joined = JoinedWrites(transport, self.loop)
        self.begin("head")
        self.room.keep_within(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._leave()
        super().connection_lost(exc)
        self.pipeline.clear()  # break cycles: the collector is too slow in a flood
        self.cycle = self._running = None  # type: ignore[assignment]

    def _forget(self) -> None:
        cancel(self._deadline)
        cancel(self._unread)
        self.room.leave(self)
        self.turnstile.leave(self)

    def handle_websocket_upgrade(self) -> None:
        self.upgrading = True
        self._admit(self._upgrade)

    def _upgrade(self) -> None:
        self._forget()
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # break a cycle
        self.data_received(b"")  # passes on what is held

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        GatewayCycle.adopt(cycle, self._joined)
        assert isinstance(cycle, GatewayCycle)
        self._known, self._running = self.known, cycle
        cycle.keep_alive = cycle.keep_alive and not self._ending
        if self._unread is None:  # nothing is unread now: no look at the backlog
            self._unread = set_timer(self.loop, UNREAD_TIMEOUT_S, self._look_at_reader)
        self._admit(partial(super()._start_asgi_task, cycle, app))

    def _admit(self, start: Callable[[], None]) -> None:
        """Start a request at once on an authenticated connection, else through the turnstile."""
        if self.known:
            start()
        else:
            self.turnstile.admit(self, start)

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request in the format of all refusals."""
        if (fault := self.fault) is not None:
            self.refuse(fault.status, fault.code, str(fault))
        else:
            self.refuse(400, "bad_request", f"{msg.rstrip('.')}: use an HTTP library")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def shutdown(self) -> None:
        """Close after the current request, or after one that the client is just sending.

        uvicorn closes an idle connection at once. That would reset a request on its way, and a
        client cannot know whether such a publish was carried out.
        """
        self._ending = True
        self.loop.call_later(SHUTDOWN_GRACE_S, self.transport.abort)
        if self._answer_is_due():
            super().shutdown()
        else:
            self.loop.call_later(LAST_REQUEST_S, super().shutdown)

    @property
    def waiting(self) -> bool:
        """Whether the gateway waits for this client to send or to read something."""
        return (
            self.refused
            or self in self.turnstile
            or self._running is None
            or self._running.response_complete
            or self._running.more_body
            or self.flow.write_paused
        )

    @property
    def known(self) -> bool:
        """Whether a request was authenticated, which the guard records in the scope."""
        if self._running is not None:
            self._known = self._known or "credential" in self._running.scope["state"]
        return self._known

    def make_room(self) -> None:
        """Answer 503 as far as possible without waiting, and abort."""
        if not self.refused:
            self.refuse(503, "unavailable", "too many connections: try again in a moment")
        self.room.leave(self)
        self.transport.abort()

    def begin(self, part: Literal["head", "body"] | None) -> None:
        """Await this part of a request, and set its deadline."""
        super().begin(part)
        if part is not None:
            self._began = self.loop.time()
            if self._deadline is None:  # a running timer ends early, and is then set again
                patience_s = HEAD_TIMEOUT_S if part == "head" else BODY_TIMEOUT_S
                self._deadline = set_timer(self.loop, patience_s, self._look_at_sender)
            self.room.join(self)

    def _look_at_sender(self) -> None:
        self._deadline = None
        if self.part is None:  # between two requests, uvicorn's keep-alive ends the connection
            return
        waited_s = self.loop.time() - self._began
        if self.flow.read_paused or self.pipeline:  # we do not read, so the client cannot send
            allowed_s = waited_s + BODY_TIMEOUT_S
        elif self.part == "head":
            allowed_s = HEAD_TIMEOUT_S
        else:
            allowed_s = BODY_TIMEOUT_S + self.received / BODY_BYTES_PER_S
            allowed_s = min(allowed_s, LONGEST_BODY_S)
        if waited_s < allowed_s:
            self._deadline = self.loop.call_later(allowed_s - waited_s, self._look_at_sender)
        elif self.part == "head" and not self.received:
            self.transport.close()  # browsers open spare connections in advance
        else:
            why = f"the {self.part} of the request took too long: send it again"
            self.refuse(408, "too_slow", why)

    def _watch_reader(self) -> None:
        cancel(self._unread)
        self._backlog.look()
        self._unread = self.loop.call_later(UNREAD_TIMEOUT_S, self._look_at_reader)

    def _look_at_reader(self) -> None:
        self._unread = None
        if self._backlog.look() == "stuck":
            self.room.counters.evictions["response_unread"] += 1
            _log.warning("evicted", reason="response_unread", peer=self._address)
            self.transport.abort()
        elif self._backlog.size or self._answer_is_due():
            self._watch_reader()

    def _leave(self) -> None:
        """Report the disconnect to every running and pipelined request."""
        for cycle in (self._running, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer if no response has started, then close; the client has `LINGER_S` to read it."""
        busy = self._running is not None and self._running.response_started
        busy = busy and not (self.part == "head" and not self._answer_is_due())
        self.refused = True
        cancel(self._deadline)
        self.turnstile.leave(self)
        self._leave()
        if self.transport.is_closing():
            return
        if busy or self.pipeline:
            self.room.counters.evictions[code] += 1
            _log.warning("evicted", reason=code, peer=self._address)
            self.transport.close()
        else:
            self.room.counters.refusals[str(status)] += 1
            _log.warning("refused", status=status, reason=code, peer=self._address)
            headers = self.server_state.default_headers
            self.transport.write(last_answer(status, code, message, headers))
            self.linger()

    def linger(self) -> None:
        """Close after `LINGER_S`, so that a client that is still sending can read the response."""
        self.refused = True
        cancel(self._deadline)
        if self.transport.can_write_eof():
            with suppress(OSError):  # reset; `connection_lost` follows
                self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    @property
    def _address(self) -> str:
        return ":".join(map(str, self.client or ("unknown",)))
