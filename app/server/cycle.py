"""uvicorn's request and response, corrected for HTTP/1.0 and for `100 Continue`."""

import msgspec
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ..auth.denial import PRIVATE
from ..errors import ErrorMessage

RETRY_AFTER_S = 5


class GatewayCycle(RequestResponseCycle):
    """One request with its response. `adopt` turns uvicorn's objects into this class."""

    _until_close = False  # the end of the connection ends the body, as in HTTP/1.0

    @classmethod
    def adopt(cls, cycle: RequestResponseCycle) -> None:
        """Change the class of uvicorn's object, because uvicorn has no setting for it."""
        cycle.__class__ = cls
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
        if message["type"] == "http.response.start":
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
