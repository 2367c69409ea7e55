"""uvicorn's HTTP protocol with a bound on every byte of a request, before authentication.

The parser itself accepts any number of chunk sizes, chunk extensions, trailers, blank lines, unread
body bytes and pipelined requests.
"""

import asyncio
from typing import Literal, cast

from .kept import KeptHTTPProtocol

MAX_HEAD_BYTES = 8 * 1024  # also the longest line of the websockets library
UNWANTED_BYTES = 64 * 1024  # of a body after its response, or of pipelined requests


class CountingHTTPProtocol(KeptHTTPProtocol):
    """Gives the parser at most `MAX_HEAD_BYTES` at once, and counts what they were.

    `part` is what is awaited: a head, a body, or None between two requests.
    """

    part: Literal["head", "body"] | None = None
    received = 0  # bytes of this part
    refused = False  # further input is discarded
    upgrading = False  # further input is for the WebSocket
    _body_bytes = 0  # of `received`, without chunk framing
    _unwanted = 0  # of `_body_bytes`, received after the response
    _held = b""  # input after a pipelined request or an upgrade, not parsed yet

    @property
    def known(self) -> bool:
        """Whether the client is authenticated."""
        raise NotImplementedError

    def begin(self, part: Literal["head", "body"] | None) -> None:
        """Await this part of a request."""
        self.part = part
        self.received = self._body_bytes = self._unwanted = 0

    def refuse(self, status: int, code: str, message: str) -> None:
        """End the connection, with this answer if no response has started."""
        raise NotImplementedError

    def linger(self) -> None:
        """End the connection after the client could read the response."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse the input in pieces, until the connection is refused or upgraded.

        Input after an upgrade waits for the WebSocket protocol.
        """
        if self.refused:
            return
        data = self._held + data
        self._held = b""
        while (
            data and not (self.refused or self.upgrading) and self.transport.get_protocol() is self
        ):
            if self.part is None:
                if self._answer_is_due():
                    self._hold(data)
                    return
                self.begin("head")
            end = MAX_HEAD_BYTES
            if self.part == "head":  # up to its end, if that is found
                end -= self.received
                found = data.find(b"\r\n\r\n", 0, end)
                end = end if found < 0 else found + 4
            piece, data = data[:end], data[end:]
            self.received += len(piece)
            super().data_received(piece)
            if not self.refused:
                self._count()
        if data and self.upgrading:
            if (successor := self.transport.get_protocol()) is self:
                self._hold(data)
            else:
                cast(asyncio.Protocol, successor).data_received(data)

    def _answer_is_due(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _hold(self, data: bytes) -> None:
        """Keep a further request unparsed, which takes far less memory than a parsed one.

        Reading continues meanwhile, so that a disconnect is noticed.
        """
        self._held = data
        if len(data) > (UNWANTED_BYTES if self.known else MAX_HEAD_BYTES):
            self.refuse(400, "bad_request", "too many requests at once: wait for the answers")

    def _count(self) -> None:
        if self.part == "head":
            if self.received >= MAX_HEAD_BYTES:
                why = f"the head is over {MAX_HEAD_BYTES} bytes"
                why += ": shorten address, headers or cookies"
                self.refuse(431, "head_too_large", why)
        elif self.part == "body":
            framing = self.received - self._body_bytes
            if framing > MAX_HEAD_BYTES + self._body_bytes:
                why = "chunk sizes and trailers outgrow the body"
                self.refuse(400, "bad_request", why + ": send larger chunks and no trailers")
            elif self._unwanted > UNWANTED_BYTES:
                self.linger()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.part != "head":  # a further request in the same piece
            self.begin("head")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.begin("body")
        if self.pipeline:
            self.flow.resume_reading()  # or a disconnect would go unnoticed

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle is not None and self.cycle.response_complete:
            self._unwanted += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.begin(None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._held and not self.transport.is_closing():
            self.loop.call_soon(self._parse_held)

    def _parse_held(self) -> None:
        if not self.transport.is_closing():
            self.data_received(b"")
