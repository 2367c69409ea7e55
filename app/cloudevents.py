"""CloudEvents 1.0 in structured JSON mode, mapped onto the gateway's own events. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.errors import BadRequestError

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_Text = Annotated[str, Meta(min_length=1)]
_JSON = Annotated[str, Meta(pattern=r"^[a-z]+/([a-z0-9.-]+\+)?json *(;|$)")]
_LEFT_OUT = {"specversion", "datacontenttype", "data"}
_MEANINGS = {  # of attributes whose place in `metadata` is agreed
    "source": "source",
    "agent": "agent",
    "correlationid": "correlation_id",
    "causationid": "causation_id",
}


class CloudEvent(msgspec.Struct):
    """What the specification says of an event; `data`, where it leaves that open, is an object."""

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
    """A CloudEvent as the publisher takes it; one with the same source and id has the same key."""

    type: str
    data: dict[str, object]
    metadata: dict[str, object]
    key: str


def parse(body: bytes, content_type: str) -> list[Mapped]:
    """The events of a request body, of which `ONE` holds one and `BATCH` an array.

    Raises:
        BadRequestError: malformed; the message names the attribute, as `$.id` or `$[3].id`.
    """
    try:
        if content_type == ONE:
            attributes = [msgspec.json.decode(body, type=dict[str, object])]
            events = [msgspec.convert(attributes[0], CloudEvent)]
        else:
            attributes = msgspec.json.decode(body, type=list[dict[str, object]])
            events = msgspec.convert(attributes, list[CloudEvent])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadRequestError(
            f"{str(error)[:200]}: send CloudEvents 1.0 as JSON whose data is an object"
        ) from error
    return [_mapped(event, given) for event, given in zip(events, attributes, strict=True)]


def _mapped(event: CloudEvent, attributes: Mapping[str, object]) -> Mapped:
    """The type's last two tokens: what stands before is the reverse domain of who defined it."""
    kept = {name: value for name, value in attributes.items() if name not in _LEFT_OUT}
    metadata = {_MEANINGS[name]: kept[name] for name in _MEANINGS if name in kept}
    # A source may hold no space, so that no two pairs are one text; any characters fit a digest.
    key = hashlib.sha256(f"{event.source} {event.id}".encode()).hexdigest()
    type_ = ".".join(event.type.split(".")[-2:])
    return Mapped(type_, event.data, {**metadata, "cloudevent": kept}, key)
