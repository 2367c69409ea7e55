"""`Reader`: answers questions from the journal's file. Synchronous, for one thread."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..events import Event, Gap, Position
from .history import Page, Question, position_text
from .record import message_of, to_timestamp
from .schema import open_reader
from .search import READ_S, Search, may_hold
from .segments import Segment
from .summary import Summary, summary
from .writer import Epoch


class Reader:
    """A reading connection. Each page is one short transaction, so the writer never waits."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open the file; raises `sqlite3.Error`."""
        self._connection = open_reader(path)
        self._monotonic = monotonic
        self._search = Search(self._connection, monotonic)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def page(self, question: Question) -> Page | None:
        """Return one page, or None if the journal does not have the epoch."""
        self._connection.execute("BEGIN")
        try:
            epochs = [Epoch(*row) for row in self._all("SELECT * FROM epochs ORDER BY first")]
            segments = [Segment(*row) for row in self._all("SELECT * FROM segments ORDER BY first")]
            return self._page(question, epochs, segments)
        finally:
            self._connection.execute("ROLLBACK")

    def summary(self) -> Summary:
        """Counts over the whole file."""
        return summary(self._connection)

    def newest(self, epoch: str, limit: int, max_bytes: int, window_ms: float) -> list[Event]:
        """The newest events of an epoch, oldest first, back to the first hole.

        `accepted_at` is in seconds relative to the newest: 0 or negative.
        """
        row = self._connection.execute(
            "SELECT * FROM epochs WHERE name = ? ORDER BY first DESC LIMIT 1", (epoch,)
        ).fetchone()
        if row is None:
            return []
        run = Epoch(*row)
        expected, size, newest_ms = run.base + run.head, 0, None
        found: list[Event] = []
        rows = self._connection.execute(
            "SELECT id, time_ms, type, body FROM events WHERE id >= ? ORDER BY id DESC LIMIT ?",
            (run.first, limit),
        )
        for id_, time_ms, type_, body in rows:
            size += len(body)
            if id_ != expected or size > max_bytes:
                break
            newest_ms = time_ms if newest_ms is None else newest_ms
            if time_ms < newest_ms - window_ms:
                break
            number, age_s = id_ - run.base, (time_ms - newest_ms) / 1000
            message = message_of(type_, time_ms, number, body)
            found.append(Event(type_, to_timestamp(time_ms), number, age_s, message))
            expected -= 1
        found.reverse()
        return found

    def _page(
        self, question: Question, epochs: Sequence[Epoch], segments: Sequence[Segment]
    ) -> Page | None:
        index = self._which_epoch(question, epochs, segments)
        if index is None:
            return None
        page, whole = self._page_of(question, epochs, segments, index)
        if (question.epoch, question.after, question.before) == (None, None, None):
            # without a place to begin, begin where something is found
            step = -1 if question.order == "desc" else 1
            until = self._monotonic() + READ_S
            while whole and not page.messages and page.gap is None:
                index += step
                if not 0 <= index < len(epochs) or self._monotonic() > until:
                    break
                page, whole = self._page_of(question, epochs, segments, index)
        count = self._search.count(question, segments) if question.words else None
        return msgspec.structs.replace(page, matches=count)

    def _page_of(
        self, question: Question, epochs: Sequence[Epoch], segments: Sequence[Segment], index: int
    ) -> tuple[Page, bool]:
        """The page in one epoch, and whether it reaches the end of it."""
        epoch, newest_first = epochs[index], question.order == "desc"
        end = epoch.base + epoch.head
        low = (
            epoch.first - 1
            if question.after is None
            else epoch.base + question.after.sequence_number
        )
        high = end + 1 if question.before is None else epoch.base + question.before.sequence_number
        low, high = max(min(low, end), epoch.base), min(max(high, epoch.base + 1), end + 1)
        asked_low, asked_high = low, high
        low, high, gap = self._without_loss(question, epoch, low, high)
        found, edge = self._search.find(question, segments, low, high)
        if newest_first:
            low = edge if edge is not None else low
        else:
            high = edge if edge is not None else high
        # read so far: between `low` and `high`, both exclusive
        first, last = (low, asked_high) if newest_first else (asked_low, high)
        page = Page(
            epoch.name,
            [
                message_of(type_, time_ms, id_ - epoch.base, body)
                for id_, time_ms, type_, body in found
            ],
            max(0, min(last - 1, end) - epoch.base),
            gap,
            self._older(epochs, index, first),
            self._newer(epochs, index, last),
        )
        return page, first < epoch.first if newest_first else last > end

    def _which_epoch(
        self, question: Question, epochs: Sequence[Epoch], segments: Sequence[Segment]
    ) -> int | None:
        """The index of the epoch of the page."""
        position = question.after or question.before
        if position is not None:
            return _run_of(position, epochs)
        if question.epoch is not None:
            runs = [i for i, epoch in enumerate(epochs) if epoch.name == question.epoch]
            return runs[-1] if runs else None
        if question.order == "desc":
            return len(epochs) - 1 if epochs else None
        for segment in segments:
            if may_hold(question, segment):
                return max(i for i, epoch in enumerate(epochs) if epoch.first <= segment.first)
        return len(epochs) - 1 if epochs else None

    def _without_loss(
        self, question: Question, epoch: Epoch, low: int, high: int
    ) -> tuple[int, int, Gap | None]:
        """Start the page after a loss at its start, and end it before the next hole."""
        holes = [
            (max(first, low + 1), min(last, high - 1))
            for first, last in self._all(
                "SELECT first, last FROM holes WHERE last > ? AND first < ? ORDER BY first",
                (low, high),
            )
        ]
        if low + 1 < min(epoch.first, high):  # deleted by retention
            holes.insert(0, (low + 1, min(epoch.first, high) - 1))
        if question.order == "desc":
            holes.reverse()
        gap = None
        for first, last in holes:
            expired = last < epoch.first
            at_start = last == high - 1 if question.order == "desc" else first == low + 1
            if not at_start:
                return (last, high, gap) if question.order == "desc" else (low, first, gap)
            named = question.after if question.order == "asc" else question.before
            if gap is None and (named is not None or not expired):
                gap = Gap(
                    first - epoch.base,
                    last - epoch.base,
                    last - first + 1 if question.event_filter.matches_all else None,
                    "expired" if expired else "not_stored",
                )
            if question.order == "desc":
                high = first
            else:
                low = last
        return low, high, gap

    def _older(self, epochs: Sequence[Epoch], index: int, first: int) -> str | None:
        epoch = epochs[index]
        if first >= epoch.first:
            return position_text(epoch.name, first + 1 - epoch.base)
        for before in reversed(epochs[:index]):
            if not before.is_empty:
                return position_text(before.name, before.head + 1)
        return None

    def _newer(self, epochs: Sequence[Epoch], index: int, last: int) -> str | None:
        epoch = epochs[index]
        if last <= epoch.base + epoch.head:
            return position_text(epoch.name, last - 1 - epoch.base)
        for behind in epochs[index + 1 :]:
            if not behind.is_empty or behind is epochs[-1]:
                return position_text(behind.name, behind.first - 1 - behind.base)
        return None

    def _all(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)


def _run_of(position: Position, epochs: Sequence[Epoch]) -> int | None:
    """The index of the run that holds a position, or else of the first run of its epoch."""
    runs = [i for i, epoch in enumerate(epochs) if position.epoch in (None, epoch.name)]
    if position.epoch is None:
        runs = runs[-1:]
    for i in reversed(runs):
        if epochs[i].base + position.sequence_number >= epochs[i].first - 1:
            return i
    return runs[0] if runs else None
