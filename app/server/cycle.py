"""uvicorn's request and response, corrected for HTTP/1.0 and for `100 Continue`."""

import asyncio
from typing import cast

import msgspec
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..auth.denial import PRIVATE
from ..errors import ErrorMessage

RETRY_AFTER_S = 5
MOST_JOINED_BYTES = 64 * 1024  # joining is a copy


class JoinedWrites:
    """Writes the head of a response together with the body: one system call and one packet less.

    A head whose body has not begun by the next turn of the loop is written alone.
    """

    __slots__ = ("_head", "_holds", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._holds = False

    def hold_next(self) -> None:
        """The next write is a head."""
        self._holds = True

    def write(self, data: bytes) -> None:
        """Write, or hold a head."""
        if self._holds:
            self._holds, self._head = False, data
            self._loop.call_soon(self._flush)
            return
        if self._head and len(data) <= MOST_JOINED_BYTES:
            data, self._head = self._head + data, b""
        self._flush()
        self._transport.write(data)

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection when everything is written."""
        self._flush()
        self._transport.close()


class GatewayCycle(RequestResponseCycle):
    """One request with its response. `adopt` turns uvicorn's objects into this class."""

    _until_close = False  # the end of the connection ends the body, as in HTTP/1.0

    @classmethod
    def adopt(cls, cycle: RequestResponseCycle, joined: JoinedWrites) -> None:
        """Change the class of uvicorn's object, because uvicorn has no setting for it."""
        cycle.__class__ = cls
        cycle.transport = cast(asyncio.Transport, joined)
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False  # HTTP/1.0 has no such response

    def leave(self) -> None:
        """Report to the application that the client has disconnected."""
        self.disconnected = True
        self.message_event.set()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response.

        In HTTP/1.0 a body without a length is not chunked but ends with the connection. A client
        that still waits for `100 Continue` may send its body or not, so the connection is closed.
        """
        if message["type"] == "http.response.start" and not self.response_started:
            cast(JoinedWrites, self.transport).hold_next()
            if self.waiting_for_100_continue:
                self.keep_alive = False
            if self.scope["http_version"] == "1.0":
                names = {name.lower() for name, _ in message.get("headers", ())}
                if b"content-length" not in names:
                    self._until_close, self.chunked_encoding = True, False
        elif self._until_close and message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def last_answer(
    status: int, code: str, message: str, server_headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The bytes of an error response, after which the connection is closed."""
    body = msgspec.json.encode(ErrorMessage(code, message))
    headers = [
        *server_headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *PRIVATE,
        (b"connection", b"close"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
    lines = (b"%s: %s\r\n" % header for header in headers)
    return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])
