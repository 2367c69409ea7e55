"""Pages of the history, `GET /api/events`: what to ask for, and what an answer holds. Without I/O."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal

import httpx
import msgspec

from sightline_client.core import pattern
from sightline_client.errors import ProtocolError, refusal
from sightline_client.events import KnownData
from sightline_client.inbox import EPOCH_CHANGED, Entry
from sightline_client.messages import Event, Gap, Item, Position, decode, loss_in

PAGE = 1000  # events, the most that a gateway puts into one answer
Order = Literal["asc", "desc"]
Time = datetime | str | int
NEW_EPOCH = Gap(None, None, None, EPOCH_CHANGED)


class Page(msgspec.Struct, frozen=True):
    """One answer: events of one epoch, and the loss where it begins."""

    epoch: str
    events: list[msgspec.Raw]
    next: int
    gap: Gap | None = None
    older: str | None = None
    newer: str | None = None
    matches: int | None = None

    def entries(self) -> Iterator[Entry]:
        """The loss, then the events, decoded as they are asked for."""
        if self.gap is not None:
            yield Entry(self.gap, Position(self.gap.to_sequence_number or 0, self.epoch))
        for raw in self.events:
            text = bytes(raw).decode("utf-8", "replace")
            try:
                item = decode(text)
            except ProtocolError:
                item = loss_in(text)
            if isinstance(item, Event):
                yield Entry(item, Position(item.sequence_number, self.epoch))
            elif isinstance(item, Gap):
                yield Entry(item, Position(item.to_sequence_number or 0, self.epoch))


def page_of(response: httpx.Response) -> Page:
    """Read an answer.

    Raises:
        RefusedError: it is a refusal, such as of a parameter that needs a journal.
        ProtocolError: it is no gateway's answer.
    """
    if not response.is_success:
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise refusal(response.status_code, headers, response.content)
    try:
        return msgspec.json.decode(response.content, type=Page)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"not a page of events.v1: {error}") from error


def query_of(
    *,
    after: Position | int | None = None,
    before: Position | int | None = None,
    order: Order = "asc",
    since: Time | None = None,
    until: Time | None = None,
    types: Iterable[str | type[KnownData]] | None = None,
    agent: str | None = None,
    session_id: str | None = None,
    q: str | None = None,
    limit: int = PAGE,
) -> dict[str, str]:
    """The parameters of the first page; what is None is left out."""
    given = {
        "after": None if after is None else position_text(after),
        "before": None if before is None else position_text(before),
        # Without it, a position and a time, pages would begin in the current epoch.
        "order": order if order == "desc" or (since is None and after is None) else None,
        "since": None if since is None else _time(since),
        "until": None if until is None else _time(until),
        "types": None if types is None else ",".join(map(pattern, types)),
        "agent": agent,
        "session_id": session_id,
        "q": q,
        "limit": str(limit),
    }
    return {name: value for name, value in given.items() if value is not None}


def position_text(position: Position | int) -> str:
    """A position as one value, `epoch:number`; a number alone counts in the current epoch."""
    if isinstance(position, int):
        return str(position)
    number = position.sequence_number
    return str(number) if position.epoch is None else f"{position.epoch}:{number}"


def position_in(text: str) -> Position:
    """The position that a page names as `older` or `newer`.

    Raises:
        ProtocolError: it is none.
    """
    epoch, _, number = text.rpartition(":")
    if not epoch or not (number.isascii() and number.isdigit()):
        raise ProtocolError(f"not a position of events.v1: {text[:80]!r}")
    return Position(int(number), epoch)


class Paging:
    """Goes from page to page: ask for `query` until it is None."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self.query: dict[str, str] | None = dict(query)
        self.matches: int | None = None
        """How many events match `q`; None without a `q`, or where counting takes too long."""
        self.position: Position | None = None
        """Of the last item; at the end, how far the history was read."""
        self._toward, self._limit = ("older", "before") if _is_desc(query) else ("newer", "after")
        named = query.get("after") or query.get("before") or ""
        self._epoch: str | None = position_in(named).epoch if ":" in named else None
        self._began = False
        self._changed = False  # an epoch ended, and no item of the next one came yet

    def read(self, page: Page) -> Iterator[Item]:
        """The items of the page that was asked for, with a gap between two epochs."""
        if not self._began:
            self.matches, self._began = page.matches, True
        unknown = page.gap is not None and page.gap.reason == EPOCH_CHANGED
        self._changed |= self._epoch not in (None, page.epoch) and not unknown
        self._epoch = page.epoch
        for entry in page.entries():
            if self._changed:
                self._changed = False
                yield NEW_EPOCH
            self.position = entry.after
            if entry.item is not None:
                yield entry.item
        self.query = self._following(page)
        if self.query is None and self._toward == "newer":
            self.position = Position(page.next, page.epoch)

    def _following(self, page: Page) -> dict[str, str] | None:
        assert self.query is not None
        end = page.newer if self._toward == "newer" else page.older
        if end is None and page.events and self._toward == "newer":
            end = f"{page.epoch}:{page.next}"  # what was published meanwhile
        if end is None or end == self.query.get(self._limit):
            return None
        return {**self.query, self._limit: end}


def _is_desc(query: Mapping[str, str]) -> bool:
    return query.get("order") == "desc"


def _time(time: Time) -> str:
    if isinstance(time, datetime):
        return time.astimezone().isoformat()  # without a zone it is local, as everywhere in Python
    return str(time)
