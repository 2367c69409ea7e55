"""For the busiest routes: a route, a body and a response, each with few calls.

Litestar's own take many more calls, which cost more than a publish.
"""

from collections.abc import Mapping

import msgspec
from litestar import Request
from litestar.enums import HttpMethod
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from ..auth.denial import BROKEN_OFF, PRIVATE
from ..auth.guards import admit, headers_of

HTTPRequest = Request[object, object, object]  # type: ignore[type-var]
_PART = "part"
_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode


class DirectRoute(HTTPRouteHandler):
    """A POST route: its handler gets the request and one part of the gateway, and returns an `Answer`.

    Litestar finds the route and answers exceptions. This class does everything between: it checks
    credential and scope as on every other route, and calls the handler.
    """

    def __init__(self, path: str, part: str, most_bytes: int, opt: Mapping[str, object]) -> None:
        """`part` names the dependency that the handler gets; `most_bytes` bounds the body.

        `opt` is that of the route: its `scope`, and whether it is for hooks.
        """
        super().__init__(
            path,
            http_method=HttpMethod.POST,
            request_max_body_size=most_bytes,
            middleware=[_directly],
            opt={**opt, _PART: part},
        )


def _directly(app: ASGIApp) -> ASGIApp:
    """Middleware that calls the handler itself, in place of `app`, which is Litestar's way to it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        route = scope["route_handler"]
        admit(scope, route.opt)
        part = scope["litestar_app"].state.dependencies[route.opt[_PART]](scope)
        respond = await route.fn(Request(scope, receive, send), part)
        await respond(scope, receive, send)

    return answer


class Answer:
    """A response with an empty body or with JSON, as an ASGI application."""

    __slots__ = ("_body", "_status")

    def __init__(self, status: int, content: object = None) -> None:
        """`content` is encoded at once; without it, there is no body and no `Content-Length`."""
        self._body = b"" if content is None else _encode(content)
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        headers = [*PRIVATE]
        if self._body:
            headers[:0] = (_JSON, (b"content-length", b"%d" % len(self._body)))
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body of a request, at most `most` bytes.

    Raises:
        RequestEntityTooLarge: the body is longer, or a `Content-Length` says so before it is read.
        InternalServerException: the client disconnected before the end of the body.
    """
    for length in headers_of(scope).get(b"content-length", ()):
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
