"""What a journal holds: its oldest event, and counts over the whole file."""

import sqlite3
from typing import NamedTuple

import msgspec


class FirstPosition(NamedTuple):
    """The oldest event that the journal holds; `time_ms` in Unix milliseconds."""

    epoch: str
    number: int
    time_ms: int


class Summary(msgspec.Struct, frozen=True):
    """Counts of a journal; `holes` are events never stored. Times in Unix milliseconds."""

    events: int
    epochs: int
    holes: int
    from_ms: int | None
    until_ms: int | None
    types: dict[str, int]


def first_position(connection: sqlite3.Connection) -> FirstPosition | None:
    """The position of the oldest event; None if there is none."""
    row = connection.execute(
        "SELECT epochs.name, events.id - epochs.base, events.time_ms FROM events"
        " JOIN epochs ON epochs.first <= events.id ORDER BY events.id, epochs.first DESC LIMIT 1"
    ).fetchone()
    return None if row is None else FirstPosition(*row)


def summary(connection: sqlite3.Connection) -> Summary:
    """Counts over the whole file."""
    from_ms, until_ms, events = connection.execute(
        "SELECT min(from_ms), max(until_ms), coalesce(sum(events), 0) FROM segments"
    ).fetchone()
    (epochs,) = connection.execute(
        "SELECT count(*) FROM epochs WHERE first <= base + head"
    ).fetchone()
    (holes,) = connection.execute("SELECT coalesce(sum(last - first + 1), 0) FROM holes").fetchone()
    types = connection.execute(
        "SELECT value, sum(events) FROM tallies WHERE kind = 'type' GROUP BY value"
        " ORDER BY sum(events) DESC, value"
    )
    return Summary(events, epochs, holes, from_ms, until_ms, dict(types))
