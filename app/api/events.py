"""Publish over HTTP."""

import re
from collections.abc import Sequence

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from ..channels.bus import EventBus
from ..channels.publisher import EventPublisher
from ..channels.strict_json import BODY_DEPTH, check_depth, reason
from ..errors import BadRequestError, UnavailableError
from ..ingest import cloudevents
from ..ingest.cloudevents import Mapped

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BATCH = 1000
KEY = re.compile(r"[!-~]{1,128}")
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


class NewEvent(msgspec.Struct):
    """One event of a publish request."""

    type: str
    data: dict[str, object]
    metadata: dict[str, object] = {}


class Published(msgspec.Struct):
    """The position of a published event."""

    epoch: str
    sequence_number: int
    timestamp: str


_decode = msgspec.json.Decoder(NewEvent | list[NewEvent]).decode


@post("/api/events", request_max_body_size=MAX_BODY_BYTES)
async def publish_events(
    request: HTTPRequest, publisher: NamedDependency[EventPublisher], bus: NamedDependency[EventBus]
) -> Published | list[Published]:
    """Publish one event or an array, plain or as CloudEvents. If one is invalid, none is published."""
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
        durable=publisher.disk is not None,
    )
    if bus.epoch != epoch:
        raise UnavailableError(
            "a new stream began meanwhile, so the numbers of these events are unknown:"
            " they may have been published, check before you publish them again"
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
