"""`Storing`: the only thread that writes the journal's file. It survives every failure."""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import structlog

from ..events import Clock, Event
from ..state import NotOursError
from .mark import leave_mark
from .reader import FirstPosition, first_position
from .retention import Retention
from .schema import identity, put_aside
from .writer import Bounds, Writer

BATCH_EVENTS = 1000  # in one transaction, or
BATCH_BYTES = 4 * 1024 * 1024  # of messages
GATHER_S = 0.02  # how long events are gathered if no publisher waits
MAX_WAITING = (
    50_000  # pending events while the file cannot be written; above, the oldest are dropped
)
MAX_WAITING_BYTES = 64 * 1024 * 1024
FIRST_PAUSE_S = 0.25  # after a failure; doubled each time, up to
LONGEST_PAUSE_S = 5.0
TIDY_S = 60.0  # how often an idle journal deletes events that are too old
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
Report = Callable[[int, str | None, FirstPosition | None], None]
_log = structlog.get_logger("sightline.journal")


class Start(NamedTuple):
    """Marks that the next events follow number `head` of `epoch`."""

    epoch: str
    head: int


class Storing:
    """Stores added events, in order.

    Invariant: the loop appends to `_waiting` and drops the oldest if too much is pending; the
    thread takes from the left. Each side has its own count of bytes, so neither needs a lock.
    """

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        clock: Clock,
        leave_out: frozenset[str],
        report: Report,
    ) -> None:
        """`report` gets the last stored number, the reason of a failure, and the first position."""
        self.lost = 0  # events that were dropped
        self._waiting: deque[Event | Start] = deque()
        self._added_bytes = 0  # by the loop, without those dropped
        self._taken_bytes = 0  # by the thread
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._leave_out = leave_out
        self._report = report
        self._writer: Writer | None = None
        self._retention: Retention | None = None
        self.file_id = (0, 0)  # identity of the open file, which is ours
        self._epoch, self._head = "", 0
        self._batch: list[Event] = []  # taken, not yet stored
        self._taking = threading.Lock()  # held while taking from the left of `_waiting`
        self._wakeup = threading.Condition()
        self._woken = self._hurry = self._ending = False
        self._until = 0.0  # when storing has to end
        self._thread: threading.Thread | None = None

    def begin(self, epoch: str, head: int) -> None:
        """Store the events after number `head` of `epoch`; the first call starts the thread."""
        self._waiting.append(Start(epoch, head))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
            self._thread.start()
        else:
            self.wake(hurry=False)

    def add(self, event: Event) -> None:
        """Store an event after the next `wake`. Only on the loop's thread."""
        self._waiting.append(event)
        self._added_bytes += len(event.encoded)

    def drop_excess(self) -> int:
        """Drop the oldest pending events above the bounds; return the last dropped number, or 0."""
        number = 0
        while self._too_much_waits:
            with self._taking:
                # a `Start` must reach the thread before later events
                if not self._waiting or isinstance(self._waiting[0], Start):
                    break
                event = cast(Event, self._waiting.popleft())
            self._added_bytes -= len(event.encoded)
            self.lost += 1
            number = event.sequence_number
        return number

    @property
    def _too_much_waits(self) -> bool:
        waiting_bytes = self._added_bytes - self._taken_bytes
        return len(self._waiting) > MAX_WAITING or waiting_bytes > MAX_WAITING_BYTES

    @property
    def many_wait(self) -> bool:
        """Whether so much waits that gathering more of it makes no sense."""
        return len(self._waiting) >= BATCH_EVENTS // 2

    def wake(self, *, hurry: bool) -> None:
        """Store what waits: at once, or within `GATHER_S`."""
        with self._wakeup:
            if self._woken and (self._hurry or not hurry):
                return  # the thread knows: each notification would take the loop's turn from it
            self._woken = True
            self._hurry = self._hurry or hurry
            self._wakeup.notify()

    def end(self, seconds: float) -> None:
        """Store what waits, within this time, close the file and leave the mark of a clean stop."""
        with self._wakeup:
            self._ending = True
            self._until = time.monotonic() + seconds
            self._wakeup.notify()
        if self._thread is not None:
            self._thread.join(seconds + 1)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._ending or (self._waits and time.monotonic() < self._until):
            try:
                self._store_all()
                pause_s = FIRST_PAUSE_S
                self._wait()
            except Exception as error:
                self._failed(error)
                self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._close()

    @property
    def _waits(self) -> bool:
        return bool(self._batch or self._waiting)

    def _store_all(self) -> None:
        """Store every pending event; raises the errors of the file."""
        writer, retention = self._open()
        while self._waits:
            while retention.step(self._now_ms()):
                pass
            if not self._batch:
                self._take_batch(writer)
            if self._batch:
                writer.store(self._batch)
                self._head = self._batch[-1].sequence_number
                self._batch = []
            self._report(self._head, None, first_position(writer.connection))
        if retention.step(self._now_ms()):
            self.wake(hurry=False)
        self._report(self._head, None, first_position(writer.connection))

    def _take_batch(self, writer: Writer) -> None:
        """Take the events of the next transaction; none if another epoch begins."""
        size = 0
        with self._taking:
            while self._waiting and len(self._batch) < BATCH_EVENTS and size < BATCH_BYTES:
                item = self._waiting[0]
                if isinstance(item, Start):
                    if not self._batch:
                        writer.begin(*item)
                        self._epoch, self._head = item
                        self._waiting.popleft()
                    break
                self._waiting.popleft()
                size += len(item.encoded)
                self._batch.append(item)
        self._taken_bytes += size

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    def _open(self) -> tuple[Writer, Retention]:
        """The open file; reopened if it was replaced."""
        if self._writer is not None and self._retention is not None:
            if self.file_id == identity(self._path):
                return self._writer, self._retention
            _log.warning("journal_replaced", path=str(self._path))
            self._drop_file()
        writer = Writer(self._path, self._bounds, self._leave_out)
        try:
            if self._epoch:
                writer.begin(self._epoch, self._head)
            retention = Retention(writer)
            self.file_id = identity(self._path)
        except BaseException:
            writer.connection.close()
            raise
        self._writer, self._retention = writer, retention
        return writer, retention

    def _failed(self, error: Exception) -> None:
        """Report a failure. A damaged or foreign file is put aside; the next attempt creates one."""
        self._drop_file()
        code = getattr(error, "sqlite_errorcode", 0)
        if isinstance(error, NotOursError) or code & 0xFF in _DAMAGED:
            try:
                aside = put_aside(self._path)
            except OSError as failure:
                _log.error("journal_not_put_aside", path=str(self._path), error=str(failure))
            else:
                _log.error("journal_put_aside", to=str(aside), error=str(error))
        elif not isinstance(error, sqlite3.Error | OSError):
            _log.error("journal_failed", error_type=type(error).__name__, exc_info=error)
        self._report(self._head, f"{type(error).__name__}: {error}", None)

    def _drop_file(self) -> None:
        writer, self._writer, self._retention = self._writer, None, None
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.connection.close()

    def _wait(self) -> None:
        """Wait for events, then briefly for more of them, unless a publisher waits for the disk."""
        with self._wakeup:
            self._wakeup.wait_for(lambda: self._woken or self._ending, TIDY_S)
            if self._woken:
                self._wakeup.wait_for(lambda: self._hurry or self._ending, GATHER_S)
            self._woken = self._hurry = False

    def _pause(self, seconds: float) -> None:
        with self._wakeup:
            self._wakeup.wait_for(lambda: self._ending, seconds)

    def _close(self) -> None:
        """Close the file. Write the mark only if every published event is stored."""
        writer = self._writer
        if writer is None:
            return
        try:
            writer.close()
            if not self._waits:
                leave_mark(self._path, self._epoch, self._head)
        except (sqlite3.Error, OSError) as error:
            _log.warning("journal_not_closed", path=str(self._path), error=str(error))
