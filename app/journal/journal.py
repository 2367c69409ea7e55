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
from .waiters import ANOTHER_STREAM, Waiters
from .writer import Bounds

CATCH_UP_S = 0.5  # how long a page waits for events published just before, and a start for the file
GATHER_S = 0.02  # how long events are gathered if no publisher waits for the disk
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
        self._turn: list[Event] = []  # offered and not handed over to the thread
        self._head = 0  # the last number handed over
        self._stored = 0  # the last number on disk
        self._bytes = 0  # as last reported by the thread
        self._opened = asyncio.Event()  # the thread has opened the file, or failed to
        self._reason: str | None = None
        self._waiters = Waiters()
        self._look_is_due = False
        self._gathering: asyncio.TimerHandle | None = None  # until the thread is woken
        self._reading = Reading(path, lambda: self._storing.file_id)

    @property
    def status(self) -> JournalStatus:
        """The current state."""
        self._hand_over()
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
        """As `Reader.newest`; empty if the file cannot be read."""
        window_ms = window_s * 1000
        try:
            return await self._reading.ask(
                lambda reader: reader.newest(epoch, limit, max_bytes, window_ms)
            )
        except UnavailableError:
            return []

    def begin(self, epoch: str, head: int) -> None:
        """Store the events after number `head` of `epoch`; waits for earlier events fail."""
        self._hand_over()
        self._waiters.settle(self._head, ANOTHER_STREAM)
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
        self._turn.append(event)  # and no more: this is part of every publish
        if not self._look_is_due:
            self._look_soon()

    def _look_soon(self) -> None:
        if not self._look_is_due:
            asyncio.get_running_loop().call_soon(self._look)
            self._look_is_due = True

    def _hand_over(self) -> None:
        if turn := self._turn:
            self._turn = []
            self._pending.extend(turn)
            self._head = turn[-1].sequence_number

    def _look(self) -> None:
        """Wake the thread: after `GATHER_S`, or if publishers wait, when a turn brings no more events.

        It sleeps meanwhile. If it woke to wait for more, it would take the interpreter from the loop.
        """
        self._look_is_due = False
        if self._waiters.may_grow(len(self._turn)):
            return self._look_soon()
        self._hand_over()
        if dropped := self._pending.drop_excess():
            self._waiters.settle(dropped, "too much waited for the disk")
        if self._waiters or self._storing.many_wait:
            self._wake()
        elif self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._wake)

    def _wake(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._storing.wake()

    async def stored(self, number: int) -> None:
        """Wait until the event with this number is on disk. Cancelling does not undo storing.

        Raises:
            JournalUnavailableError: the event cannot be stored, or the journal closes.
        """
        self.ensure_storing()
        if number > self._stored:
            newest = self._turn[-1].sequence_number if self._turn else self._head
            waiter = self._waiters.add(number, newest)
            self._look_soon()  # not at once: other publishers may wait too
            await self._waiters.wait(waiter)

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
        self._hand_over()
        if self._reason is None and not (self._opened.is_set() and self._stored == self._head):
            try:
                async with asyncio.timeout(CATCH_UP_S):
                    await self._opened.wait()
                    await self.stored(self._head)
            except (TimeoutError, JournalUnavailableError):
                pass  # the page then ends where the journal ends
        return await self._reading.ask(lambda reader: reader.page(question))

    async def close(self) -> None:
        """Store pending events, mark the clean stop, end every thread; fail the remaining waits."""
        self._hand_over()
        if self._gathering is not None:
            self._gathering.cancel()
        if self._loop is not None:
            await self._loop.run_in_executor(None, self._close)
        self._waiters.end("the gateway is shutting down")

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
        if reason is not None:
            self._hand_over()  # raises `_head`, so the error reaches every waiter
        stored = stored if start is self._start else self._stored  # else of another epoch
        self._opened.set()
        changed = (reason is None) != (self._reason is None)
        self._stored, self._reason, self._first = stored, reason, first or self._first
        self._waiters.settle(stored if reason is None else self._head, reason)
        if changed:
            if reason is None:
                _log.info("journal_recovered", path=str(self.path), lost=self._pending.lost)
            else:
                _log.error("journal_failing", path=str(self.path), reason=reason)
            self._on_change(self.status)
