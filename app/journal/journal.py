"""`Journal`: stores every event of the bus, and answers questions about the past.

The event loop never touches the disk: the thread of `Storing` stores pending events in batches, and
other threads answer questions. While the file cannot be written, the live stream continues, a
bounded number of events is pending, and the thread retries.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar, cast

import msgspec
import structlog

from ..errors import JournalUnavailableError, UnavailableError
from ..events import Clock, Event
from ..state import require_ours
from .history import Page, Question, position_text
from .mark import Mark, take_mark
from .reader import FirstPosition, Reader
from .record import to_timestamp
from .retention import size_on_disk
from .schema import identity
from .storing import Storing
from .writer import Bounds

READERS = 2  # threads that answer questions
MAX_QUESTIONS = 64  # pending at once; further ones are refused
CATCH_UP_S = 0.5  # how long a page waits for events published just before
STOP_S = 2.0  # to store pending events when the gateway stops
_T = TypeVar("_T")
_log = structlog.get_logger("sightline.journal")


class JournalStatus(msgspec.Struct, frozen=True):
    """State of the journal. `behind` and `lost` count events, `bytes` is the size on disk."""

    state: Literal["storing", "failing"]
    reason: str | None  # why storing fails
    behind: int  # published, not yet on disk
    lost: int  # published since the start, never stored
    bytes: int


class Journal:
    """The history of one gateway. Its lifespan calls `open`, `begin` and, at the end, `close`."""

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        clock: Clock,
        leave_out: frozenset[str] = frozenset(),
        on_change: Callable[[JournalStatus], None] = lambda status: None,
    ) -> None:
        """`on_change` is called on the loop when storing starts to fail, and when it recovers."""
        self.path = path
        self._first: FirstPosition | None = None  # as last reported by the thread
        self._on_change = on_change
        self._storing = Storing(path, bounds, clock, leave_out, self._report)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._head = 0  # the last number offered
        self._stored = 0  # the last number on disk
        self._reason: str | None = None
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._wake_is_due = False
        self._pool = ThreadPoolExecutor(READERS, "journal-reader")
        self._own = threading.local()  # each thread's reader and the identity of its file
        self._readers: list[Reader] = []  # every open one
        self._questions = 0  # pending

    @property
    def status(self) -> JournalStatus:
        """The current state; reads the sizes of two files."""
        return JournalStatus(
            "storing" if self._reason is None else "failing",
            self._reason,
            self._head - self._stored,
            self._storing.lost,
            size_on_disk(self.path),
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
            return await self._loop.run_in_executor(self._pool, take_mark, self.path)
        except OSError as error:
            _log.warning("journal_mark_unreadable", path=str(self.path), error=str(error))
            return None

    async def newest(self, epoch: str, limit: int, max_bytes: int, window_s: float) -> list[Event]:
        """The newest events of an epoch, oldest first, back to a hole; empty if unreadable.

        `accepted_at` is in seconds relative to the newest: 0 or negative.
        """
        try:
            window_ms = window_s * 1000
            rows = await self._ask(lambda reader: reader.newest(epoch, limit, max_bytes, window_ms))
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
        self._head = self._stored = head
        self._storing.begin(epoch, head)

    def offer(self, event: Event) -> None:
        """Take an event of the bus. Never waits. Only on the loop's thread."""
        self._storing.add(event)
        self._head = event.sequence_number
        if not self._wake_is_due:
            assert self._loop is not None, "offered before `open`"
            self._loop.call_soon(self._wake)
            self._wake_is_due = True

    def _wake(self) -> None:
        self._wake_is_due = False
        if dropped := self._storing.drop_excess():
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
            self._waiters.append((number, waiter))
            self._storing.wake(hurry=True)
            await waiter

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
        if self._reason is None and self._stored < self._head:
            try:
                async with asyncio.timeout(CATCH_UP_S):
                    await self.stored(self._head)
            except (TimeoutError, JournalUnavailableError):
                pass  # the page then ends where the journal ends
        return await self._ask(lambda reader: reader.page(question))

    async def close(self) -> None:
        """Store pending events, write the mark of a clean stop, and end every thread."""
        if self._loop is not None:
            await self._loop.run_in_executor(None, self._close)
        self._settle(self._head, "the gateway is shutting down")

    async def _ask(self, read: Callable[[Reader], _T]) -> _T:
        assert self._loop is not None
        if self._questions >= MAX_QUESTIONS:
            raise UnavailableError(f"{MAX_QUESTIONS} questions wait already: ask again in a moment")
        self._questions += 1
        try:
            return await self._loop.run_in_executor(self._pool, self._read, read)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"the journal cannot be read: {error}") from error
        finally:
            self._questions -= 1

    def _read(self, read: Callable[[Reader], _T]) -> _T:
        """Run `read` in a reader's thread; reopen its reader if the file was replaced."""
        found = identity(self.path)
        if getattr(self._own, "identity", None) != found:
            if found != self._storing.file_id:  # not the file that we write
                require_ours(self.path)
            if (previous := getattr(self._own, "reader", None)) is not None:
                previous.close()
            self._own.reader, self._own.identity = Reader(self.path), found
            self._readers = [one for one in self._readers if one is not previous]
            self._readers.append(self._own.reader)
        return read(cast(Reader, self._own.reader))

    def _close(self) -> None:
        self._pool.shutdown(cancel_futures=True)  # a running question takes less than a second
        for reader in self._readers:
            reader.close()
        self._storing.end(STOP_S)

    def _report(self, stored: int, reason: str | None, first: FirstPosition | None) -> None:
        """Pass on progress; the storing thread calls this after each batch and each failure."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_report, stored, reason, first)

    def _on_report(self, stored: int, reason: str | None, first: FirstPosition | None) -> None:
        changed = (reason is None) != (self._reason is None)
        self._stored, self._reason, self._first = stored, reason, first or self._first
        self._settle(stored if reason is None else self._head, reason)
        if changed:
            if reason is None:
                _log.info("journal_recovered", path=str(self.path), lost=self._storing.lost)
            else:
                _log.error("journal_failing", path=str(self.path), reason=reason)
            self._on_change(self.status)

    def _settle(self, number: int, reason: str | None) -> None:
        """Wake the waiters up to `number`: it is stored, or `reason` says why not."""
        text = f"the event went out live, and is not in the journal: {reason}"
        for one, waiter in self._waiters:
            if one <= number and not waiter.done():
                if reason is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(JournalUnavailableError(text))
        self._waiters = [one for one in self._waiters if one[0] > number]
