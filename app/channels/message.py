"""How an event lies in the stream: its type is the subject, the rest is the body.

The number and the type are the stream's to give, so they are not in the body. `data` and
`metadata` stay the bytes that the publisher encoded: nobody decodes them on the way to a client.
"""

import re
from functools import lru_cache

import msgspec

from app.channels.bus import Contents
from app.events import Event
from app.filters import MAX_TYPE_LENGTH

ROOT = "sightline.events"
SUBJECTS = f"{ROOT}.*.*"
_TYPE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class _Body(msgspec.Struct):
    timestamp: str
    data: msgspec.Raw
    metadata: msgspec.Raw


_decode = msgspec.json.Decoder(_Body).decode


def subject_of(type_: str) -> str:
    """The subject that events of this type are published to."""
    return f"{ROOT}.{type_}"


def encode_body(timestamp: str, contents: Contents) -> bytes:
    """The message that keeps an event."""
    return b'{"timestamp":"%b","data":%b,"metadata":%b}' % (timestamp.encode(), *contents)


def read_message(subject: str, body: bytes) -> tuple[str, str, Contents]:
    """Type, timestamp and contents of a message.

    Raises:
        ValueError: somebody put something else than an event of the gateway into the stream.
    """
    type_ = _type_of(subject)
    try:
        if not body.isascii():
            body.decode()
        if b"\n" in body or b"\r" in body:  # a line break would end a server-sent event
            body = msgspec.json.format(body, indent=-1)
        found = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ValueError(f"no event: {str(error)[:200]}") from error
    if not _is_timestamp(found.timestamp):
        raise ValueError("no event: its timestamp is not that of a gateway")
    data, metadata = bytes(found.data), bytes(found.metadata)
    if not (data.startswith(b"{") and metadata.startswith(b"{")):
        raise ValueError("no event: data and metadata are not both objects")
    return type_, found.timestamp, (data, metadata)


def read_event(subject: str, body: bytes, number: int) -> Event:
    """The event of a message that is not on its way through the bus.

    Raises:
        ValueError: as `read_message`.
    """
    type_, timestamp, contents = read_message(subject, body)
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
        raise ValueError(f"no event: {subject[:80]!r} holds no event type")
    return type_


@lru_cache(maxsize=64)
def _is_timestamp(text: str) -> bool:
    return _TIMESTAMP.fullmatch(text) is not None
