"""Retention: deletes the oldest events, in small steps, until the journal fits its bounds."""

import os
from contextlib import suppress
from pathlib import Path

from .schema import create_words_table, words_table
from .segments import Segment, drop
from .writer import Writer, forget_empty_epochs

STEP_EVENTS = 2000  # deleted in one transaction
FULL = 0.9  # share of the main file's bound: deleting starts above it,
ROOMY = 0.85  # and stops below this one
WAL_SHARE = 8  # one part in this many of the bound is for the write-ahead log, up to
MAX_WAL_BYTES = 16 * 1024 * 1024
LOOK_MS = 1000  # between two checks of the oldest age: a check for each batch costs more
VACUUM_PAGES = 256  # returned to the file system in one step


class Retention:
    """Decides what to delete, and deletes it through the writer's connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._connection = writer.connection
        self._deleting = False
        self._looked_ms = -LOOK_MS  # wall clock of the last check that found nothing too old
        max_bytes = writer.bounds.max_bytes
        wal_bytes = min(MAX_WAL_BYTES, max_bytes // WAL_SHARE)
        self._main_bytes = max_bytes - wal_bytes
        self._page_size = self._pragma("page_size")
        self._connection.execute(
            f"PRAGMA wal_autocheckpoint = {max(16, wal_bytes // self._page_size // 4)}"
        )
        self._connection.execute(f"PRAGMA journal_size_limit = {wal_bytes // 2}")

    def step(self, now_ms: int) -> bool:
        """Delete some of the oldest events if the journal is too big or they are too old.

        Return whether another step is due at once.
        """
        pages, free = self._pragma("page_count"), self._pragma("freelist_count")
        used = (pages - free) * self._page_size
        if used > FULL * self._main_bytes:
            self._deleting = True
        elif used < ROOMY * self._main_bytes:
            self._deleting = False
        # Below 0, the clock was set back.
        if self._deleting or not 0 <= now_ms - self._looked_ms < LOOK_MS:
            oldest = self._oldest()
            if oldest is None:
                self._deleting = False
            elif self._deleting or oldest.until_ms < now_ms - self._writer.bounds.max_age_ms:
                self.delete_from(oldest)
                return True
            self._looked_ms = now_ms
        if free < VACUUM_PAGES or free < pages // 10:
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return True

    def delete_from(self, segment: Segment) -> int:
        """Delete up to `STEP_EVENTS` events from the start of a segment; return the number.

        The first step deletes the segment's words, the last its row.
        """
        with self._writer.transaction() as connection:
            (last,) = connection.execute(
                "SELECT max(id) FROM (SELECT id FROM events WHERE id BETWEEN ? AND ?"
                " ORDER BY id LIMIT ?)",
                (segment.first, segment.last, STEP_EVENTS),
            ).fetchone()
            deleted = 0
            if last is not None:
                deleted = connection.execute(
                    "DELETE FROM events WHERE id BETWEEN ? AND ?", (segment.first, last)
                ).rowcount
            if last is None or last >= segment.last:
                drop(connection, segment.id)
                self._trim_before(segment.last + 1)
            else:
                # empty: its events are no longer found
                connection.execute(f"DROP TABLE {words_table(segment.id)}")
                create_words_table(connection, segment.id)
                connection.execute(
                    "UPDATE segments SET first = ?, events = events - ? WHERE id = ?",
                    (last + 1, deleted, segment.id),
                )
                self._trim_before(last + 1)
        self._writer.reload_segment()
        return deleted

    def _trim_before(self, first: int) -> None:
        """Delete holes that end before an id, and make the history begin there."""
        connection = self._connection
        connection.execute("DELETE FROM holes WHERE last < ?", (first,))
        # A journal of an older Sightline may have no free id behind an epoch.
        connection.execute(
            "DELETE FROM epochs WHERE base + head < ? AND EXISTS"
            " (SELECT 1 FROM epochs AS later WHERE later.first = epochs.base + epochs.head + 1"
            " AND later.base <> epochs.base)",
            (first,),
        )
        connection.execute(
            "UPDATE epochs SET first = min(?, base + head + 1) WHERE first < ?", (first, first)
        )
        forget_empty_epochs(connection)

    def _oldest(self) -> Segment | None:
        row = self._connection.execute("SELECT * FROM segments ORDER BY id LIMIT 1").fetchone()
        return None if row is None else Segment(*row)

    def _pragma(self, name: str) -> int:
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)


def size_on_disk(path: Path) -> int:
    """Bytes of the main file and its write-ahead log."""
    size = 0
    for name in (path, f"{path}-wal"):
        with suppress(FileNotFoundError):
            size += os.stat(name).st_size
    return size
