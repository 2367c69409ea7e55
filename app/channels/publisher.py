"""`EventPublisher`: how services put events into the stream. Encode and check first, number second."""

import asyncio
import concurrent.futures
import re
import threading
from collections.abc import Callable, Coroutine, Sequence
from threading import get_ident
from typing import Protocol, TypeVar

import msgspec
import structlog

from ..catalog.registry import Catalog
from ..errors import (
    EventTooLargeError,
    JournalUnavailableError,
    PublishError,
    UnavailableError,
    WrongLoopError,
)
from ..events import Clock, Event
from .backend import ChannelBackend
from .bus import Contents
from .encoding import Fields, encode, too_large
from .owner import Owner

YIELD_EVERY = 64  # publishes without a pause before the loop gets a turn
MAX_FROM_THREADS = 1000  # publishes from other threads in flight
EMIT_WAIT_S = 1.0  # `emit` in another thread waits so long for one of them to be done
_KEY = re.compile(r"[!-~]{1,256}")  # with room for what an array adds to the key of a request
_log = structlog.get_logger("sightline.publisher")
_Checked = tuple[str, str, Contents]
_Result = TypeVar("_Result")


class Disk(Protocol):
    """Where events are kept, for publishers that wait for it."""

    def ensure_storing(self) -> None:
        """Raise `UnavailableError` while nothing can be stored."""

    async def stored(self, number: int) -> None:
        """Wait until the event with this number is stored; raises as `ensure_storing`."""


