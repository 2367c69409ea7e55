"""An event as the journal stores it, and the conversions from and to the message."""

import re
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from ..events import Event

# The columns of the table `events`: id, time_ms, type, agent, session, body; then the bytes of `body`.
# `sqlite3` binds None and bytes slowly: an absent agent or session is 0, and `body` is text.
Row = tuple[int, int, str, str | int, str | int, str, int]
MAX_WORDS = 32 * 1024  # characters indexed of one event: megabytes of output are not worth it
_BODY = b',"data":'  # its first occurrence in a message is the field itself
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_MESSAGE = b'{"type":"%b","timestamp":"%b","sequence_number":%d,%b'


class _Data(msgspec.Struct, gc=False):
    session_id: object = None


class _Metadata(msgspec.Struct, gc=False):
    session_id: object = None
    agent: object = None


class _Keys(msgspec.Struct, gc=False):
    data: _Data
    metadata: _Metadata


_decode_keys = msgspec.json.Decoder(_Keys).decode


def row_of(id_: int, event: Event) -> Row:
    """The row `id_` for an event of the bus. Its `body` is the message from `"data"` on."""
    message = event.encoded
    keys = _decode_keys(message)  # costs less than a search for these keys
    agent = _name(keys.metadata.agent)
    session = _name(keys.data.session_id) or _name(keys.metadata.session_id)
    body = message[message.index(_BODY) + 1 :]
    text = body.decode("utf-8", "replace")
    return id_, to_ms(event.timestamp), event.type, agent, session, text, len(body)


def message_of(type_: str, time_ms: int, number: int, body: bytes) -> bytes:
    """The message as published, byte for byte."""
    return _MESSAGE % (type_.encode(), to_timestamp(time_ms).encode(), number, body)


def words_of(body: str) -> str:
    """The text to index: names and values, without JSON escapes; at most `MAX_WORDS` characters."""
    if len(body) > MAX_WORDS:
        body = body[:MAX_WORDS]
    return _ESCAPE.sub(" ", body) if "\\" in body else body


@lru_cache(maxsize=1)  # many events share a millisecond
def to_ms(timestamp: str) -> int:
    """Unix milliseconds of an event's timestamp."""
    return _second_ms(timestamp[:19]) + int(timestamp[20:23])


@lru_cache(maxsize=1)
def _second_ms(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp()) * 1000


def to_timestamp(time_ms: int) -> str:
    """The timestamp of an event, as in its message."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def _name(value: object) -> str | int:
    """An identifier as text: events may have text or integers. 0 if it is neither."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else 0
