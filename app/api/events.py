"""Publish over HTTP, and read what is retained."""

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from msgspec import Meta

from app import cloudevents
from app.channels.backend import ChannelBackend
from app.channels.bus import EventBus
from app.channels.publisher import EventPublisher
from app.channels.replay import ReplayStore
from app.cloudevents import Mapped
from app.errors import BadRequestError, UnavailableError
from app.events import Event, Gap, Position
from app.queries import Query
from app.strict_json import BODY_DEPTH, check_depth, reason

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BATCH = 1000
KEY = re.compile(r"[!-~]{1,128}")
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_PAGE_BYTES = 16 * 1024 * 1024  # a page ends early at this; `next` says how far it came
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


class NewEvent(msgspec.Struct):
    """One event of a publish request."""

    type: str
    data: dict[str, object]
    metadata: dict[str, object] = {}


class Published(msgspec.Struct):
    """Where the event stands in the stream."""

    epoch: str
    sequence_number: int
    timestamp: str


_SCHEMA: dict[str, object] = {"$ref": "#/components/schemas/AnyEvent"}  # of app.openapi
_Encoded = Annotated[msgspec.Raw, Meta(extra_json_schema=_SCHEMA)]


class History(msgspec.Struct):
    """A page of retained events; `next` is the number read up to."""

    epoch: str
    events: list[_Encoded]
    next: int
    gap: Gap | None


_decode = msgspec.json.Decoder(NewEvent | list[NewEvent]).decode


@post("/api/events", request_max_body_size=MAX_BODY_BYTES)
async def publish_events(
    request: HTTPRequest, publisher: NamedDependency[EventPublisher], bus: NamedDependency[EventBus]
) -> Published | list[Published]:
    """Publish one event or an array, plain or as CloudEvents: all are checked before any is published."""
    content_type, headers = request.content_type[0], request.scope["headers"]
    new: NewEvent | list[NewEvent] | list[Mapped]
    alone = content_type == cloudevents.ONE
    if alone or content_type == cloudevents.BATCH:
        new = cloudevents.parse(await request.body(), content_type)
    elif cloudevents.is_binary(headers) and cloudevents.is_json(content_type):
        alone = True
        new = [cloudevents.parse_binary(headers, await request.body())]
    elif content_type == "application/json":
        new = _events(await request.body())
        alone = isinstance(new, NewEvent)
    else:
        raise HTTPException(
            f"send Content-Type: application/json, {cloudevents.ONE} or {cloudevents.BATCH}",
            status_code=415,
        )
    batch: Sequence[NewEvent | Mapped] = new if isinstance(new, list) else [new]
    if len(batch) > MAX_BATCH:
        raise HTTPException(
            f"{len(batch)} events in one array: send at most {MAX_BATCH}", status_code=413
        )
    key, epoch = _key(request), bus.epoch
    events = await publisher.publish_all(
        [(e.type, e.data, e.metadata) for e in batch],
        [
            _key_of(e, key if batch is not new else key and f"{key}.{i}")
            for i, e in enumerate(batch)
        ],
    )
    if bus.epoch != epoch:
        raise UnavailableError(
            "the stream was made again meanwhile, so their numbers are in doubt:"
            " they may have been published"
        )
    published = [Published(bus.epoch, e.sequence_number, e.timestamp) for e in events]
    return published[0] if alone else published


def _events(body: bytes) -> NewEvent | list[NewEvent]:
    check_depth("the body", body, BODY_DEPTH)
    try:
        new: NewEvent | list[NewEvent] = _decode(body)
        return new
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        shape = '{"type":"chat.message_sent","data":{…}} or an array of these'
        raise BadRequestError(f"{reason(error, body)}: send {shape}") from error


def _key_of(event: NewEvent | Mapped, key: str | None) -> str | None:
    return event.key if isinstance(event, Mapped) else key


def _key(request: HTTPRequest) -> str | None:
    values = set(request.headers.getall("idempotency-key", []))
    if not values:
        return None
    key = values.pop()
    if values or not KEY.fullmatch(key):
        raise BadRequestError("Idempotency-Key is not one value of 1 to 128 visible characters")
    return key


@get("/api/events")
async def read_events(
    request: HTTPRequest,
    bus: NamedDependency[EventBus],
    replay_store: NamedDependency[ReplayStore],
    backend: NamedDependency[ChannelBackend],
) -> History:
    """Return retained events after a number, oldest first."""
    query = Query(request.scope["query_string"], ())
    event_filter = query.event_filter()
    position = query.position("after", None, None)
    limit = query.number("limit")
    if limit is None:
        limit = DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequestError(f"limit={limit} is not from 1 to {MAX_LIMIT}")
    if position is not None:
        await backend.catch_up(position)
    replay_store.expire(bus.clock.monotonic())
    gap = replay_store.gap_before(position, event_filter) if position else None
    changed = gap is not None and gap.reason == "epoch_changed"
    start = Position(0) if position is None or changed else position
    found: list[Event] = replay_store.after(start.sequence_number, event_filter)
    page = _page(found, limit)
    read_up_to = page[-1].sequence_number if len(found) > len(page) else bus.head
    return History(bus.epoch, [msgspec.Raw(e.encoded) for e in page], read_up_to, gap)


def _page(found: list[Event], limit: int) -> list[Event]:
    """The first of these events, at least one if there is any, that fit into one answer."""
    size = 0
    for count, event in enumerate(found[:limit]):
        size += len(event.encoded)
        if count and size > MAX_PAGE_BYTES:
            return found[:count]
    return found[:limit]
