"""`EventPublisher`: how services put events into the stream. Encode and check first, number second."""

import asyncio
import concurrent.futures
import re
import threading
from collections.abc import Sequence

import msgspec
import structlog

from app.catalog import Catalog
from app.channels.backend import ChannelBackend
from app.channels.bus import Contents
from app.channels.encoding import Fields, encode
from app.errors import EventTooLargeError, PublishError, UnavailableError
from app.events import Clock, Event

YIELD_EVERY = 64  # publishes without a pause before the loop gets a turn
MAX_FROM_THREADS = 1000  # publishes from other threads in flight
_KEY = re.compile(r"[!-~]{1,256}")  # with room for what an array adds to the key of a request
_log = structlog.get_logger("sightline.publisher")


class EventPublisher:
    """Publish by type name or by catalog struct. One per gateway, injected, never a global."""

    def __init__(
        self, backend: ChannelBackend, catalog: Catalog, clock: Clock, max_event_bytes: int
    ) -> None:
        self._backend = backend
        self._catalog = catalog
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since_pause = 0
        self._from_threads = threading.BoundedSemaphore(MAX_FROM_THREADS)
        self.emit_failures = 0

    async def publish(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
        *,
        key: str | None = None,
    ) -> Event:
        """Publish one event and return it, numbered. It is in every queue when this returns.

        `key`, of 1 to 256 visible ASCII characters, makes a retry safe where the backend remembers
        keys (NATS). Cancelling does not take back what the backend was handed.

        Raises:
            PublishError: unknown type, or data or key that does not fit; no number is used up.
            UnavailableError: the gateway is shutting down, or the backend is away.
        """
        self._ensure_open()
        if key is not None:
            _check_key(key)
        type_, timestamp, contents = self._checked(event, data, metadata)
        accepted = self._backend.submit(type_, timestamp, contents, key)
        self._since_pause += 1
        if self._since_pause >= YIELD_EVERY:
            self._since_pause = 0
            await asyncio.sleep(0)
        return accepted if isinstance(accepted, Event) else await accepted

    async def publish_all(
        self, events: list[tuple[str, Fields, Fields]], keys: Sequence[str | None] | None = None
    ) -> list[Event]:
        """Check all `(type, data, metadata)`, then publish all in order: one refusal refuses all.

        `keys` are those of `publish`, one for each event.

        Raises:
            PublishError: as `publish`; nothing was published then.
            UnavailableError: as `publish`; a backend that failed half way has published the rest.
        """
        self._ensure_open()
        checked = [self._checked(*event) for event in events]
        keys = keys or [None] * len(checked)
        for key in keys:
            if key is not None:
                _check_key(key)
        accepted = [
            self._backend.submit(*event, key) for event, key in zip(checked, keys, strict=True)
        ]
        if waited := [one for one in accepted if not isinstance(one, Event)]:
            await asyncio.wait(waited)
            failed = [error for one in waited if (error := one.exception()) is not None]
            if failed:
                if len(accepted) == 1:
                    raise failed[0]
                done = len(accepted) - len(failed)
                why = "; ".join(dict.fromkeys((str(failed[0]), str(failed[-1]))))
                raise UnavailableError(
                    f"{done} of {len(accepted)} are published; of the rest: {why}"
                )
        self._since_pause += len(accepted)
        if self._since_pause >= YIELD_EVERY:
            self._since_pause = 0
            await asyncio.sleep(0)
        return [one if isinstance(one, Event) else one.result() for one in accepted]

    def emit(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> None:
        """Publish and never raise: a failure is logged and counted. Telemetry must not stop work."""
        try:
            self._ensure_open()
            accepted = self._backend.submit(*self._checked(event, data, metadata))
            if not isinstance(accepted, Event):
                accepted.add_done_callback(self._emitted)
        except Exception as error:
            self._emit_failed(error)

    def _emitted(self, accepted: asyncio.Future[Event]) -> None:
        if not accepted.cancelled() and (error := accepted.exception()) is not None:
            self._emit_failed(error)

    def _emit_failed(self, error: BaseException) -> None:
        self.emit_failures += 1
        _log.warning("emit_failed", error_type=type(error).__name__, error=str(error))

    def publish_from_thread(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> concurrent.futures.Future[Event]:
        """Publish from another thread; at most 1,000 in flight.

        Raises:
            UnavailableError: too many in flight, not started yet, or shutting down.
        """
        self._ensure_open()
        if self._loop is None:
            raise UnavailableError("the gateway has not started: publish once its lifespan began")
        if not self._from_threads.acquire(blocking=False):
            raise UnavailableError(
                f"{MAX_FROM_THREADS} publishes from threads are in flight: wait for their futures"
            )
        publishing = self.publish(event, data, metadata)
        try:
            future = asyncio.run_coroutine_threadsafe(publishing, self._loop)
        except RuntimeError:  # the loop has been closed
            publishing.close()
            self._from_threads.release()
            raise UnavailableError("the gateway has ended: nothing can be published") from None
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: concurrent.futures.Future[Event]) -> None:
        self._from_threads.release()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that publishes from other threads run on."""
        self._loop = loop

    def close(self) -> None:
        """Refuse every later publish with `UnavailableError`."""
        self._closed = True

    def _ensure_open(self) -> None:
        if self._closed:
            raise UnavailableError("the gateway is shutting down: publish again when it is back")

    def _checked(
        self, event: str | msgspec.Struct, data: Fields | None, metadata: Fields | None
    ) -> tuple[str, str, Contents]:
        """Type, timestamp and contents of an event that nothing speaks against."""
        payload: Fields | msgspec.Struct
        if isinstance(event, str):
            type_, payload = event, data if data is not None else {}
        else:
            type_, payload = self._catalog.type_of(type(event)), event
        encoded, fields = encode("data", payload)
        encoded_metadata = encode("metadata", metadata)[0] if metadata else b"{}"
        size = len(encoded) + len(encoded_metadata)
        if size > self._max_event_bytes:
            raise EventTooLargeError(
                f"the event has {size} bytes, over the {self._max_event_bytes} allowed:"
                " send a reference instead, or raise SIGHTLINE_MAX_EVENT_BYTES"
            )
        self._catalog.check(type_, fields)
        return type_, self._clock.timestamp(), (encoded, encoded_metadata)


def _check_key(key: str) -> None:
    """Refuse what would end the connection to the log, which is everybody's."""
    if not _KEY.fullmatch(key):
        raise PublishError(
            f"the key {key[:80]!r} is not 1 to 256 visible ASCII characters: send a digest of it"
        )
