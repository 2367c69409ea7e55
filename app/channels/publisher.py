"""`EventPublisher`: publishes events into the stream. Encode and check first, number second."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterable, Sequence
from threading import get_ident
from typing import Protocol

import msgspec
import structlog

from ..catalog.registry import Catalog
from ..errors import JournalUnavailableError, PublishError, UnavailableError, WrongLoopError
from ..events import Clock, Event
from ..redaction import Redactor
from .backend import ChannelBackend
from .check import Checked, EventCheck
from .compiled import mypyc_attr
from .encoding import Fields
from .loop_calls import LoopCalls
from .owner import Owner

YIELD_EVERY = 64  # publishes in a row before the loop gets a turn
EMIT_WAIT_S = 1.0  # how long `emit` in another thread waits for a place
_log = structlog.get_logger("sightline.publisher")


class Disk(Protocol):
    """Where events are stored, for publishers that wait for the disk."""

    def ensure_storing(self) -> None:
        """Raise `UnavailableError` while no event can be stored."""

    async def stored(self, number: int) -> None:
        """Wait until the event with this number is stored; raises as `ensure_storing`."""


@mypyc_attr(allow_interpreted_subclasses=True)
class EventPublisher:
    """Publishes by type name or by catalog struct. One per gateway, injected, never a global."""

    def __init__(
        self,
        backend: ChannelBackend,
        catalog: Catalog,
        clock: Clock,
        max_event_bytes: int,
        disk: Disk | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        """`disk` stores events too, `redactor` replaces secrets: by default nothing, and all."""
        self.disk = disk
        self.catalog = catalog
        self._backend = backend
        self.max_event_bytes = max_event_bytes
        self.redactor = redactor or Redactor()
        self._checks = EventCheck(catalog, clock, max_event_bytes, self.redactor)
        self._closed = False
        self._owner = Owner()
        self._since_pause = 0
        self._loop_calls = LoopCalls(self._owner)
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
        """Publish one event and return it with its number. Every matching queue has it by then.

        `durable` also waits until the event is on disk: in the journal, or in NATS without one.

        `key`, of 1 to 256 visible ASCII characters, makes a retry safe with a backend that
        remembers keys (NATS). Cancelling does not withdraw an event that the backend has.

        Raises:
            PublishError: the type is unknown, or data or key do not fit; no number is used up.
            UnavailableError: the gateway is shutting down, or the backend is away.
            JournalUnavailableError: with `durable`, the event cannot be stored; nothing was
                published unless the message says so.
        """
        self._ensure_open()
        if key is not None:
            key = self._checks.check_key(key)
        if durable:
            one = (event, data or {}, metadata or {})
            return (await self.publish_all([one], [key], durable=True))[0]
        checked = self._checks.check(event, data, metadata)
        try:
            accepted = self._backend.submit(*checked, key)
        except WrongLoopError:
            return await asyncio.wrap_future(self._submit_there(checked, key))
        self._since_pause += 1
        if self._since_pause >= YIELD_EVERY:
            self._since_pause = 0
            await asyncio.sleep(0)
        return accepted if isinstance(accepted, Event) else await accepted

    async def publish_all(
        self,
        events: Iterable[tuple[str | msgspec.Struct, Fields, Fields]],
        keys: Sequence[str | None] | None = None,
        *,
        durable: bool = False,
    ) -> list[Event]:
        """Check all `(type, data, metadata)`, then publish all in order. One refusal refuses all.

        The loop gets a turn every 64 events. Once the first is published all are, also if the call
        is cancelled or a shutdown begins. `keys` has one key an event; `durable` as in `publish`.

        Raises:
            PublishError: as `publish`; nothing was published.
            UnavailableError: as `publish`; a backend that failed half-way has published some.
        """
        self._ensure_open()
        pairs = await self._checks.check_all(events, keys)
        if not self._owner.is_here():
            there = self._publish_pairs(pairs, durable)
            return await asyncio.wrap_future(self._loop_calls.run(there))
        return await self._publish_pairs(pairs, durable)

    async def _publish_pairs(
        self, pairs: list[tuple[Checked, str | None]], durable: bool
    ) -> list[Event]:
        self._ensure_open()
        if durable:
            self._ensure_durable()
        accepted: list[Event | asyncio.Future[Event]] = []
        cancelled: asyncio.CancelledError | None = None
        for event, key in pairs:
            accepted.append(self._backend.submit(*event, key))
            self._since_pause += 1
            if self._since_pause >= YIELD_EVERY and not (self._closed or cancelled):
                self._since_pause = 0
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError as cancel:
                    cancelled = cancel  # after the rest, which is published without a pause
        if cancelled is not None:
            raise cancelled
        if waited := [one for one in accepted if not isinstance(one, Event)]:
            await asyncio.wait(waited)
            failed = [error for one in waited if (error := one.exception()) is not None]
            if failed:
                if len(accepted) == 1:
                    raise failed[0]
                done = len(accepted) - len(failed)
                why = "; ".join(dict.fromkeys((str(failed[0]), str(failed[-1]))))
                of_all = f"{done} of {len(accepted)} are published"
                raise UnavailableError(f"{of_all}; of the rest: {why}")
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
        """Publish, and never raise: a failure is logged and counted. Telemetry must not stop work.

        From another thread the event is handed over to the gateway's loop. At most 1,000 such
        events are in flight: the thread waits up to a second for a place, then the event is dropped
        as a failure.
        """
        try:
            self._ensure_open()
            checked = self._checks.check(event, data, metadata)
            try:
                accepted = self._backend.submit(*checked)
            except WrongLoopError:
                wait_s = EMIT_WAIT_S if get_ident() != self._owner.thread else 0
                self._submit_there(checked, wait_s=wait_s).add_done_callback(self._emitted)
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
        """Publish from another thread, in order; at most 1,000 events are in flight.

        The future raises `PublishError` as `publish` does.

        Raises:
            UnavailableError: too many in flight, not started yet, or shutting down.
            WrongLoopError: this process was forked from the gateway's.
        """
        self._ensure_open()
        try:
            return self._submit_there(self._checks.check(event, data, metadata))
        except PublishError as error:
            refused: concurrent.futures.Future[Event] = concurrent.futures.Future()
            refused.set_exception(error)
            return refused

    def _submit_there(
        self, checked: Checked, key: str | None = None, wait_s: float = 0
    ) -> concurrent.futures.Future[Event]:
        """Submit a checked event on the gateway's loop."""

        def submit() -> Event | asyncio.Future[Event]:
            self._ensure_open()
            return self._backend.submit(*checked, key)

        return self._loop_calls.submit(submit, wait_s)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run publishes from other threads on this loop."""
        self._owner.start(loop)

    def close(self) -> None:
        """Refuse every later publish with `UnavailableError`."""
        self._closed = True

    def _ensure_open(self) -> None:
        if self._closed:
            raise UnavailableError("the gateway is shutting down: publish again when it is back")
