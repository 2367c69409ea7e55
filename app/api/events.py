"""Publish over HTTP."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from ..auth.credentials import ByName
from ..auth.guards import headers_of
from ..channels.encoding import Fields, ensure_can_fit
from ..channels.strict_json import BODY_DEPTH, check_depth, reason
from ..errors import BadRequestError, UnavailableError
from ..ingest import cloudevents
from ..ingest.cloudevents import Mapped
from ..ws.flow import Parts
from .answer import Answer, DirectRoute, HTTPRequest, read_body

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BATCH = 1000
SHORT_BODY_BYTES = 64 * 1024  # decoded as a whole to explain a refusal, in about a millisecond
CLOUD_MARGIN_BYTES = 1024  # for attributes of a CloudEvent that are not kept
JSON = "application/json"
KEY = re.compile(r"[!-~]{1,128}")


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


class _Sent(msgspec.Struct, gc=False):
    """An event whose data is still text. Without `gc`, many of them cost the collector nothing."""

    type: str
    data: msgspec.Raw
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


_decode = msgspec.json.Decoder(NewEvent | list[NewEvent]).decode
_split = msgspec.json.Decoder(_Sent | list[_Sent]).decode
_split_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


@DirectRoute("/api/events", "parts", MAX_BODY_BYTES, {"scope": "publish"})
async def publish_events(request: HTTPRequest, parts: NamedDependency[Parts]) -> Answer:
    """Publish one event or an array, plain or as CloudEvents. If one is invalid, none is published."""
    publisher, bus, headers = parts.publisher, parts.bus, headers_of(request.scope)
    content_type = _content_type(request, headers)
    binary = cloudevents.is_binary(headers) and cloudevents.is_json(content_type)
    if not binary and content_type not in (JSON, cloudevents.ONE, cloudevents.BATCH):
        raise HTTPException(
            f"send Content-Type: application/json, {cloudevents.ONE} or {cloudevents.BATCH}",
            status_code=415,
        )
    body = await read_body(request.scope, request.receive, MAX_BODY_BYTES)
    new: _Sent | list[_Sent] | list[Mapped]
    alone = content_type == cloudevents.ONE
    if alone or content_type == cloudevents.BATCH:
        _ensure_clouds_can_fit(body, alone, publisher.max_event_bytes)
        new = cloudevents.parse(body, content_type)
    elif binary:
        alone = True
        ensure_can_fit("data", body, publisher.max_event_bytes)
        new = [cloudevents.parse_binary(request.scope["headers"], body)]
    else:
        new = _split_events(body)
        alone = isinstance(new, _Sent)
    batch: Sequence[_Sent | Mapped] = new if isinstance(new, list) else [new]
    _ensure_few(len(batch))
    key, epoch = _key(headers), bus.epoch
    keys = [
        _key_of(e, key if batch is not new else key and f"{key}.{i}") for i, e in enumerate(batch)
    ]
    fields = _contents(batch, publisher.max_event_bytes, body, alone)
    if alone and publisher.disk is None:
        events = [await publisher.publish(*next(fields), key=keys[0])]
    else:
        durable = publisher.disk is not None
        events = await publisher.publish_all(fields, keys, durable=durable)
    if bus.epoch != epoch:
        raise UnavailableError(
            "a new stream began meanwhile, so the numbers of these events are unknown:"
            " they may have been published, check before you publish them again"
        )
    published = [Published(bus.epoch, e.sequence_number, e.timestamp) for e in events]
    return Answer(201, published[0] if alone else published)


def _content_type(request: HTTPRequest, headers: ByName) -> str:
    """The media type of the body, without parameters."""
    values = headers.get(b"content-type")
    return JSON if values == [JSON.encode()] else request.content_type[0]


def _split_events(body: bytes) -> _Sent | list[_Sent]:
    if body.count(b'"type"') > MAX_BATCH:  # counted first: too many are not worth their objects
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeError):  # reported below
            _ensure_few(len(_split_array(body)))
    try:
        sent: _Sent | list[_Sent] = _split(body)
        return sent
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _refusal(error, body, body) from error


def _contents(
    batch: Sequence[_Sent | Mapped], max_event_bytes: int, body: bytes, alone: bool
) -> Iterator[tuple[str, Fields, Fields]]:
    """What is published. Text that cannot fit is not decoded.

    Decoded one by one: many objects at once make the garbage collector hold the loop.
    """
    for index, event in enumerate(batch):
        if isinstance(event, Mapped):
            yield event.type, event.data, event.metadata
            continue
        fields = list[Fields]()
        for name, raw in (("data", event.data), ("metadata", event.metadata)):
            text = bytes(raw)
            ensure_can_fit(name, text, max_event_bytes)
            try:
                fields.append(_decode_object(text))
            except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
                place = f"$.{name}" if alone else f"$[{index}].{name}"
                raise _refusal(error, body, text, f"`{place}`: ") from error
        yield event.type, fields[0], fields[1]


def _refusal(error: Exception, body: bytes, text: bytes, place: str = "") -> BadRequestError:
    """Why the body is refused: because of `error` in `text`, which is at `place`.

    A short body is decoded as a whole, which names the place exactly.
    """
    shape = '{"type":"chat.message_sent","data":{…}} or an array of these'
    if len(body) > SHORT_BODY_BYTES:
        if isinstance(error, RecursionError):
            check_depth("the body", body, BODY_DEPTH)
        return BadRequestError(f"{place}{reason(error, text)}: send {shape}")
    check_depth("the body", body, BODY_DEPTH)
    try:
        _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        return BadRequestError(f"{reason(error, body)}: send {shape}")
    return BadRequestError(f"it is no event: send {shape}")


def _ensure_few(count: int) -> None:
    if count > MAX_BATCH:
        raise HTTPException(
            f"{count} events in one array: send at most {MAX_BATCH}", status_code=413
        )


def _ensure_clouds_can_fit(body: bytes, alone: bool, max_event_bytes: int) -> None:
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeError):  # `parse` reports them
        for text in [body] if alone else _split_array(body):
            ensure_can_fit("the event", bytes(text), max_event_bytes + CLOUD_MARGIN_BYTES)


def _key_of(event: _Sent | Mapped, key: str | None) -> str | None:
    return event.key if isinstance(event, Mapped) else key


def _key(headers: ByName) -> str | None:
    values: set[bytes] = {*headers.get(b"idempotency-key", ())}
    if not values:
        return None
    key = values.pop().decode("latin-1")
    if values or not KEY.fullmatch(key):
        raise BadRequestError("Idempotency-Key is not one value of 1 to 128 visible characters")
    return key
