"""Maps CloudEvents 1.0 over HTTP, in structured and binary mode, to the gateway's events. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..channels.strict_json import BODY_DEPTH, check_depth, reason
from ..errors import BadRequestError

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_Text = Annotated[str, Meta(min_length=1)]
_JSON_TYPE = r"^[a-z]+/([a-z0-9.-]+\+)?json *(;|$)"
_JSON = Annotated[str, Meta(pattern=_JSON_TYPE)]
_HEADER = "ce-"
_REQUIRED_HEADERS = {b"ce-specversion", b"ce-id", b"ce-source", b"ce-type"}
_LEFT_OUT = {"specversion", "datacontenttype", "data"}
_MEANINGS = {  # attributes with an agreed key in `metadata`
    "source": "source",
    "agent": "agent",
    "correlationid": "correlation_id",
    "causationid": "causation_id",
}


class CloudEvent(msgspec.Struct):
    """An event of the specification; here `data` must be an object."""

    specversion: Literal["1.0"]
    id: _Text
    source: Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f]+$")]  # a URI reference
    type: _Text
    data: dict[str, object] = {}
    subject: _Text | UnsetType = UNSET
    time: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    dataschema: _Text | UnsetType = UNSET
    datacontenttype: _JSON | UnsetType = UNSET
    data_base64: UnsetType = UNSET


class Mapped(msgspec.Struct, frozen=True):
    """Arguments for the publisher. CloudEvents with the same source and id have the same key."""

    type: str
    data: dict[str, object]
    metadata: dict[str, object]
    key: str


def parse(body: bytes, content_type: str) -> list[Mapped]:
    """The events of a request body: one for the content type `ONE`, an array for `BATCH`.

    Raises:
        BadRequestError: malformed; the message names the attribute, as `$.id` or `$[3].id`.
        InvalidDataError: nested too deep.
    """
    check_depth("the body", body, BODY_DEPTH)
    try:
        if content_type == ONE:
            attributes = [msgspec.json.decode(body, type=dict[str, object])]
            events = [msgspec.convert(attributes[0], CloudEvent)]
        else:
            attributes = msgspec.json.decode(body, type=list[dict[str, object]])
            events = msgspec.convert(attributes, list[CloudEvent])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadRequestError(
            f"{reason(error, body)}: send CloudEvents 1.0 as JSON whose data is an object"
        ) from error
    return [_mapped(event, given) for event, given in zip(events, attributes, strict=True)]


def is_binary(names: Iterable[bytes]) -> bool:
    """Whether a request has a required header of a CloudEvent in binary mode.

    `names` are the names of its headers, in lower case.
    """
    return not _REQUIRED_HEADERS.isdisjoint(names)


def is_json(content_type: str) -> bool:
    """Whether a body of this content type can be the data in binary mode. None is allowed, as the
    Python SDK sends none."""
    return not content_type or re.search(_JSON_TYPE, content_type.lower()) is not None


def parse_binary(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Mapped:
    """The event whose attributes are in `headers` with the prefix `ce-`, and whose data is `body`.

    Raises:
        BadRequestError: malformed; the message names the attribute, as `$.id`.
        InvalidDataError: nested too deep.
    """
    check_depth("data", body)
    try:
        attributes: dict[str, object] = {**_attributes(headers)}
        if body:
            attributes["data"] = msgspec.json.decode(body)
        event = msgspec.convert(attributes, CloudEvent)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadRequestError(
            f"{reason(error, body)}: send each attribute of CloudEvents 1.0 as a header, id as ce-id,"
            " and a JSON object as the body"
        ) from error
    return _mapped(event, attributes)


def _attributes(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        header = raw_name.decode("latin-1").lower()
        name = header.removeprefix(_HEADER)
        if name == header or name == "datacontenttype":  # `Content-Type` says that
            continue
        try:
            value = _header_text(raw_value)
        except UnicodeDecodeError as error:
            raise BadRequestError(f"{header} is not UTF-8 once percent-decoded") from error
        if not re.fullmatch(r"[a-z0-9]+", name) or name == "data":
            raise BadRequestError(f"{header!r} is not an attribute: send names of a-z and 0-9")
        if found.setdefault(name, value) != value:
            raise BadRequestError(f"{header} was given twice with different values: send it once")
    return found


def _header_text(value: bytes) -> str:
    """A header value decoded as the HTTP binding says: unquoted, then percent-decoded as UTF-8.

    Raises:
        UnicodeDecodeError: the percent-encoded bytes are not UTF-8.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:  # `fetch` and `requests` send é in Latin-1
        text = value.decode("latin-1")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return unquote(text, errors="strict")


def _mapped(event: CloudEvent, attributes: Mapping[str, object]) -> Mapped:
    """Map an event. Its type keeps two tokens: those before are the definer's reverse domain."""
    kept = {name: value for name, value in attributes.items() if name not in _LEFT_OUT}
    metadata = {_MEANINGS[name]: kept[name] for name in _MEANINGS if name in kept}
    # A source has no space, so the pair is unambiguous; a digest makes any characters safe.
    key = hashlib.sha256(f"{event.source} {event.id}".encode()).hexdigest()
    type_ = ".".join(event.type.split(".")[-2:])
    return Mapped(type_, event.data, {**metadata, "cloudevent": kept}, key)