class EventPublisher:
    """Publish by type name or by catalog struct. One per gateway, injected, never a global."""

    def __init__(
        self,
        backend: ChannelBackend,
        catalog: Catalog,
        clock: Clock,
        max_event_bytes: int,
        disk: Disk | None = None,
    ) -> None:
        """`disk` keeps the events beside the backend's log; None where there is no journal."""
        self.disk = disk
        self._backend = backend
        self._catalog = catalog
        self._clock = clock
        self.max_event_bytes = max_event_bytes
        self._closed = False
        self._owner = Owner()
        self._since_pause = 0
        self._from_threads = threading.BoundedSemaphore(MAX_FROM_THREADS)
        self._counting = threading.Lock()
        self.emit_failures = 0

    async def publish(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
        *,
        key: str | None = None,
        durable: bool = False,
    ) -> Event:
        """Publish one event and return it, numbered. It is in every queue when this returns.

        `durable` also waits until the event is on disk: in the journal, or in NATS without one.

        `key`, of 1 to 256 visible ASCII characters, makes a retry safe where the backend remembers
        keys (NATS). Cancelling does not take back what the backend was handed.

        Raises:
            PublishError: unknown type, or data or key that does not fit; no number is used up.
            UnavailableError: the gateway is shutting down, or the backend is away.
            JournalUnavailableError: with `durable`, the event cannot be stored; nothing was
                published unless the message says so.
        """
        self._ensure_open()
        if key is not None:
            _check_key(key)
        if durable:
            (durably,) = await self.publish_all(
                [(event, data or {}, metadata or {})], [key], durable=True
            )
            return durably
        checked = self._checked(event, data, metadata)
        try:
            accepted = self._backend.submit(*checked, key)
        except WrongLoopError:
            return await asyncio.wrap_future(self._hand_over(checked, key))
        self._since_pause += 1
        if self._since_pause >= YIELD_EVERY:
            self._since_pause = 0
            await asyncio.sleep(0)
        return accepted if isinstance(accepted, Event) else await accepted

    async def publish_all(
        self,
        events: Sequence[tuple[str | msgspec.Struct, Fields, Fields]],
        keys: Sequence[str | None] | None = None,
        *,
        durable: bool = False,
    ) -> list[Event]:
        """Check all `(type, data, metadata)`, then publish all in order: one refusal refuses all.

        `keys` are those of `publish`, one for each event; `durable` as there.

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
        pairs = list(zip(checked, keys, strict=True))
        if not self._owner.is_here():
            there = self._publish_pairs(pairs, durable)
            return await asyncio.wrap_future(self._run_there(there))
        return await self._publish_pairs(pairs, durable)

    async def _publish_pairs(
        self, pairs: list[tuple[_Checked, str | None]], durable: bool
    ) -> list[Event]:
        self._ensure_open()
        if durable:
            self._ensure_durable()
        accepted = [self._backend.submit(*event, key) for event, key in pairs]
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
        events = [one if isinstance(one, Event) else one.result() for one in accepted]
        if durable and events and self.disk is not None:
            await self.disk.stored(events[-1].sequence_number)
        return events

    def _ensure_durable(self) -> None:
        if self.disk is not None:
            self.disk.ensure_storing()
        elif not self._backend.status.durable:
            raise JournalUnavailableError(
                "this gateway keeps no journal: publish without durable, or set SIGHTLINE_JOURNAL"
            )

    def emit(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> None:
        """Publish and never raise: a failure is logged and counted. Telemetry must not stop work.

        In another thread the event is handed over to the gateway's loop. Of these at most 1,000 are on their
        way: the thread then waits for up to a second, and the event is dropped as a failure after that.
        """
        try:
            self._ensure_open()
            checked = self._checked(event, data, metadata)
            try:
                accepted = self._backend.submit(*checked)
            except WrongLoopError:
                wait_s = EMIT_WAIT_S if get_ident() != self._owner.thread else 0
                self._hand_over(checked, wait_s=wait_s).add_done_callback(self._emitted)
            else:
                if not isinstance(accepted, Event):
                    accepted.add_done_callback(self._emitted)
        except Exception as error:
            self._emit_failed(error)

    def _emitted(
        self, accepted: "asyncio.Future[Event] | concurrent.futures.Future[Event]"
    ) -> None:
        if not accepted.cancelled() and (error := accepted.exception()) is not None:
            self._emit_failed(error)

    def _emit_failed(self, error: BaseException) -> None:
        with self._counting:
            self.emit_failures += 1
        _log.warning("emit_failed", error_type=type(error).__name__, error=str(error))

    def publish_from_thread(
        self,
        event: str | msgspec.Struct,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> concurrent.futures.Future[Event]:
        """Publish from another thread; at most 1,000 in flight. Events of one thread keep their order.

        The future raises `PublishError` as `publish` does.

        Raises:
            UnavailableError: too many in flight, not started yet, or shutting down.
            WrongLoopError: this process was forked from the gateway's.
        """
        self._ensure_open()
        try:
            return self._hand_over(self._checked(event, data, metadata))
        except PublishError as error:
            refused: concurrent.futures.Future[Event] = concurrent.futures.Future()
            refused.set_exception(error)
            return refused

    def _hand_over(
        self, checked: _Checked, key: str | None = None, wait_s: float = 0
    ) -> concurrent.futures.Future[Event]:
        """Submit on the gateway's loop what was checked here."""
        future: concurrent.futures.Future[Event] = concurrent.futures.Future()

        def submit() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                self._ensure_open()
                accepted = self._backend.submit(*checked, key)
            except Exception as error:
                future.set_exception(error)
            else:
                if isinstance(accepted, Event):
                    future.set_result(accepted)
                else:
                    accepted.add_done_callback(lambda done: _copy(done, future))

        self._call_there(submit, future, wait_s)
        return future

    def _run_there(
        self, coroutine: Coroutine[None, None, _Result]
    ) -> concurrent.futures.Future[_Result]:
        """Run a coroutine on the gateway's loop."""
        future: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            task = asyncio.ensure_future(coroutine)
            task.add_done_callback(lambda done: _copy(done, future))

        try:
            self._call_there(run, future)
        except BaseException:
            coroutine.close()
            raise
        return future

    def _call_there(
        self,
        call: Callable[[], None],
        future: concurrent.futures.Future[_Result],
        wait_s: float = 0,
    ) -> None:
        """Have the gateway's loop call; `future` holds one of the places until it is done."""
        if not self._from_threads.acquire(timeout=wait_s):
            raise UnavailableError(
                f"{MAX_FROM_THREADS} publishes from threads are in flight: wait for their futures"
            )
        future.add_done_callback(lambda _: self._from_threads.release())
        try:
            self._owner.hand_over(call)
        except BaseException:
            future.cancel()  # frees the place
            raise

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that publishes from other threads run on."""
        self._owner.start(loop)

    def close(self) -> None:
        """Refuse every later publish with `UnavailableError`."""
        self._closed = True

    def _ensure_open(self) -> None:
        if self._closed:
            raise UnavailableError("the gateway is shutting down: publish again when it is back")

    def _checked(
        self, event: str | msgspec.Struct, data: Fields | None, metadata: Fields | None
    ) -> _Checked:
        """Type, timestamp and contents of an event that nothing speaks against."""
        payload: Fields | msgspec.Struct
        if isinstance(event, str):
            type_, payload = event, data if data is not None else {}
        else:
            type_, payload = self._catalog.type_of(type(event)), event
        max_bytes = self.max_event_bytes
        encoded, fields = encode("data", payload, max_bytes)
        encoded_metadata = encode("metadata", metadata, max_bytes)[0] if metadata else b"{}"
        size = len(encoded) + len(encoded_metadata)
        if size > max_bytes:
            raise EventTooLargeError(too_large("the event", size, max_bytes))
        self._catalog.check(type_, fields)
        return type_, self._clock.timestamp(), (encoded, encoded_metadata)


def _copy(done: asyncio.Future[_Result], future: concurrent.futures.Future[_Result]) -> None:
    """Hand the result of what ran on the gateway's loop to the thread that waits for it."""
    if not done.cancelled():
        error = done.exception()
    else:
        error = UnavailableError("the gateway ended meanwhile: it may have been published")
    if future.cancelled():
        return  # its thread waits no longer
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())


def _check_key(key: str) -> None:
    """Refuse what would end the connection to the log, which is everybody's."""
    if not _KEY.fullmatch(key):
        raise PublishError(
            f"the key {key[:80]!r} is not 1 to 256 visible ASCII characters: send a digest of it"
        )
