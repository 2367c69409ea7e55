"""`EventPublisher`: how services put events into the stream. Encode and check first, number second."""

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Mapping

import msgspec
import structlog

from app.catalog import Catalog
from app.channels.bus import EventBus
from app.errors import EventTooLargeError, InvalidDataError, UnavailableError
from app.events import Event

Fields = Mapping[str, object]
YIELD_EVERY = 64  # publishes without a pause before the loop gets a turn
MAX_FROM_THREADS = 1000  # publishes from other threads in flight
_log = structlog.get_logger("sightline.publisher")


def _plain(data: Fields | msgspec.Struct) -> object:
    # Bytes stay bytes, for the encoder to refuse: as base64 they would go out unasked.
    return msgspec.to_builtins(data, builtin_types=(bytes, bytearray, memoryview))


def encode(name: str, value: Fields | msgspec.Struct) -> bytes:
    """Encode to strict JSON. The standard library's encoder, as msgspec's turns NaN into null.

    Raises:
        InvalidDataError: not an object, or it holds NaN, bytes, a lone surrogate or a cycle.
    """
    try:
        plain = _plain(value) if isinstance(value, msgspec.Struct) else value
        if not isinstance(plain, Mapping):
            raise TypeError(f"expected an object, got {type(plain).__name__}")
        return json.dumps(
            dict(plain), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDataError(
            f"{name} cannot be encoded as JSON: {str(error)[:200]};"
            " use strings, finite numbers, booleans, None, lists and dicts"
        ) from error


class EventPublisher:
    """Publish by type name or by catalog struct. One per gateway, injected, never a global."""

    def __init__(self, bus: EventBus, catalog: Catalog, max_event_bytes: int) -> None:
        self._bus = bus
        self._catalog = catalog
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
    ) -> Event:
        """Publish one event and return it, numbered. It is in every queue when this returns.

        Raises:
            PublishError: unknown type or data that does not fit; no number is used up.
            UnavailableError: the gateway is shutting down.
        """
        accepted = self._accept(event, data, metadata)
        self._since_pause += 1
        if self._since_pause >= YIELD_EVERY:
            self._since_pause = 0
            await asyncio.sleep(0)
        return accepted

    def publish_all(self, events: list[tuple[str, Fields, Fields]]) -> list[Event]:
        """Check all `(type, data, metadata)`, then publish all in order: one refusal refuses all."""
        self._ensure_open()
        checked = [self._checked(*event) for event in events]
        return [self._bus.accept(*event) for event in checked]

    def emit(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> None:
        """Publish and never raise: a failure is logged and counted. Telemetry must not stop work."""
        try:
            self._accept(event, data, metadata)
        except Exception as error:
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
        future = asyncio.run_coroutine_threadsafe(self.publish(event, data, metadata), self._loop)
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

    def _accept(
        self, event: str | msgspec.Struct, data: Fields | None, metadata: Fields | None
    ) -> Event:
        self._ensure_open()
        return self._bus.accept(*self._checked(event, data, metadata))

    def _checked(
        self, event: str | msgspec.Struct, data: Fields | None, metadata: Fields | None
    ) -> tuple[str, bytes, bytes]:
        payload: Fields | msgspec.Struct
        if isinstance(event, str):
            type_, payload = event, data if data is not None else {}
        else:
            type_, payload = self._catalog.type_of(type(event)), event
        encoded_data = encode("data", payload)
        encoded_metadata = encode("metadata", metadata) if metadata else b"{}"
        size = len(encoded_data) + len(encoded_metadata)
        if size > self._max_event_bytes:
            raise EventTooLargeError(
                f"the event has {size} bytes, over the {self._max_event_bytes} allowed:"
                " send a reference instead, or raise SIGHTLINE_MAX_EVENT_BYTES"
            )
        self._catalog.check(type_, encoded_data)
        return type_, encoded_data, encoded_metadata
