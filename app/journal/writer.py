"""`Writer`: stores events in the journal's file. Synchronous; the journal's thread owns it."""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from ..events import Event
from .record import Record, record_of, words_of
from .schema import create_words_table, lock_writing, open_writer, words_table
from .segments import Segment, delete_from

SEGMENT_EVENTS = 32_768  # a segment is closed at this many events, or
SEGMENT_BYTES = 8 * 1024 * 1024  # at this many bytes of messages; at fewer in a small journal
EPOCHS = 256  # an empty epoch is kept while it is one of this many newest ones
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
            self.connection = stack.enter_context(closing(open_writer(path)))
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
        segment, head, base = self._segment, self.head, self._epoch.base
        with self.transaction() as connection:
            rows: list[tuple[int, Record]] = []
            for event in events:
                number = event.sequence_number
                if number > head + 1:
                    self._add_hole(base + head + 1, base + number - 1)
                head = number
                if event.type in self._leave_out:
                    continue
                record = record_of(event)
                if segment is None or self._is_full(segment, record):
                    self._insert(segment, rows)
                    rows = []
                    segment = self._new_segment(segment, base + number, record)
                segment = _with(segment, base + number, record)
                rows.append((base + number, record))
            self._insert(segment, rows)
            connection.execute(
                "UPDATE epochs SET head = ? WHERE first = (SELECT max(first) FROM epochs)",
                (head,),
            )
        self._segment, self.head = segment, head

    def _is_full(self, segment: Segment, record: Record) -> bool:
        return segment.events > 0 and (
            segment.events >= SEGMENT_EVENTS
            or segment.bytes + len(record.body) > self.bounds.segment_bytes
            or record.time_ms - segment.from_ms > self.bounds.segment_ms
        )

    def _new_segment(self, previous: Segment | None, first: int, record: Record) -> Segment:
        id_ = 1 if previous is None else previous.id + 1
        self.connection.execute(create_words_table(id_))
        return Segment(id_, first, first - 1, 0, 0, record.time_ms, record.time_ms)

    def _insert(self, segment: Segment | None, rows: Sequence[tuple[int, Record]]) -> None:
        """Insert rows of one segment, with one statement a table: other threads run meanwhile."""
        if segment is None or not rows:
            return
        connection = self.connection
        events: list[object] = []
        words: list[object] = []
        tallies: Counter[tuple[str, str]] = Counter()
        for id_, record in rows:
            events += (id_, *record)
            words += (id_, words_of(record.body))
            tallies["type", record.type] += 1
            if record.agent is not None:
                tallies["agent", record.agent] += 1
            if record.session is not None:
                tallies["session", record.session] += 1
        counts = [
            item for (kind, value), n in tallies.items() for item in (kind, value, segment.id, n)
        ]
        connection.execute(f"INSERT INTO events VALUES {_places(6, len(rows))}", events)
        connection.execute(
            f"INSERT INTO {words_table(segment.id)} (rowid, text) VALUES {_places(2, len(rows))}",
            words,
        )
        connection.execute(
            f"INSERT INTO tallies VALUES {_places(4, len(tallies))}"
            " ON CONFLICT DO UPDATE SET events = events + excluded.events",
            counts,
        )
        connection.execute(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?)",
            astuple(segment),
        )

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


def _with(segment: Segment, id_: int, record: Record) -> Segment:
    return Segment(
        segment.id,
        segment.first,
        id_,
        segment.events + 1,
        segment.bytes + len(record.body),
        min(segment.from_ms, record.time_ms),
        max(segment.until_ms, record.time_ms),
    )


def _places(columns: int, rows: int) -> str:
    row = "(" + ",".join("?" * columns) + ")"
    return ",".join([row] * rows)
