"""`emit`: publish without waiting, and never raise. Telemetry must not stop the work that it reports."""

import atexit
import logging
import random
import secrets
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import httpx

from sightline_client.address import Address, find
from sightline_client.core import pause_s
from sightline_client.errors import PublishError, SightlineError, UnreachableError
from sightline_client.events import KnownData
from sightline_client.proof import Proven
from sightline_client.wire import (
    MAX_BODY_BYTES,
    PATH,
    TIMEOUT_S,
    Fields,
    NewEvent,
    encode,
    new_event,
    published,
    request_headers,
    unreachable,
    uses_proxies,
)

MAX_KEPT = 1000
MAX_KEPT_BYTES = 16 * 1024 * 1024
MAX_SENT = 100  # events in one request
CLOSE_S = 2.0
THREAD = "sightline-emit"
log = logging.getLogger("sightline_client")


class Emitter:
    """Sends events from a thread of its own, in order, so that any thread or loop may emit.

    While the gateway is away it keeps the newest 1,000 events, up to 16 MiB, and tries again with
    growing pauses; the address and the token are looked up anew each time. What is lost is counted
    in `lost` and logged.
    """

    def __init__(self, address: Callable[[], Address] = find) -> None:
        self.lost = 0
        """Events that were refused, could not be encoded, or were dropped while the gateway was away."""
        self._address = address
        self._news = threading.Condition()  # guards all below
        self._kept: deque[tuple[int, bytes]] = deque()  # with their numbers, for idempotency keys
        self._kept_bytes = 0
        self._sending: list[tuple[int, bytes]] = []  # taken out of the kept ones
        self._emitted = 0
        self._logged = 0  # how many of the lost were logged
        self._closing = False
        self._thread: threading.Thread | None = None
        self._name = secrets.token_hex(8)
        self._http: tuple[Address, httpx.Client] | None = None  # the thread's alone, as
        self._gateway: Proven | None = None

    def emit(
        self,
        event: NewEvent | KnownData | str,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> None:
        """Hand over one event, given as to `publish`; return at once."""
        try:
            encoded = encode(new_event(event, data, metadata))
            if len(encoded) > MAX_BODY_BYTES:
                raise ValueError(f"the event has {len(encoded)} bytes, over {MAX_BODY_BYTES}")
        except Exception as error:
            with self._news:
                self._lose(1)
            log.warning("an event is lost: %s", error)
            return
        with self._news:
            self._emitted += 1
            self._kept.append((self._emitted, encoded))
            self._kept_bytes += len(encoded)
            self._drop_oldest()
            self._run()
            self._news.notify()

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Send what is kept, within `wait_s`; what is left then is lost, and logged."""
        with self._news:
            self._closing = True
            self._news.notify()
            thread = self._thread
        if thread is not None:
            thread.join(wait_s)
        with self._news:
            self._lose(len(self._kept) + len(self._sending))
            self._kept.clear()
            self._kept_bytes = 0
        self._say()

    def _run(self) -> None:
        """Start the thread if there is none; a fork does not copy it."""
        if not self._closing and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._send_all, name=THREAD, daemon=True)
            with suppress(RuntimeError):  # the interpreter is ending: `close` logs what is lost
                self._thread.start()

    def _drop_oldest(self) -> None:
        while len(self._kept) > MAX_KEPT or self._kept_bytes > MAX_KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft()[1])
            self._lose(1)

    def _lose(self, count: int) -> None:
        self.lost += count

    def _say(self) -> None:
        with self._news:
            count, self._logged = self.lost - self._logged, self.lost
        if count:
            log.warning("%d emitted events are lost, %d in all", count, self.lost)

    def _send_all(self) -> None:
        attempt, most, said = 0, MAX_SENT, ""
        while batch := self._next(most):
            try:
                self._send(batch)
            except PublishError as error:
                # One of them is wrong, and then none is published: find it by sending each alone.
                most = 1
                self._done(keep=len(batch) > 1, lost=1 if len(batch) == 1 else 0)
                if len(batch) == 1:
                    log.warning("an event is lost: %s", error)
            except Exception as error:
                self._done(keep=True)
                failure = (
                    error if isinstance(error, SightlineError) else UnreachableError(str(error))
                )
                if said != str(failure):
                    said = str(failure)
                    log.warning("%s; the newest %d events are kept", said, MAX_KEPT)
                with self._news:
                    wait_s = pause_s(failure, attempt, random.random())
                    if self._news.wait_for(lambda: self._closing, wait_s):
                        break
                attempt += 1
            else:
                self._done(keep=False)
                most = min(MAX_SENT, 2 * most)
                if attempt:
                    log.warning("the gateway takes events again")
                attempt, said = 0, ""
                self._say()
        if self._http is not None:
            self._http[1].close()

    def _next(self, most: int) -> list[tuple[int, bytes]]:
        """Wait for events and return the oldest; none at the end."""
        with self._news:
            self._news.wait_for(lambda: self._kept or self._closing)
            room = MAX_BODY_BYTES - 2
            while self._kept and len(self._sending) < most:
                room -= len(self._kept[0][1]) + 2
                if self._sending and room < 0:
                    break
                self._sending.append(self._kept.popleft())
                self._kept_bytes -= len(self._sending[-1][1])
            return self._sending

    def _done(self, keep: bool, lost: int = 0) -> None:
        """Put back the events that were being sent, or drop them."""
        with self._news:
            if keep:
                self._kept.extendleft(reversed(self._sending))
                self._kept_bytes += sum(len(encoded) for _, encoded in self._sending)
                self._drop_oldest()
            self._sending = []
            self._lose(lost)

    def _send(self, batch: list[tuple[int, bytes]]) -> None:
        if self._gateway is None:  # looked up anew after each failure: a restart may move both
            self._gateway = Proven(self._address)
        gateway_headers, address = self._gateway.headers, self._gateway.found
        if self._http is None or self._http[0] != address:
            client = httpx.Client(timeout=TIMEOUT_S, trust_env=uses_proxies(address))
            self._http = (address, client)
        body = b"[" + b",\n".join(encoded for _, encoded in batch) + b"]"
        # The same after a lost answer: a gateway that remembers keys then publishes them once.
        key = f"{self._name}-{batch[0][0]}-{batch[-1][0]}"
        headers = gateway_headers | request_headers(key)
        try:
            answer = self._http[1].post(address.url + PATH, content=body, headers=headers)
        except httpx.HTTPError as error:
            self._gateway = None
            raise unreachable(address, error) from error
        if answer.status_code == 401:
            self._gateway = None
        published(answer)


_shared: Emitter | None = None
_making = threading.Lock()


def emit(
    event: NewEvent | KnownData | str, data: Fields | None = None, metadata: Fields | None = None
) -> None:
    """Publish one event without waiting, and never raise: `emit(WorkflowStarted(…))`.

    It goes to the gateway that `find` finds. Of the events that wait while the gateway is away, the
    newest 1,000 are kept; every loss is logged. At the end of the process there are two seconds for
    what still waits.
    """
    global _shared
    with _making:
        if _shared is None:
            _shared = Emitter()
            atexit.register(_shared.close)
    _shared.emit(event, data, metadata)
