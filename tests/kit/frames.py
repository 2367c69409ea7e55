"""WebSocket frames as bytes."""

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0) -> bytes:
    """A masked frame, correct or not."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    return head + bytes(4) + payload  # a mask of zeros changes nothing


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The whole frames that a server sent: (opcode, payload)."""
    found = []
    while len(data) >= 2:
        start, size = 2, data[1]
        if size == 126:
            start, size = 4, int.from_bytes(data[2:4])
        elif size == 127:
            start, size = 10, int.from_bytes(data[2:10])
        if len(data) < start + size:
            break
        found.append((data[0] & 0x0F, data[start : start + size]))
        data = data[start + size :]
    return found


def closed_with(data: bytes) -> int | None:
    """The code of the close frame among what a server sent."""
    codes = [int.from_bytes(payload[:2]) for opcode, payload in frames(data) if opcode == CLOSE]
    return codes[0] if codes else None
