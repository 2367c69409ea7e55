"""`Journal`: follows the bus without losing an event, and answers questions about the past.

The event loop never touches the disk: `Storing` is a thread that stores what waits, in batches, and
questions have threads of their own. While the file cannot be written, the live stream goes on, a
bounded number of events waits, and the thread tries again by itself.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import structlog

from ..errors import JournalUnavailableError, UnavailableError
from ..events import Clock, Event
from .history import Page, Question, position_text
from .mark import Mark, take_mark
from .reader import FirstPosition, Reader
from .record import to_timestamp
from .retention import size_on_disk
from .storing import Storing
from .writer import Bounds

READERS = 2  # threads that answer questions
MAX_QUESTIONS = 64  # that wait for a thread; further ones are refused
CATCH_UP_S = 0.5  # for a page to hold what was published just before it was asked for
STOP_S = 2.0  # for what waits to be stored when the gateway ends
_T = TypeVar("_T")
_log = structlog.get_logger("sightline.journal")


class JournalStatus(msgspec.Struct, frozen=True):
    """How the journal is. `behind` and `lost` are events, `bytes` is the size on disk."""

    state: Literal["storing", "failing"]
    reason: str | None  # why nothing can be stored
    behind: int  # published, and not yet on disk
    lost: int  # published since the start, and never stored
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
        """`on_change` is called on the loop when storing begins to fail, and when it works again."""
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
        self._own = threading.local()  # each thread's reader, and the file that it reads
        self._readers: list[Reader] = []  # all that are open
        self._questions = 0

    @property
    def status(self) -> JournalStatus:
        """How the journal is, now. Looks at the sizes of two files."""
        return JournalStatus(
            "storing" if self._reason is None else "failing",
            self._reason,
            self._head - self._stored,
            self._storing.lost,
            size_on_disk(self.path),
        )

    @property
    def start(self) -> tuple[str, str] | None:
        """The oldest event's position, `epoch:number`, and its timestamp; None while there is none."""
        if self._first is None:
            return None
        position = position_text(self._first.epoch, self._first.number)
        return position, to_timestamp(self._first.time_ms)

    @property
    def failing(self) -> bool:
        """Whether nothing can be stored now."""
        return self._reason is not None

    async def open(self) -> Mark | None:
        """Take the mark of a clean stop, if there is one: its epoch may go on after its number."""
        self._loop = asyncio.get_running_loop()
        try:
            return await self._loop.run_in_executor(self._pool, take_mark, self.path)
        except OSError as error:
            _log.warning("journal_mark_unreadable", path=str(self.path), error=str(error))
            return None

    async def newest(self, epoch: str, limit: int, max_bytes: int, window_s: float) -> list[Event]:
        """The newest events of an epoch, oldest first, without a hole; empty if it cannot be read.

        `accepted_at` of the newest is 0, of the others the seconds before it, below 0.
        """
        try:
            rows = await self._ask(
                lambda reader: reader.newest(epoch, limit, max_bytes, window_s * 1000)
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
        """Store from now on what comes after number `head` of `epoch`."""
        self._head = self._stored = head
        self._storing.begin(epoch, head)

    def offer(self, event: Event) -> None:
        """Take an event of the bus. Never waits; on the loop's thread only."""
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
        """Wait until the event with this number is on disk. Cancelling takes nothing back.

        Raises:
            JournalUnavailableError: it cannot be stored.
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
        """Answer a question, also about events published just now; None for an unknown epoch.

        Raises:
            UnavailableError: the file cannot be read, or too many questions wait.
        """
        if self._reason is None and self._stored < self._head:
            try:
                async with asyncio.timeout(CATCH_UP_S):
                    await self.stored(self._head)
            except (TimeoutError, JournalUnavailableError):
                pass  # the page ends where the journal does
        return await self._ask(lambda reader: reader.page(question))

    async def close(self) -> None:
        """Store what waits, leave the mark of a clean stop, and end every thread."""
        if self._loop is not None:
            await self._loop.run_in_executor(None, self._close)
        self._settle(self._head, "the gateway is shutting down")

    async def _ask(self, read: Callable[[Reader], _T]) -> _T:
        assert self._loop is not None
        if self._questions >= MAX_QUESTIONS:
            raise UnavailableError(
                f"{MAX_QUESTIONS} questions to the journal wait already: ask again in a moment"
            )
        self._questions += 1
        try:
            return await self._loop.run_in_executor(self._pool, self._read, read)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"the journal cannot be read: {error}") from error
        finally:
            self._questions -= 1

    def _read(self, read: Callable[[Reader], _T]) -> _T:
        """Run in a reader's thread, with that thread's connection to the file that is there now."""
        found = self.path.stat()
        identity = (found.st_dev, found.st_ino)
        if getattr(self._own, "identity", None) != identity:
            if (previous := getattr(self._own, "reader", None)) is not None:
                previous.close()
            self._own.reader, self._own.identity = Reader(self.path), identity
            self._readers = [one for one in self._readers if one is not previous]
            self._readers.append(self._own.reader)
        reader: Reader = self._own.reader
        return read(reader)

    def _close(self) -> None:
        self._pool.shutdown(cancel_futures=True)  # a question takes less than a second
        for reader in self._readers:
            reader.close()
        self._storing.end(STOP_S)

    def _report(self, stored: int, reason: str | None, first: FirstPosition | None) -> None:
        """Called by the storing thread after each batch and each failure."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._heard, stored, reason, first)

    def _heard(self, stored: int, reason: str | None, first: FirstPosition | None) -> None:
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
        """End the waiting for numbers up to `number`: stored, or not for this reason."""
        waiting = [one for one in self._waiters if one[0] > number]
        for one, waiter in self._waiters:
            if one <= number and not waiter.done():
                if reason is None:
                    waiter.set_result(None)
                else:
                    text = f"the event went out live, and is not in the journal: {reason}"
                    waiter.set_exception(JournalUnavailableError(text))
        self._waiters = waiting
