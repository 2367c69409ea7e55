"""For the busiest routes: a response that is sent as it is, and a body that is read in one step.

Litestar's `Response` and `Request` do the same in many more steps, which cost more than a publish.
"""

import msgspec
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive, Scope, Send

from ..auth.credentials import values_of
from ..auth.denial import BROKEN_OFF, PRIVATE

_encode = msgspec.json.Encoder().encode


class JSONAnswer:
    """A JSON response, as an ASGI application."""

    __slots__ = ("_body", "_status")

    def __init__(self, content: object, status: int) -> None:
        """`content` is encoded at once."""
        self._body = _encode(content)
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
            *PRIVATE,
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body of a request, at most `most` bytes.

    Raises:
        RequestEntityTooLarge: the body is longer, or a `Content-Length` says so before it is read.
        InternalServerException: the client disconnected before the end of the body.
    """
    for length in values_of(scope["headers"], b"content-length"):
        if length.isdigit() and int(length) > most:
            raise RequestEntityTooLarge
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise InternalServerException(BROKEN_OFF)
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        size += len(parts[-1])
        if size > most:
            raise RequestEntityTooLarge
    return b"".join(parts)
