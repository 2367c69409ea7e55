"""The bytes of an event for clients: the JSON message, and the header of its WebSocket frame."""

import struct

EVENT = (
    b'%b%b","sequence_number":%d,"data":%b,"metadata":%b}'  # prefix, timestamp, number, contents
)
FIN_TEXT = 0x81
_short_header = struct.Struct(">BB").pack
usual_header = struct.Struct(">BBH").pack  # (FIN_TEXT, 126, size), for 126 to 65535 bytes
_long_header = struct.Struct(">BBQ").pack


def prefix_of(type_: str) -> bytes:
    """Everything in the message before the timestamp. Event types need no escaping."""
    return b'{"type":"%s","timestamp":"' % type_.encode()


def frame_header(size: int) -> bytes:
    """The header of an unmasked, unfragmented text frame with `size` payload bytes (RFC 6455)."""
    if size < 126:
        return _short_header(FIN_TEXT, size)
    if size < 65536:
        return usual_header(FIN_TEXT, 126, size)
    return _long_header(FIN_TEXT, 127, size)
