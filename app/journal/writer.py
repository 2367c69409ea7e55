"""`Writer`: stores events in the journal's file. Synchronous; the journal's thread owns it."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from ..events import Event
from .record import Row, row_of
from .schema import create_words_table, lock_writing, open_writer
from .segments import Segment, delete_from, insert

SEGMENT_EVENTS = 32_768  # a segment is closed at this many events, or
SEGMENT_BYTES = 8 * 1024 * 1024  # at this many bytes of messages; at fewer in a small journal
EPOCHS = 256  # an empty epoch is kept while it is one of this many newest ones
# From this bound on, pages have 8 KiB: fewer writes. Segments of a smaller journal need 4 KiB.
LARGE_PAGES = 16 * 1024 * 1024
SEGMENTS = 32  # at least, in a full journal, so that retention deletes in small steps


class Bounds(msgspec.Struct, frozen=True):
    """Bounds of the journal: bytes on disk, and the age of an event in milliseconds."""

    max_bytes: int
    max_age_ms: int

    @property
    def segment_bytes(self) -> int:
        """The largest segment, in bytes of messages."""
        return min(SEGMENT_BYTES, self.max_bytes // SEGMENTS)

    @property
    def page_bytes(self) -> int:
        """The page size of a new file, in bytes."""
        return 8192 if self.max_bytes >= LARGE_PAGES else 4096

    @property
    def segment_ms(self) -> int:
        """The longest time that a segment spans."""
        return self.max_age_ms // SEGMENTS


class Epoch(msgspec.Struct, frozen=True):
    """A run of one epoch; the fields are the columns of the table."""

    first: int
    name: str
    base: int
    head: int

    @property
    def is_empty(self) -> bool:
        """Whether it has no number that the journal could hold."""
        return self.base + self.head < self.first


class Writer:
    """The only writing connection. Every method is at most one transaction."""

    def __init__(self, path: Path, bounds: Bounds, leave_out: frozenset[str] = frozenset()) -> None:
        """Open the file, creating it if needed; raises as `lock_writing` and `open_writer`."""
        self.bounds = bounds
        self.path = path
        self._leave_out = leave_out
        with ExitStack() as stack:
            stack.callback(os.close, lock_writing(path))
            self.connection = stack.enter_context(closing(open_writer(path, bounds.page_bytes)))
            self._stack = stack.pop_all()
        self._segment = self._newest_segment()
        self._epoch = Epoch(1, "", 0, 0)  # set by `begin`
        self.head = 0  # the last sequence number that was stored, left out or found missing

    def close(self) -> None:
        """Checkpoint the write-ahead log and close the file."""
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.release()

    def release(self) -> None:
        """Close the file as it is."""
        self._stack.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, rolled back if the block raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def begin(self, epoch: str, head: int) -> None:
        """Continue after number `head` of `epoch`, which may be the last epoch of the file.

        Then numbers from the file's last one to `head` become a hole. If the file goes beyond
        `head`, what is above is deleted: NATS sends its newest events again after a restart, and a
        stream that lost its end gives their numbers to others.
        """
        with self.transaction() as connection:
            # On NATS, a gateway has an epoch without numbers before it has found the stream.
            connection.execute(
                "DELETE FROM epochs WHERE base + head < first"
                " AND first > (SELECT max(first) FROM epochs WHERE name = ?)",
                (epoch,),
            )
            row = self._newest_epoch()
            if row is not None and row.name == epoch and row.first <= row.base + head + 1:
                self._add_hole(row.base + row.head + 1, row.base + head)
                delete_from(connection, row.base + head + 1)
                row = Epoch(row.first, epoch, row.base, head)
            else:
                if row is not None and row.name == epoch:
                    delete_from(connection, row.first)
                    first = row.first
                else:
                    first = 1 if row is None else row.base + row.head + 2
                row = Epoch(first, epoch, first - 1 - head, head)
            connection.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?)", astuple(row))
            forget_empty_epochs(connection)
        self._epoch, self.head = row, head
        self.reload_segment()

    def store(self, events: Sequence[Event]) -> None:
        """Store events of the current epoch, in order, in one transaction.

        A skipped number becomes a hole. Events of types that are left out only use up their number.
        """
        head, base = self.head, self._epoch.base
        rows: list[Row] = []
        with self.transaction() as connection:
            for event in events:
                number = event.sequence_number
                if number > head + 1:
                    self._add_hole(base + head + 1, base + number - 1)
                head = number
                if event.type not in self._leave_out:
                    rows.append(row_of(base + number, event))
            segment = self._segment
            while rows:
                if segment is None or not (fitting := self._fitting(segment, rows)):
                    segment = self._new_segment(segment, rows[0])
                    fitting = self._fitting(segment, rows)
                segment = insert(connection, segment, rows[:fitting])
                rows = rows[fitting:]
            connection.execute(
                "UPDATE epochs SET head = ? WHERE first = (SELECT max(first) FROM epochs)",
                (head,),
            )
        self._segment, self.head = segment, head

    def _fitting(self, segment: Segment, rows: Sequence[Row]) -> int:
        """How many of the first rows the segment has room for: at least one if it is empty."""
        bounds = self.bounds
        most, most_bytes, most_ms = SEGMENT_EVENTS, bounds.segment_bytes, bounds.segment_ms
        events, size, from_ms = segment.events, segment.bytes, segment.from_ms
        fitting = 0
        for _, time_ms, _, _, _, _, row_bytes in rows:
            size += row_bytes
            if events and (events >= most or size > most_bytes or time_ms - from_ms > most_ms):
                break
            if time_ms < from_ms:
                from_ms = time_ms
            events += 1
            fitting += 1
        return fitting

    def _new_segment(self, previous: Segment | None, row: Row) -> Segment:
        id_, time_ms = 1 if previous is None else previous.id + 1, row[1]
        create_words_table(self.connection, id_)
        return Segment(id_, row[0], row[0] - 1, 0, 0, time_ms, time_ms)

    def _add_hole(self, first: int, last: int) -> None:
        """Record that the events from `first` to `last` were never stored."""
        if last < first:
            return
        done = self.connection.execute(
            "UPDATE holes SET last = ? WHERE last = ?", (last, first - 1)
        )
        if not done.rowcount:
            self.connection.execute("INSERT INTO holes VALUES (?, ?)", (first, last))

    def _newest_epoch(self) -> Epoch | None:
        row = self.connection.execute("SELECT * FROM epochs ORDER BY first DESC LIMIT 1").fetchone()
        return None if row is None else Epoch(*row)

    def _newest_segment(self) -> Segment | None:
        row = self.connection.execute("SELECT * FROM segments ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else Segment(*row)

    def reload_segment(self) -> None:
        """Read the newest segment again, after a deletion."""
        self._segment = self._newest_segment()


def forget_empty_epochs(connection: sqlite3.Connection) -> None:
    """Delete the rows of empty epochs that are not among the newest `EPOCHS`."""
    connection.execute(
        "DELETE FROM epochs WHERE base + head < first"
        " AND first < (SELECT min(first) FROM (SELECT first FROM epochs ORDER BY first DESC LIMIT ?))",
        (EPOCHS,),
    )
