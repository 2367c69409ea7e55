"""`Segment`: a run of ids with a full-text table of its own, and what deleting events does to it."""

import sqlite3

import msgspec

from .record import words_of
from .schema import create_words_table, words_table


class Segment(msgspec.Struct, frozen=True):
    """A run of ids; the fields are the columns of the table."""

    id: int
    first: int
    last: int
    events: int
    bytes: int
    from_ms: int
    until_ms: int


def delete_from(connection: sqlite3.Connection, first: int) -> None:
    """Delete every event and hole from an id on, within the caller's transaction."""
    connection.execute("DELETE FROM events WHERE id >= ?", (first,))
    connection.execute("DELETE FROM holes WHERE first >= ?", (first,))
    connection.execute("UPDATE holes SET last = ?1 - 1 WHERE last >= ?1", (first,))
    rows = connection.execute("SELECT * FROM segments WHERE last >= ?", (first,)).fetchall()
    for segment in (Segment(*row) for row in rows):
        if segment.first >= first:
            drop(connection, segment.id)
            continue
        connection.execute(
            "UPDATE segments SET last = ?1 - 1, (events, bytes) = (SELECT count(*),"
            " coalesce(sum(length(body)), 0) FROM events WHERE id BETWEEN ?2 AND ?1 - 1)"
            " WHERE id = ?3",
            (first, segment.first, segment.id),
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
    connection.execute(create_words_table(segment.id))
    span = (segment.first, segment.last)
    rows = connection.execute("SELECT id, body FROM events WHERE id BETWEEN ? AND ?", span)
    connection.executemany(
        f"INSERT INTO {words_table(segment.id)} (rowid, text) VALUES (?, ?)",
        ((id_, words_of(body)) for id_, body in rows),
    )
    connection.execute("DELETE FROM tallies WHERE segment = ?", (segment.id,))
    for kind in ("type", "agent", "session"):
        connection.execute(
            f"INSERT INTO tallies SELECT ?, {kind}, ?, count(*) FROM events"
            f" WHERE id BETWEEN ? AND ? AND {kind} IS NOT NULL GROUP BY {kind}",
            (kind, segment.id, *span),
        )
