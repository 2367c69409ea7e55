"""The bytes of an event for clients: the JSON message, and the header of its WebSocket frame."""

import struct
from collections.abc import Iterable

from ..events import Event

EVENT = (
    b'%b%b","sequence_number":%d,"data":%b,"metadata":%b}'  # prefix, timestamp, number, contents
)
FIN_TEXT = 0x81
_short_header = struct.Struct(">BB").pack
_usual_header = struct.Struct(">BBH").pack
_long_header = struct.Struct(">BBQ").pack


def prefix_of(type_: str) -> bytes:
    """Everything in the message before the timestamp. Event types need no escaping."""
    return b'{"type":"%s","timestamp":"' % type_.encode()


def frame_header(size: int) -> bytes:
    """The header of an unmasked, unfragmented text frame with `size` payload bytes (RFC 6455)."""
    if size < 126:
        return _short_header(FIN_TEXT, size)
    if size < 65536:
        return _usual_header(FIN_TEXT, 126, size)
    return _long_header(FIN_TEXT, 127, size)


def frames_of(events: Iterable[Event]) -> bytes:
    """The frames of these events, as one run of bytes."""
    parts: list[bytes] = []
    for event in events:
        encoded = event.encoded
        size = len(encoded)
        usual = 126 <= size < 65536  # saves a call
        parts += (_usual_header(FIN_TEXT, 126, size) if usual else frame_header(size), encoded)
    return b"".join(parts)
