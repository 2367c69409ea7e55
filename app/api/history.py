"""Read past events from the journal, or from the replay store if there is no journal."""

import re
from typing import Annotated

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import Meta

from ..auth.access import Access
from ..auth.credentials import access_in
from ..channels.bus import EventBus
from ..channels.replay import ReplayStore
from ..errors import BadRequestError
from ..events import Event, Gap, Position
from ..journal.history import Order, Page, Question, terms_of
from ..journal.journal import Journal
from ..journal.times import to_unix_ms
from ..ws.flow import Parts
from ..ws.queries import Query

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_PAGE_BYTES = 16 * 1024 * 1024  # a page ends early at this size
ONLY_JOURNAL = ("before", "order", "since", "until", "agent", "session_id", "q")
_OFFSET = re.compile(r"(?<=[0-9]) ([0-9]{2}:?[0-9]{2})\Z")  # a `+` in a query is decoded to a space
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]
_SCHEMA: dict[str, object] = {"$ref": "#/components/schemas/AnyEvent"}  # of app.contract.openapi
_Encoded = Annotated[msgspec.Raw, Meta(extra_json_schema=_SCHEMA)]


class History(msgspec.Struct):
    """A page of events of one epoch.

    `next` is the last sequence number read. `older` and `newer` are the positions of the next pages,
    for `before` and `after`; null at either end. `gap` reports events missing at the start of the page.
    `matches` counts the events that match `q`; null without `q`, or if counting takes too long.
    """

    epoch: str
    events: list[_Encoded]
    next: int
    gap: Gap | None
    older: str | None = None
    newer: str | None = None
    matches: int | None = None


@get("/api/events", opt={"scope": "read"})
async def read_events(request: HTTPRequest, parts: NamedDependency[Parts]) -> History:
    """Return a page of events in either order; with a journal, also by time, agent and words."""
    bus, replay_store, journal = parts.bus, parts.replay_store, parts.journal
    query = Query(request.scope["query_string"], ())
    question = question_of(query, bus.clock.wall(), access_in(request.scope))
    if question.after is not None and question.after.epoch in (None, bus.epoch):
        await parts.backend.catch_up(question.after)
    if journal is None:
        for name in ONLY_JOURNAL:
            if query.get(name) is not None:
                raise BadRequestError(
                    f"{name} needs a journal, and this gateway has none: set SIGHTLINE_JOURNAL"
                )
        return retained_page(question, bus, replay_store)
    plain = all(query.get(name) is None for name in ONLY_JOURNAL)
    question = in_this_epoch(question, bus, begin_there=plain)
    page = None if plain and journal.failing else await _page(journal, question, bus)
    return retained_page(question, bus, replay_store) if page is None else _history(page)


async def _page(journal: Journal, question: Question, bus: EventBus) -> Page | None:
    """A page of the journal; for an unknown position, the start of this epoch with a gap."""
    ahead = _is_ahead(question.after, bus)
    page = None if ahead else await journal.page(question)
    if page is not None or (question.after is question.before is None):
        return page
    begin = msgspec.structs.replace(question, epoch=bus.epoch, after=None, before=None)
    page = await journal.page(begin)
    changed = Gap(None, None, None, "epoch_changed")
    return None if page is None else msgspec.structs.replace(page, gap=changed)


def _is_ahead(position: Position | None, bus: EventBus) -> bool:
    if position is None or position.epoch != bus.epoch:
        return False
    return position.sequence_number > bus.head


def question_of(query: Query, now: float, access: Access) -> Question:
    """Parse the parameters; `now` is in Unix seconds. Raises `BadRequestError`."""
    limit = query.number("limit")
    if limit is None:
        limit = DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequestError(f"limit={limit} is not from 1 to {MAX_LIMIT}")
    words = query.get("q")
    return Question(
        limit=limit,
        order=_order(query.get("order")),
        after=query.any_position("after"),
        before=query.any_position("before"),
        since_ms=_time(query, "since", now),
        until_ms=_time(query, "until", now),
        event_filter=query.event_filter(access),
        agent=query.get("agent"),
        session=query.get("session_id"),
        words=() if words is None else terms_of(words),
    )


def in_this_epoch(question: Question, bus: EventBus, *, begin_there: bool) -> Question:
    """Add the current epoch to positions without one; with `begin_there`, start in it."""
    return msgspec.structs.replace(
        question,
        epoch=bus.epoch if begin_there else None,
        after=_of(question.after, bus),
        before=_of(question.before, bus),
    )


def _of(position: Position | None, bus: EventBus) -> Position | None:
    if position is None or position.epoch is not None:
        return position
    return Position(position.sequence_number, bus.epoch)


def retained_page(question: Question, bus: EventBus, replay_store: ReplayStore) -> History:
    """A page of the retained events, oldest first."""
    position = question.after
    replay_store.expire(bus.clock.monotonic())
    gap = replay_store.gap_before(position, question.event_filter) if position else None
    changed = gap is not None and gap.reason == "epoch_changed"
    start = Position(0) if position is None or changed else position
    most = question.limit + 1  # one more shows that there are more
    found = replay_store.after(start.sequence_number, question.event_filter, most)
    page = _fitting(found, question.limit)
    more = len(found) > len(page)
    read_up_to = page[-1].sequence_number if more else bus.head
    return History(bus.epoch, [msgspec.Raw(e.encoded) for e in page], read_up_to, gap)


def _fitting(found: list[Event], limit: int) -> list[Event]:
    """The first of these events that fit into one page; at least one, unless `found` is empty."""
    size = 0
    for count, event in enumerate(found[:limit]):
        size += len(event.encoded)
        if count and size > MAX_PAGE_BYTES:
            return found[:count]
    return found[:limit]


def _history(page: Page) -> History:
    events = [msgspec.Raw(message) for message in page.messages]
    return History(page.epoch, events, page.next, page.gap, page.older, page.newer, page.matches)


def _order(text: str | None) -> Order:
    if text not in (None, "asc", "desc"):
        raise BadRequestError(f"order={text[:80]!r} is not asc or desc")
    return "desc" if text == "desc" else "asc"


def _time(query: Query, name: str, now: float) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return to_unix_ms(_OFFSET.sub(r"+\1", text), now)
    except BadRequestError as error:
        raise BadRequestError(f"{name}: {error}") from None
