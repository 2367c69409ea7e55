"""`Record`: an event as the journal stores it, and the conversions from and to the message."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from ..events import Event

MAX_WORDS_BYTES = 32 * 1024  # indexed of one event: megabytes of tool output are not worth it
_BODY = b',"data":'  # its first occurrence in a message is the field itself
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_MESSAGE = b'{"type":"%b","timestamp":"%b","sequence_number":%d,%b'


class Record(NamedTuple):
    """One event; `body` is the message from `"data"` on, `time_ms` in Unix milliseconds."""

    time_ms: int
    type: str
    agent: str | None
    session: str | None
    body: bytes


class _Data(msgspec.Struct):
    session_id: object = None


class _Metadata(msgspec.Struct):
    session_id: object = None
    agent: object = None


class _Keys(msgspec.Struct):
    data: _Data
    metadata: _Metadata


_decode_keys = msgspec.json.Decoder(_Keys).decode


def record_of(event: Event) -> Record:
    """Convert an event of the bus."""
    message = event.encoded
    body = message[message.index(_BODY) + 1 :]
    agent = session = None
    if b'"agent":' in body or b'"session_id":' in body:
        keys = _decode_keys(b"{" + body)
        agent = _name(keys.metadata.agent)
        session = _name(keys.data.session_id) or _name(keys.metadata.session_id)
    return Record(to_ms(event.timestamp), event.type, agent, session, body)


def message_of(type_: str, time_ms: int, number: int, body: bytes) -> bytes:
    """The message as published, byte for byte."""
    return _MESSAGE % (type_.encode(), to_timestamp(time_ms).encode(), number, body)


def words_of(body: bytes) -> str:
    """The text to index: names and values, without JSON escapes."""
    if len(body) > MAX_WORDS_BYTES:
        body = body[:MAX_WORDS_BYTES]
    if b"\\" in body:
        body = _ESCAPE.sub(b" ", body)
    return body.decode("utf-8", "replace")


def to_ms(timestamp: str) -> int:
    """Unix milliseconds of an event's timestamp."""
    seconds = int(datetime.fromisoformat(timestamp[:19] + "+00:00").timestamp())
    return seconds * 1000 + int(timestamp[20:23])


def to_timestamp(time_ms: int) -> str:
    """The timestamp of an event, as in its message."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def _name(value: object) -> str | None:
    """An identifier as text: events may have text or integers."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)
