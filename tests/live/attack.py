"""What an attacker sends: bare sockets, hand-made frames; and what a bystander notices of it."""

import asyncio
import os
import socket
import statistics
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.live.conftest import GOOD, Gateway, receive
from tests.waiting import WATCHDOG_S, ticks

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
LIMIT_S = 1.0  # the longest wait of a bystander for an event while somebody attacks


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


def request(*headers: bytes, method: bytes = b"GET", path: bytes = b"/api/session") -> bytes:
    """A plain request with these header lines."""
    return b"\r\n".join(
        (method + b" " + path + b" HTTP/1.1", b"Host: localhost", *headers, b"", b"")
    )


async def dial(
    gateway: Gateway, sent: bytes = b"", receive_buffer: int | None = None
) -> socket.socket:
    """A connection on which so much, or nothing, has been sent."""
    raw = socket.socket()
    gateway.raw.append(raw)
    raw.setblocking(False)
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", gateway.port))
    await loop.sock_sendall(raw, sent)
    return raw


async def rest(raw: socket.socket, timeout_s: float = WATCHDOG_S) -> bytes:
    """All that still comes, to the end of the connection."""
    data, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        try:
            while chunk := await loop.sock_recv(raw, 65536):
                data += chunk
        except ConnectionResetError:
            pass
    return data


async def upgraded(gateway: Gateway, path: str = "/ws", **options: Any) -> socket.socket:
    """A client with the token that has read nothing behind the handshake."""
    raw, answer = await gateway.open_raw(GOOD, path=path, **options)
    assert answer.status == 101
    return raw


async def drip(raw: socket.socket, data: bytes, every_s: float) -> bytes:
    """Send a byte at a time until the other side answers or hangs up; return its answer."""
    loop = asyncio.get_running_loop()
    for byte in data:
        try:
            await loop.sock_sendall(raw, bytes([byte]))
            async with asyncio.timeout(every_s):  # the pace
                return await loop.sock_recv(raw, 65536)
        except TimeoutError:
            continue
        except OSError:
            return b""
    raise AssertionError("nobody minded")


@asynccontextmanager
async def bystander(gateway: Gateway, limit_s: float = LIMIT_S) -> AsyncIterator[list[float]]:
    """A client that gets an event every few milliseconds; none may be late. Yields the waits.

    Waits run on the loop's own clock, which other processes do not move. Half of the waits must be
    under a tenth of the limit.
    """
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    stop = asyncio.Event()
    async with gateway.connect("?client_id=bystander") as client:
        await receive(client)

        async def watch() -> None:
            async for _ in ticks(0.002):
                if stop.is_set() and len(waits) >= 5:
                    return
                began = loop.time()
                event = await gateway.publisher.publish("chat.message_sent", MESSAGE)
                while (await receive(client)).get("sequence_number", 0) < event.sequence_number:
                    pass
                waits.append(loop.time() - began)

        watching = asyncio.create_task(watch())
        yield waits
        stop.set()
        await watching
    assert max(waits) < limit_s
    assert statistics.median(waits) < limit_s / 10


MESSAGE = {"role": "user", "content": "still here"}


def resident_bytes() -> int:
    """Memory of this process, the gateway in it."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


async def hurl(raw: socket.socket, data: bytes, times: int = 1) -> None:
    """Send as fast as the other side takes it, to the end or until it hangs up; read nothing."""
    with suppress(OSError):
        for _ in range(times):
            await asyncio.get_running_loop().sock_sendall(raw, data)
