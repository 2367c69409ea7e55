"""Delete events for good: their rows, their words in the index, and their bytes on disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from ..channels.filters import EventFilter
from .schema import open_writer
from .segments import Segment, index_again


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What to delete: the events that match every given field. `before_ms` in Unix milliseconds."""

    before_ms: int | None = None
    event_filter: EventFilter = EventFilter()
    agent: str | None = None


def forget(path: Path, what: Forgotten) -> Iterator[int]:
    """Delete a segment at a time and yield the number of deleted events. A gateway may be running.

    Raises:
        sqlite3.Error, OSError: the file cannot be changed; the yielded events are deleted.
    """
    with closing(open_writer(path)) as connection:
        connection.execute("PRAGMA secure_delete = ON")  # overwrites what is deleted
        segments = [Segment(*row) for row in connection.execute("SELECT * FROM segments")]
        for segment in segments:
            if what.before_ms is None or segment.from_ms < what.before_ms:
                yield _forget_in(connection, segment.id, what)
        while connection.execute("PRAGMA freelist_count").fetchone()[0]:
            connection.execute("PRAGMA incremental_vacuum(1000)").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _forget_in(connection: sqlite3.Connection, id_: int, what: Forgotten) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        row = connection.execute("SELECT * FROM segments WHERE id = ?", (id_,)).fetchone()
        deleted = 0 if row is None else _delete(connection, Segment(*row), what)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return deleted


def _delete(connection: sqlite3.Connection, segment: Segment, what: Forgotten) -> int:
    conditions = ["id BETWEEN ? AND ?"]
    where: list[object] = [segment.first, segment.last]
    if what.before_ms is not None:
        conditions.append("time_ms < ?")
        where.append(what.before_ms)
    if what.agent is not None:
        conditions.append("agent = ?")
        where.append(what.agent)
    if not what.event_filter.matches_all:
        types = connection.execute(
            "SELECT value FROM tallies WHERE segment = ? AND kind = 'type'", (segment.id,)
        )
        fitting = [type_ for (type_,) in types if what.event_filter.matches(type_)]
        conditions.append(f"type IN ({','.join('?' * len(fitting))})")
        where += fitting
    sql = f"DELETE FROM events WHERE {' AND '.join(conditions)}"
    deleted = connection.execute(sql, where).rowcount
    if deleted:
        connection.execute(
            "UPDATE segments SET events = events - ? WHERE id = ?", (deleted, segment.id)
        )
        index_again(connection, segment)
    return deleted
