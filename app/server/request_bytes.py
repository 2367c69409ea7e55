"""uvicorn's HTTP protocol with every byte of a request counted, also those that no callback shows.

Chunk sizes, their extensions, trailers, blank lines, bodies that nobody takes and requests whose turn
has not come: the parser takes any number of them, before any credential is looked at.
"""

from typing import Literal

from .strict import StrictHTTPProtocol

MAX_HEAD_BYTES = 8 * 1024  # the websockets library takes no longer line either
UNWANTED_BYTES = 64 * 1024  # of a body whose answer is out, or of requests whose turn has not come


class CountingHTTPProtocol(StrictHTTPProtocol):
    """Hands the parser at most `MAX_HEAD_BYTES` at once and looks at what they were.

    `part` says what is awaited: a head, a body, or between two requests nothing.
    """

    part: Literal["head", "body"] | None = None
    received = 0  # bytes of this part
    refused = False  # whatever still comes is not looked at
    upgrading = False  # and here it must not come yet
    _body_bytes = 0  # those among them that are the body itself
    _unwanted = 0  # and of these, those that came when the answer was out
    _held = b""  # what came behind a request that waits for its turn

    @property
    def known(self) -> bool:
        """Whether the client has shown a good credential."""
        raise NotImplementedError

    def begin(self, part: Literal["head", "body"] | None) -> None:
        """Await this part of a request."""
        self.part = part
        self.received = self._body_bytes = self._unwanted = 0

    def refuse(self, status: int, code: str, message: str) -> None:
        """End the connection, with this answer where none is under way."""
        raise NotImplementedError

    def linger(self) -> None:
        """End the connection, but let the client read its answer."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse what came, piece by piece, as long as it may be parsed."""
        if self.refused or self.upgrading:
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
            if self.part == "head":  # no byte behind it, as far as that can be seen
                end -= self.received
                found = data.find(b"\r\n\r\n", 0, end)
                end = end if found < 0 else found + 4
            piece, data = data[:end], data[end:]
            self.received += len(piece)
            super().data_received(piece)
            if not self.refused:
                self._count()

    def _answer_is_due(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _hold(self, data: bytes) -> None:
        """Keep a further request as it is: parsed, it would take far more memory.

        Reading goes on meanwhile, or nobody would see that the client has gone.
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
        if self.part != "head":  # the second one in a piece
            self.begin("head")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.begin("body")
        if self.pipeline:
            self.flow.resume_reading()  # or nobody sees that the client has gone

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
