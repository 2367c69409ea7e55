"""`Segment`: a run of ids with a full-text table of its own; how events are added and deleted."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import msgspec
from msgspec.structs import astuple

from .record import Row, words_of
from .schema import create_words_table, words_table

_ADD = " ON CONFLICT DO UPDATE SET events = events + excluded.events"
_EVENT = "(?, ?, ?, nullif(?, 0), nullif(?, 0), CAST(? AS BLOB))"  # takes the first six of a `Row`


class Segment(msgspec.Struct, frozen=True):
    """A run of ids; the fields are the columns of the table."""

    id: int
    first: int
    last: int
    events: int
    bytes: int
    from_ms: int
    until_ms: int


def insert(connection: sqlite3.Connection, segment: Segment, rows: Sequence[Row]) -> Segment:
    """Add rows to the end of a segment, within the caller's transaction; return the new segment.

    `rows` is not empty; its ids ascend. Each table takes one statement, however many rows: other
    threads run during a statement.
    """
    ids, times, types, agents, sessions, bodies, sizes = zip(*rows, strict=True)
    segment = Segment(
        segment.id,
        segment.first,
        ids[-1],
        segment.events + len(rows),
        segment.bytes + sum(sizes),
        min(segment.from_ms, *times),
        max(segment.until_ms, *times),
    )
    tallies = [
        (kind, value, segment.id, n)
        for kind, values in (("type", types), ("agent", agents), ("session", sessions))
        for value, n in Counter(values).items()
        if value != 0
    ]
    words = list(zip(ids, map(words_of, bodies), strict=True))
    _insert(connection, "events", _EVENT, [row[:6] for row in rows])
    _insert(connection, f"{words_table(segment.id)} (rowid, text)", "(?, ?)", words)
    _insert(connection, "tallies", "(?, ?, ?, ?)", tallies, _ADD)
    connection.execute(
        "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(segment)
    )
    return segment


def _insert(
    connection: sqlite3.Connection,
    table: str,
    row: str,
    rows: Sequence[tuple[object, ...]],
    conflict: str = "",
) -> None:
    """Insert rows with one statement, after which `conflict` says what to do with existing ones.

    The statement has places for a power of two of rows. So there are few different ones, and SQLite
    has most often parsed this one already.
    """
    count = len(rows)
    if count == 1:  # without a subquery, SQLite does less
        connection.execute(f"INSERT INTO {table} VALUES {row}{conflict}", rows[0])
        return
    places = 1 << (count - 1).bit_length()  # the LIMIT leaves out those above `count`
    rest = [0] * (len(rows[0]) * (places - count))
    connection.execute(
        f"INSERT INTO {table} SELECT * FROM (VALUES {','.join([row] * places)}) LIMIT ?{conflict}",
        [*chain.from_iterable(rows), *rest, count],
    )


def delete_from(connection: sqlite3.Connection, first: int) -> None:
    """Delete every event and hole from an id on, within the caller's transaction."""
    connection.execute("DELETE FROM events WHERE id >= ?", (first,))
    connection.execute("DELETE FROM holes WHERE first >= ?", (first,))
    connection.execute("UPDATE holes SET last = ? WHERE last >= ?", (first - 1, first))
    rows = connection.execute("SELECT * FROM segments WHERE last >= ?", (first,)).fetchall()
    for segment in (Segment(*row) for row in rows):
        if segment.first >= first:
            drop(connection, segment.id)
            continue
        connection.execute(
            "UPDATE segments SET last = :last, (events, bytes) = (SELECT count(*),"
            " coalesce(sum(length(body)), 0) FROM events WHERE id BETWEEN :first AND :last)"
            " WHERE id = :id",
            {"last": first - 1, "first": segment.first, "id": segment.id},
        )
        index_again(connection, segment)


def drop(connection: sqlite3.Connection, id_: int) -> None:
    """Delete a segment without events."""
    connection.execute(f"DROP TABLE {words_table(id_)}")
    connection.execute("DELETE FROM segments WHERE id = ?", (id_,))
    connection.execute("DELETE FROM tallies WHERE segment = ?", (id_,))


def index_again(connection: sqlite3.Connection, segment: Segment) -> None:
    """Rebuild the words and tallies of a segment: the index would only mark deleted words."""
    connection.execute(f"DROP TABLE {words_table(segment.id)}")
    create_words_table(connection, segment.id)
    span = (segment.first, segment.last)
    rows = connection.execute("SELECT id, body FROM events WHERE id BETWEEN ? AND ?", span)
    connection.executemany(
        f"INSERT INTO {words_table(segment.id)} (rowid, text) VALUES (?, ?)",
        ((id_, words_of(body.decode("utf-8", "replace"))) for id_, body in rows),
    )
    connection.execute("DELETE FROM tallies WHERE segment = ?", (segment.id,))
    for kind in ("type", "agent", "session"):
        connection.execute(
            f"INSERT INTO tallies SELECT ?, {kind}, ?, count(*) FROM events"
            f" WHERE id BETWEEN ? AND ? AND {kind} IS NOT NULL GROUP BY {kind}",
            (kind, segment.id, *span),
        )
