"""`Journal`: stores every event of the bus, and answers questions about the past.

The event loop never touches the disk: the thread of `Storing` stores pending events in batches, and
other threads answer questions. While the file cannot be written, the live stream continues, a
bounded number of events is pending, and the thread retries.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from ..errors import JournalUnavailableError, UnavailableError
from ..events import Clock, Event
from .history import Page, Question, position_text
from .mark import Mark, take_mark
from .pending import Start
from .reading import Reading
from .record import to_timestamp
from .storing import Progress, Storing
from .summary import FirstPosition
from .writer import Bounds

CATCH_UP_S = 0.5  # how long a page waits for events published just before, and a start for the file
STOP_S = 2.0  # to store pending events when the gateway stops
_log = structlog.get_logger("sightline.journal")


class JournalStatus(msgspec.Struct, frozen=True):
    """State of the journal. `behind` and `lost` count events, `bytes` is the size on disk."""

    state: Literal["storing", "failing"]
    reason: str | None  # why storing fails
    behind: int  # published, not yet on disk
    lost: int  # published since the start, never stored
    bytes: int  # after the last batch


class Journal:
    """The history of one gateway. Its lifespan calls `open`, `begin` and, at the end, `close`."""

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        clock: Clock,
        leave_out: frozenset[str] = frozenset(),
        on_change: Callable[[JournalStatus], None] = lambda status: None,
        *,
        numbers_are_ours: bool = True,
    ) -> None:
        """`on_change` is called on the loop when storing starts to fail, and when it recovers.

        `numbers_are_ours`: this gateway alone numbers events, so its epoch may continue after a
        clean stop. With NATS, others go on numbering.
        """
        self.path = path
        self._first: FirstPosition | None = None  # as last reported by the thread
        self._on_change = on_change
        self._storing = Storing(path, bounds, clock, leave_out, self._report, numbers_are_ours)
        self._pending = self._storing.pending
        self._loop: asyncio.AbstractEventLoop | None = None
        self._start = Start("", 0)  # of the present epoch
        self._head = 0  # the last number offered
        self._stored = 0  # the last number on disk
        self._bytes = 0  # as last reported by the thread
        self._opened = asyncio.Event()  # the thread has opened the file, or failed to
        self._reason: str | None = None
        self._waiters: dict[asyncio.Future[None], int] = {}  # each with its number
        self._wake_is_due = False
        self._reading = Reading(path, lambda: self._storing.file_id)

    @property
    def status(self) -> JournalStatus:
        """The current state."""
        return JournalStatus(
            "storing" if self._reason is None else "failing",
            self._reason,
            self._head - self._stored,
            self._pending.lost,
            self._bytes,
        )

    @property
    def start(self) -> tuple[str, str] | None:
        """Position `epoch:number` and timestamp of the oldest event; None without events."""
        if self._first is None:
            return None
        epoch, number, time_ms = self._first
        return position_text(epoch, number), to_timestamp(time_ms)

    @property
    def failing(self) -> bool:
        """Whether storing fails now."""
        return self._reason is not None

    async def open(self) -> Mark | None:
        """Remove and return the mark of a clean stop: its epoch may continue after its number."""
        self._loop = asyncio.get_running_loop()
        try:
            return await self._loop.run_in_executor(self._reading.pool, take_mark, self.path)
        except OSError as error:
            _log.warning("journal_mark_unreadable", path=str(self.path), error=str(error))
            return None

    async def newest(self, epoch: str, limit: int, max_bytes: int, window_s: float) -> list[Event]:
        """The newest events of an epoch, oldest first, back to a hole; empty if unreadable.

        `accepted_at` is in seconds relative to the newest: 0 or negative.
        """
        try:
            window_ms = window_s * 1000
            rows = await self._reading.ask(
                lambda reader: reader.newest(epoch, limit, max_bytes, window_ms)
            )
        except UnavailableError:
            return []
        last_ms = rows[-1].time_ms if rows else 0
        return [
            Event(
                row.type,
                to_timestamp(row.time_ms),
                row.number,
                (row.time_ms - last_ms) / 1000,
                row.message,
            )
            for row in rows
        ]

    def begin(self, epoch: str, head: int) -> None:
        """Store the events after number `head` of `epoch`."""
        self._settle(self._head, "another stream began")
        self._head = self._stored = head
        self._start = Start(epoch, head)
        self._storing.begin(self._start)

    async def opened(self) -> None:
        """Wait, for a bounded time, until the start of the first epoch is on disk, or cannot be.

        Without it, a position in an epoch that is killed before its first event would be unknown.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await self._opened.wait()

    def offer(self, event: Event) -> None:
        """Take an event of the bus. Never waits. Only on the loop's thread."""
        self._pending.add(event)
        self._head = event.sequence_number
        if not self._wake_is_due:
            assert self._loop is not None, "offered before `open`"
            self._loop.call_soon(self._wake)
            self._wake_is_due = True

    def _wake(self) -> None:
        self._wake_is_due = False
        if dropped := self._pending.drop_excess():
            self._settle(dropped, "too much waited for the disk")
        self._storing.wake(hurry=bool(self._waiters) or self._storing.many_wait)

    async def stored(self, number: int) -> None:
        """Wait until the event with this number is on disk. Cancelling does not undo storing.

        Raises:
            JournalUnavailableError: the event cannot be stored.
        """
        self.ensure_storing()
        if number > self._stored:
            assert self._loop is not None
            waiter = self._loop.create_future()
            self._waiters[waiter] = number
            self._storing.wake(hurry=True)
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)

    def ensure_storing(self) -> None:
        """Raise `JournalUnavailableError` while the file cannot be written."""
        if self._reason is not None:
            raise JournalUnavailableError(
                f"the journal cannot be written ({self._reason}): publish again when it can"
            )

    async def page(self, question: Question) -> Page | None:
        """Answer a question, including events published just before; None for an unknown epoch.

        Raises:
            UnavailableError: the file cannot be read, or too many questions wait.
        """
        if self._reason is None and not (self._opened.is_set() and self._stored == self._head):
            try:
                async with asyncio.timeout(CATCH_UP_S):
                    await self._opened.wait()
                    await self.stored(self._head)
            except (TimeoutError, JournalUnavailableError):
                pass  # the page then ends where the journal ends
        return await self._reading.ask(lambda reader: reader.page(question))

    async def close(self) -> None:
        """Store pending events, write the mark of a clean stop, and end every thread."""
        if self._loop is not None:
            await self._loop.run_in_executor(None, self._close)
        self._settle(self._head, "the gateway is shutting down")

    def _close(self) -> None:
        self._reading.close()
        self._storing.end(STOP_S)

    def _report(self, progress: Progress) -> None:
        """Pass on progress; the storing thread calls this after each batch and each failure."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_report, progress)

    def _on_report(self, progress: Progress) -> None:
        start, stored, reason, first, self._bytes = progress
        if start is not self._start:  # the number is one of another epoch
            stored = self._stored
        self._opened.set()
        changed = (reason is None) != (self._reason is None)
        self._stored, self._reason, self._first = stored, reason, first or self._first
        self._settle(stored if reason is None else self._head, reason)
        if changed:
            if reason is None:
                _log.info("journal_recovered", path=str(self.path), lost=self._pending.lost)
            else:
                _log.error("journal_failing", path=str(self.path), reason=reason)
            self._on_change(self.status)

    def _settle(self, number: int, reason: str | None) -> None:
        """Wake the waiters up to `number`: it is stored, or `reason` says why not."""
        for waiter in [waiter for waiter, one in self._waiters.items() if one <= number]:
            del self._waiters[waiter]
            if waiter.cancelled():
                continue
            if reason is None:
                waiter.set_result(None)
            else:
                text = f"the event went out live, and is not in the journal: {reason}"
                waiter.set_exception(JournalUnavailableError(text))
