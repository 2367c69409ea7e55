"""What a stream hands out: what has arrived, with its gaps filled from the history. Without I/O.

A gap is filled when the consumer reaches it. Events that arrive meanwhile wait in the inbox; what
does not fit there is a gap of its own, and filled in its turn.
"""

from collections.abc import Callable, Iterator

from sightline_client.core import Core, pause_s
from sightline_client.errors import SightlineError, UnavailableError
from sightline_client.inbox import EPOCH_CHANGED, Entry, Inbox
from sightline_client.messages import Gap, Item, Position
from sightline_client.pages import NEW_EPOCH, PAGE, Page, position_in, position_text

FILLED = {"expired", "replay_limit", "slow_consumer", EPOCH_CHANGED}
TRIES = 8  # one after the other, over a minute at most


class Fill:
    """Reads from one position to another, a page at a time: ask for `query` until it is None.

    It stops before an epoch that `is_ahead`, whose events have arrived. The epoch of `end` may be
    missing: the journal forgets an epoch without an event.
    """

    def __init__(
        self,
        start: Position,
        gap: Gap,
        end: Position,
        types: str | None,
        is_ahead: Callable[[str | None], bool],
    ) -> None:
        self._gap = gap
        self._start = self._reached = start
        self._end = end
        self._types = types
        self._is_ahead = is_ahead
        self._tries = 0
        self._is_over = self._is_there
        self._entries: Iterator[Entry] = iter([Entry(None, end)] if self._is_over else ())

    @property
    def query(self) -> dict[str, str] | None:
        """The parameters of the next page."""
        if self._is_over:
            return None
        left = self._end.sequence_number - self._reached.sequence_number
        limit = min(left, PAGE) if self._end.epoch == self._reached.epoch else PAGE
        query = {"after": position_text(self._reached), "limit": str(limit)}
        return query if self._types is None else {**query, "types": self._types}

    def take(self) -> Entry | None:
        """The next entry of the last page."""
        return next(self._entries, None)

    def read(self, page: Page, random: float) -> float:
        """Take the page that was asked for; return how many seconds to wait before the next one."""
        before = self._reached
        if page.epoch != before.epoch or (page.gap and page.gap.reason == EPOCH_CHANGED):
            return self._leave()  # the history does not know the position
        until = self._end.sequence_number if self._end.epoch == page.epoch else None
        self._reached = Position(page.next if until is None else min(page.next, until), page.epoch)
        self._entries = _up_to(until, page)
        if self._is_there:
            self._end_with(None)
        elif page.newer is None and until is None:  # nothing is stored of the epoch that follows
            self._end = self._end if page.epoch == self._start.epoch else self._reached
            self._end_with(self._gap)
        elif page.newer is not None and (newer := position_in(page.newer)).epoch != page.epoch:
            is_beyond = newer.epoch != self._end.epoch and self._is_ahead(newer.epoch)
            if until is not None or is_beyond:  # the rest was lost with its epoch
                return self._leave()
            self._reached = newer
            self._entries = _then(self._entries, Entry(NEW_EPOCH, newer))
            if self._is_there:
                self._end_with(None)
        elif self._reached == before:  # not stored yet
            return self.failed(UnavailableError("not stored yet", 503, ""), random)
        self._tries = 0
        return 0.0

    def failed(self, error: Exception, random: float) -> float:
        """Return how many seconds to wait before asking again; after too many failures, give up."""
        if not isinstance(error, SightlineError) or not error.temporary or self._tries == TRIES:
            return self._leave()
        self._tries += 1
        return pause_s(error, self._tries - 1, random)

    @property
    def _is_there(self) -> bool:
        reached, end = self._reached, self._end
        return reached.epoch == end.epoch and reached.sequence_number >= end.sequence_number

    def _leave(self) -> float:
        """What is not filled stays a gap."""
        gap = self._gap
        if gap.to_sequence_number is not None and self._reached != self._start:
            first = max(gap.from_sequence_number or 0, self._reached.sequence_number + 1)
            gap = Gap(first, gap.to_sequence_number, None, gap.reason)
        self._end_with(gap)
        return 0.0

    def _end_with(self, gap: Gap | None) -> None:
        self._is_over = True
        self._entries = _then(self._entries, Entry(gap, self._end))


class Outbox:
    """The items of one stream for its consumer, in order and each once.

    `take` until it is None. Then ask for `query`, or wait for news if that is None, too.
    """

    def __init__(self, core: Core, inbox: Inbox, backfill: bool) -> None:
        self._core = core
        self._inbox = inbox
        self._backfill = backfill
        self._fill: Fill | None = None

    def take(self) -> Item | None:
        """The next item for the consumer; None while there is none."""
        while (entry := self._next()) is not None:
            if (item := self._core.hand_out(entry)) is not None:
                return item
        return None

    @property
    def query(self) -> dict[str, str] | None:
        """The parameters of the page of the history that the next item needs."""
        return None if self._fill is None else self._fill.query

    def read(self, page: Page, random: float) -> float:
        """As `Fill.read`."""
        assert self._fill is not None
        return self._fill.read(page, random)

    def failed(self, error: Exception, random: float) -> float:
        """As `Fill.failed`."""
        assert self._fill is not None
        return self._fill.failed(error, random)

    def _next(self) -> Entry | None:
        while True:
            if self._fill is not None:
                if (entry := self._fill.take()) is not None:
                    return entry
                if self._fill.query is not None:
                    return None
                self._fill = None
            entry = self._inbox.take()
            if entry is None or not self._backfill:
                return entry
            position, item, end = self._core.position, entry.item, entry.after
            if position is None or end is None:
                return entry
            if end.epoch == position.epoch and end.sequence_number <= position.sequence_number:
                continue  # a page brought it
            if not isinstance(item, Gap) or item.reason not in FILLED:
                return entry
            types = self._core.parameters.get("types")
            self._fill = Fill(position, item, end, types, self._inbox.has_epoch)


def _up_to(number: int | None, page: Page) -> Iterator[Entry]:
    """The entries of a page, none beyond the number."""
    for entry in page.entries():
        after = entry.after
        if number is not None and after is not None and after.sequence_number > number:
            if isinstance(entry.item, Gap) and (entry.item.from_sequence_number or 0) <= number:
                yield Entry(_cut(entry.item, number), Position(number, page.epoch))
            return
        yield entry


def _cut(gap: Gap, number: int) -> Gap:
    return Gap(gap.from_sequence_number, number, None, gap.reason)


def _then(entries: Iterator[Entry], last: Entry) -> Iterator[Entry]:
    yield from entries
    yield last
