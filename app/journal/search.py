"""`Search`: finds rows in the journal's segments, and counts the hits of a search."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence

from .history import Question
from .schema import words_table
from .segments import Segment

MAX_PAGE_BYTES = 16 * 1024 * 1024  # a page ends early above this
READ_S = 0.25  # after this time a page ends early, and says where to continue
COUNT_S = 0.05  # after this time the number of hits stays unknown
Row = tuple[int, int, str, bytes]  # id, time in Unix milliseconds, type, body


class Search:
    """Finds matching events, a segment at a time, within one read transaction."""

    def __init__(
        self, connection: sqlite3.Connection, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._monotonic = monotonic

    def find(
        self, question: Question, segments: Sequence[Segment], low: int, high: int
    ) -> tuple[list[Row], int | None]:
        """The rows between two ids, in order, and the id where reading ended, if it ended early."""
        until = self._monotonic() + READ_S
        newest_first = question.order == "desc"
        found: list[Row] = []
        size = 0
        overlapping = [one for one in segments if one.last > low and one.first < high]
        for number, segment in enumerate(reversed(overlapping) if newest_first else overlapping):
            if number and self._monotonic() > until:
                return found, segment.last if newest_first else segment.first
            # one row more than asked shows whether there is more
            for row in self._rows(question, segment, low, high, question.limit + 1 - len(found)):
                size += len(row[3])
                if len(found) == question.limit or (found and size > MAX_PAGE_BYTES):
                    return found, found[-1][0] + (-1 if newest_first else 1)
                found.append(row)
        return found, None

    def _rows(
        self, question: Question, segment: Segment, low: int, high: int, limit: int
    ) -> Iterable[Row]:
        if not may_hold(question, segment):
            return ()
        condition, values = self._condition(question, segment, low, high)
        if condition is None:
            return ()
        order = "DESC" if question.order == "desc" else "ASC"
        if question.words:
            table = words_table(segment.id)
            return self._all(
                f"SELECT events.id, time_ms, type, body FROM {table}"
                f" CROSS JOIN events ON events.id = {table}.rowid"
                f" WHERE {table} MATCH ? AND {condition} ORDER BY {table}.rowid {order} LIMIT ?",
                (_match(question.words), *values, limit),
            )
        return self._all(
            f"SELECT events.id, time_ms, type, body FROM events WHERE {condition}"
            f" ORDER BY events.id {order} LIMIT ?",
            (*values, limit),
        )

    def _condition(
        self, question: Question, segment: Segment, low: int, high: int
    ) -> tuple[str | None, list[object]]:
        """SQL conditions within a segment; None if the tallies exclude any match."""
        parts = ["events.id > ?", "events.id < ?"]
        values: list[object] = [max(low, segment.first - 1), min(high, segment.last + 1)]
        for column, wanted in (("agent", question.agent), ("session", question.session)):
            if wanted is not None:
                if not self._tallied(segment, column, (wanted,)):
                    return None, []
                parts.append(f"{column} = ?")
                values.append(wanted)
        if not question.event_filter.matches_all:
            types = self._tallied(segment, "type")
            fitting = [type_ for type_ in types if question.event_filter.matches(type_)]
            if not fitting:
                return None, []
            if len(fitting) < len(types):
                parts.append(f"type IN ({','.join('?' * len(fitting))})")
                values += fitting
        if question.since_ms is not None and segment.from_ms < question.since_ms:
            parts.append("time_ms >= ?")
            values.append(question.since_ms)
        if question.until_ms is not None and segment.until_ms >= question.until_ms:
            parts.append("time_ms < ?")
            values.append(question.until_ms)
        return " AND ".join(parts), values

    def _tallied(self, segment: Segment, kind: str, wanted: tuple[str, ...] = ()) -> list[str]:
        which = " AND value = ?" if wanted else ""
        rows = self._all(
            f"SELECT value FROM tallies WHERE segment = ? AND kind = ?{which}",
            (segment.id, kind, *wanted),
        )
        return [value for (value,) in rows]

    def count(self, question: Question, segments: Sequence[Segment]) -> int | None:
        """Count the hits of a search over all pages; None if that takes too long."""
        until = self._monotonic() + COUNT_S
        hits = 0
        plain = question.event_filter.matches_all and question.agent is question.session is None
        for segment in segments:
            if self._monotonic() > until:
                return None
            if not may_hold(question, segment):
                continue
            condition, values = self._condition(question, segment, 0, segment.last + 1)
            if condition is None:
                continue
            table = words_table(segment.id)
            simple = plain and len(values) == 2  # only the segment's own bounds
            join = "" if simple else f" CROSS JOIN events ON events.id = {table}.rowid"
            more = "" if simple else f" AND {condition}"
            (found,) = self._all(
                f"SELECT count(*) FROM {table}{join} WHERE {table} MATCH ?{more}",
                (_match(question.words), *([] if simple else values)),
            ).fetchone()
            hits += int(found)
        return hits

    def _all(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)


def may_hold(question: Question, segment: Segment) -> bool:
    """Whether the times of a segment overlap those of the question."""
    return (question.since_ms is None or segment.until_ms >= question.since_ms) and (
        question.until_ms is None or segment.from_ms < question.until_ms
    )


def _match(words: Sequence[str]) -> str:
    """A full-text expression that requires every word, beginning of a word and phrase."""
    return " AND ".join(_term(word) for word in words)


def _term(word: str) -> str:
    quoted = '"' + word.rstrip("*").replace('"', '""') + '"'
    return f"{quoted} *" if word.endswith("*") else quoted
