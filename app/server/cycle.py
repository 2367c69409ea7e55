"""uvicorn's request and answer, where it writes what HTTP/1.0 cannot read or waits for a body in vain."""

import msgspec
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..auth.denial import PRIVATE
from ..errors import ErrorMessage

RETRY_AFTER_S = 5


class GatewayCycle(RequestResponseCycle):
    """One request with its answer. uvicorn makes its own: they become this class as they start."""

    _until_close = False  # the answer ends with the connection, as HTTP/1.0 has it

    @classmethod
    def adopt(cls, cycle: RequestResponseCycle) -> None:
        """Turn uvicorn's object into one of ours; uvicorn has no setting for its class."""
        cycle.__class__ = cls
        if cycle.scope["http_version"] == "1.0":
            cycle.waiting_for_100_continue = False  # that version knows no such answer

    def leave(self) -> None:
        """Tell the application that the client has gone."""
        self.disconnected = True
        self.message_event.set()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer.

        HTTP/1.0 gets no chunk sizes: a body without a length ends with the connection. A client
        that still waits for `100 Continue` may send its body or not, so no request can follow.
        """
        if message["type"] == "http.response.start":
            if self.waiting_for_100_continue:
                self.keep_alive = False
            names = {name.lower() for name, _ in message.get("headers", ())}
            if self.scope["http_version"] == "1.0" and b"content-length" not in names:
                self._until_close, self.chunked_encoding = True, False
        elif self._until_close and message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


def last_answer(
    status: int, code: str, message: str, server_headers: list[tuple[bytes, bytes]]
) -> bytes:
    """A refusal in the shape of all others, for a connection that ends with it."""
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
