"""How the stream stores an event: the type is the subject, the rest is the body.

The sequence gives the number, so the body has none. `data` and `metadata` are the publisher's
bytes, unchanged on the way to a client.
"""

import re
from datetime import datetime
from functools import lru_cache

import msgspec

from ...errors import InvalidDataError
from ...events import Event
from ..bus import Contents
from ..filters import MAX_TYPE_LENGTH
from ..strict_json import MAX_DEPTH, check_depth

ROOT = "sightline.events"
SUBJECTS = f"{ROOT}.*.*"
BODY_MARGIN_BYTES = 1024  # for the rest of a message, beside data and metadata
_TYPE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


class _Body(msgspec.Struct):
    timestamp: str
    data: msgspec.Raw
    metadata: msgspec.Raw


_HEAD, _DATA, _TAIL = b'{"timestamp":"', b'","data":', b',"metadata":{}}'
_decode = msgspec.json.Decoder(_Body).decode
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


def subject_of(type_: str) -> str:
    """The subject that events of this type are published to."""
    return f"{ROOT}.{type_}"


def encode_body(timestamp: str, contents: Contents) -> bytes:
    """The body of an event."""
    return b'{"timestamp":"%b","data":%b,"metadata":%b}' % (timestamp.encode(), *contents)


def read_message(
    subject: str, body: bytes, max_event_bytes: int | None = None
) -> tuple[str, str, Contents]:
    """Type, timestamp and contents of a message, checked like a POST: any client may have sent it.

    Raises:
        ValueError: no gateway could have published it.
    """
    type_ = _type_of(subject)
    if max_event_bytes is not None and len(body) > max_event_bytes + BODY_MARGIN_BYTES:
        raise ValueError(f"no event: it has {len(body)} bytes")
    try:
        check_depth("the message", body, MAX_DEPTH + 1)
        if not body.isascii():
            body.decode()
        if b"\n" in body or b"\r" in body:  # a line break would end a server-sent event
            body = msgspec.json.format(body, indent=-1)
        if body.startswith(_HEAD) and body[38:47] == _DATA and body.endswith(_TAIL):
            # This form, which gateways write, is cheaper to read. `data` is checked below.
            timestamp = body[14:38].decode()
            data, metadata = body[47 : -len(_TAIL)].strip(b" \t"), b"{}"
        else:
            found = _decode(body)
            timestamp = found.timestamp
            data, metadata = bytes(found.data), bytes(found.metadata)
        if not (data.startswith(b"{") and metadata.startswith(b"{")):
            raise ValueError("no event: data and metadata are not both objects")
        # `Raw` accepts numbers that do not fit a float.
        _decode_object(data)
        if metadata != b"{}":
            _decode_object(metadata)
    except (msgspec.MsgspecError, InvalidDataError, RecursionError, UnicodeError) as error:
        raise ValueError(f"no event: {str(error)[:200]}") from error
    if not _is_timestamp(timestamp):
        raise ValueError("no event: its timestamp is not that of a gateway")
    size = len(data) + len(metadata)
    if max_event_bytes is not None and size > max_event_bytes:
        raise ValueError(f"no event: it has {size} bytes, over the {max_event_bytes} allowed")
    return type_, timestamp, (data, metadata)


def event_of(number: int, type_: str, timestamp: str, contents: Contents) -> Event:
    """The event that the bus makes of a message."""
    encoded = b'{"type":"%b","timestamp":"%b","sequence_number":%d,"data":%b,"metadata":%b}' % (
        type_.encode(),
        timestamp.encode(),
        number,
        *contents,
    )
    return Event(type_, timestamp, number, 0.0, encoded)


@lru_cache(maxsize=4096)
def _type_of(subject: str) -> str:
    type_ = subject.removeprefix(f"{ROOT}.")
    if len(type_) > MAX_TYPE_LENGTH or not _TYPE.fullmatch(type_):
        raise ValueError(f"no event: {subject!r} holds no event type")
    return type_


@lru_cache(maxsize=64)
def _is_timestamp(text: str) -> bool:
    if _TIMESTAMP.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:  # a 30th of February
        return False
    return True
