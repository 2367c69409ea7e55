"""`Storing`: the only thread that writes the journal's file. It survives every failure."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from ..events import Clock, Event
from ..state import NotOursError
from .mark import leave_mark
from .pending import BATCH_BYTES, BATCH_EVENTS, Pending, Start
from .retention import Retention, size_on_disk
from .schema import identity, put_aside
from .summary import FirstPosition, first_position
from .writer import Bounds, Writer

FIRST_PAUSE_S = 0.25  # after a failure; doubled each time, up to
LONGEST_PAUSE_S = 5.0
# At least this many batches fill a journal: a batch takes several times its size in file and log,
# and must fit into the part of the bound that retention keeps free.
BATCHES = 64
TIDY_S = 60.0  # how often an idle journal deletes events that are too old
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_log = structlog.get_logger("sightline.journal")


class Progress(NamedTuple):
    """How far storing is, after each batch and each failure."""

    start: Start  # of the present epoch
    stored: int  # the last number after it on disk
    reason: str | None  # why storing fails
    first: FirstPosition | None  # of the file; None also if storing fails
    bytes: int  # on disk


class Storing:
    """Stores pending events, in order."""

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        clock: Clock,
        leave_out: frozenset[str],
        report: Callable[[Progress], None],
        leaves_mark: bool,
    ) -> None:
        """`report` is called in the thread.

        `leaves_mark`: a clean stop leaves the mark that lets the epoch continue.
        """
        self.pending = Pending(min(BATCH_BYTES, bounds.max_bytes // BATCHES))
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._leave_out = leave_out
        self._report = report
        self._leaves_mark = leaves_mark
        self._writer: Writer | None = None
        self._retention: Retention | None = None
        self.file_id = (0, 0)  # identity of the open file, which is ours
        self._start, self._head = Start("", 0), 0
        self._batch: list[Event] = []  # taken, not yet stored
        self._wakeup = threading.Condition()
        self._woken = self._ending = False
        self._until = 0.0  # when storing has to end
        self._thread: threading.Thread | None = None

    def begin(self, start: Start) -> None:
        """Store the events after `start`; the first call starts the thread."""
        self.pending.begin(start)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
            self._thread.start()
        else:
            self.wake()

    @property
    def many_wait(self) -> bool:
        """Whether so much waits that gathering more of it makes no sense."""
        return len(self.pending) >= BATCH_EVENTS // 2

    def wake(self) -> None:
        """Store what waits."""
        if not self._woken:  # else the thread has not begun to take yet
            with self._wakeup:
                self._woken = True
                self._wakeup.notify()

    def end(self, seconds: float) -> None:
        """Store what waits, within this time, close the file and leave the mark."""
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
        return bool(self._batch or self.pending)

    def _store_all(self) -> None:
        """Store every pending event; raises the errors of the file."""
        writer, retention = self._open()
        is_idle = not self._waits
        while self._waits:
            while retention.step(self._now_ms()):
                pass
            if not self._batch:
                taken = self.pending.take()
                if isinstance(taken, Start):
                    # first: if this fails, the next opening begins
                    self._start, self._head = taken, taken.head
                    writer.begin(*taken)
                else:
                    self._batch = taken
            if self._batch:
                writer.store(self._batch)
                self._head = self._batch[-1].sequence_number
                self._batch = []
            self._report_stored(writer)
        if retention.step(self._now_ms()):
            self.wake()
        if is_idle:
            self._report_stored(writer)

    def _report_stored(self, writer: Writer) -> None:
        first, size = first_position(writer.connection), size_on_disk(self._path)
        self._report(Progress(self._start, self._head, None, first, size))

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
            if self._start.epoch:
                writer.begin(self._start.epoch, self._head)
            retention = Retention(writer)
            self.file_id = identity(self._path)
        except BaseException:
            writer.release()
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
        reason, size = f"{type(error).__name__}: {error}", 0
        with suppress(OSError):
            size = size_on_disk(self._path)
        self._report(Progress(self._start, self._head, reason, None, size))

    def _drop_file(self) -> None:
        writer, self._writer, self._retention = self._writer, None, None
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.release()

    def _wait(self) -> None:
        with self._wakeup:
            self._wakeup.wait_for(lambda: self._woken or self._ending, TIDY_S)
            self._woken = False

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
            if self._leaves_mark and not self._waits:
                leave_mark(self._path, self._start.epoch, self._head)
        except (sqlite3.Error, OSError) as error:
            _log.warning("journal_not_closed", path=str(self._path), error=str(error))
