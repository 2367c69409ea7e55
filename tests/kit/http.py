"""Raw HTTP: requests as bytes, the bare sockets that carry them, and the answers."""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Protocol

from tests.kit.waiting import WATCHDOG_S

TOKEN = "live-test-token-0123456789"
GOOD = (b"X-Session-Token", TOKEN.encode())
TOKEN_LINE = b": ".join(GOOD)
UPGRADE = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
)


class Served(Protocol):
    """What sockets can be opened to; it closes them at the end of the test."""

    port: int
    raw: list[socket.socket]


def request(
    *headers: bytes,
    method: bytes = b"GET",
    path: bytes = b"/api/session",
    host: bytes = b"localhost",
) -> bytes:
    """The head of a request with these header lines."""
    first = method + b" " + path + b" HTTP/1.1"
    return b"\r\n".join((first, b"Host: " + host, *headers, b"", b""))


class Answer:
    """An answer: `head` is its text in lower case, `headers` the last value of each name."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.head = head.decode("latin-1").lower() + "\r\n"
        self.status = int(lines[0].split()[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }

    @property
    def error(self) -> dict[str, str]:
        """The body of a refusal."""
        error = json.loads(self.body)
        assert set(error) == {"type", "code", "message"}
        assert error["type"] == "error"
        return error


async def dial(
    server: Served, sent: bytes = b"", receive_buffer: int | None = None
) -> socket.socket:
    """A connection on which only `sent` has been sent, and nothing read."""
    raw = socket.socket()
    server.raw.append(raw)
    raw.setblocking(False)
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", server.port))
    await loop.sock_sendall(raw, sent)
    return raw


class Connection:
    """Reads the answers on a socket one after the other; `data` is read but not yet used."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.data = b""

    async def ask(self, sent: bytes) -> Answer:
        """Send a request and return its whole answer."""
        await asyncio.get_running_loop().sock_sendall(self.raw, sent)
        answer = await self.head()
        answer.body = await self.exactly(int(answer.headers.get("content-length", 0)))
        return answer

    async def head(self) -> Answer:
        """The next head; little is read behind it."""
        return Answer(await self.until(b"\r\n\r\n", 1024) + b"\r\n\r\n")

    async def until(self, mark: bytes, chunk: int = 65536) -> bytes:
        """What comes before `mark`, which is taken too."""
        while mark not in self.data:
            await self._more(chunk)
        found, _, self.data = self.data.partition(mark)
        return found

    async def exactly(self, count: int) -> bytes:
        while len(self.data) < count:
            await self._more()
        found, self.data = self.data[:count], self.data[count:]
        return found

    async def _more(self, chunk: int = 65536) -> None:
        async with asyncio.timeout(WATCHDOG_S):
            data = await asyncio.get_running_loop().sock_recv(self.raw, chunk)
        assert data, f"the connection was lost behind {self.data!r}"
        self.data += data


async def rest(raw: socket.socket, timeout_s: float = WATCHDOG_S) -> bytes:
    """All that still comes, to the end of the connection."""
    data, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        with suppress(ConnectionResetError):
            while chunk := await loop.sock_recv(raw, 65536):
                data += chunk
    return data


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
    raise AssertionError("all was sent and nothing came back")


async def hurl(raw: socket.socket, data: bytes, times: int = 1) -> None:
    """Send as fast as the other side takes it, to the end or until it hangs up; read nothing."""
    with suppress(OSError):
        for _ in range(times):
            await asyncio.get_running_loop().sock_sendall(raw, data)
