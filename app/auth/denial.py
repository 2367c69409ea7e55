"""HTTP error answers to refused requests and upgrades, in one format.

Litestar turns any exception before `accept` into a close, which servers send as an empty 403
(litestar issue 4111). `keep_refusal` stores the exception in the scope first; `AccessGate`, the
outermost middleware, answers with it through the `websocket.http.response` extension.
"""

from collections import Counter

import msgspec
import structlog
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import (
    ErrorMessage,
    ForbiddenError,
    SightlineError,
    UnauthorizedError,
    UnavailableError,
)
from ..metrics import Counters
from ..settings import Settings
from .access import NOTHING
from .browser_rules import check_browser_rules, shared_origin
from .credentials import access_in
from .guards import authenticate_scope, headers_of
from .tokens import Keyring

RETRY_AFTER_S = 5
OPEN_PATH = "/api/health"
# On every answer that does not set these headers itself.
PRIVATE = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_SHARED_HEADERS = b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Session-Token"
_REFUSAL = "sightline_refusal"
BROKEN_OFF = "client disconnected prematurely"  # Litestar's text for an incomplete body
_log = structlog.get_logger("sightline.access")


def refusal(error: Exception) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body that answer `error`, without details of unexpected errors."""
    headers = {"content-type": "application/json"}
    if isinstance(error, SightlineError):
        status, code, message = error.status, error.code, str(error)
    elif isinstance(error, HTTPException):
        status = error.status_code
        code = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}.get(
            status, "bad_request" if status < 500 else "internal_error"
        )
        headers |= error.headers or {}
        message = error.detail
        if "allow" in headers:  # Litestar lists WebSocket handlers as a method
            methods = headers["allow"].split(", ")
            headers["allow"] = ", ".join(name for name in methods if name.isupper())
        if status == 404:
            message = "no such path: see docs/protocol.md"
        elif status == 405 and "allow" in headers:
            message = f"not a method of this path: use {headers['allow']}"
        elif isinstance(error, RequestEntityTooLarge):
            message = "the body is too large for this path: see docs/protocol.md, send less at once"
    else:
        status, code, message = 500, "internal_error", "the gateway failed; its log says why"
    if isinstance(error, UnauthorizedError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, UnavailableError):
        headers["retry-after"] = str(RETRY_AFTER_S)
    if status == 426:
        headers |= {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13"}
    return status, headers, msgspec.json.encode(ErrorMessage(code, message))


async def keep_refusal(error: Exception, scope: Scope) -> None:
    """Litestar's `after_exception` hook: store the exception of a refused upgrade in its scope."""
    if scope["type"] == ScopeType.WEBSOCKET:
        scope["state"][_REFUSAL] = error


def http_refusal(request: Request[object, object, object], error: Exception) -> Response[bytes]:  # type: ignore[type-var]
    """Litestar's exception handler for every HTTP route."""
    if isinstance(error, MethodNotAllowedException) and request.scope["path"] != OPEN_PATH:
        # Routing fails before any guard: an unauthenticated client must not learn the methods.
        try:
            authenticate_scope(request.scope)
        except SightlineError as refused:
            error = refused
    status, headers, body = refusal(error)
    _logged(status, error, request.scope)
    media_type = headers.pop("content-type")
    return Response(body, status_code=status, headers=headers, media_type=media_type)


def _logged(status: int, error: Exception, scope: Scope) -> None:
    peer = ":".join(map(str, scope.get("client") or ("unknown",)))
    if isinstance(error, HTTPException) and error.detail == BROKEN_OFF:
        _log.info("request_broken_off", peer=peer, path=scope["path"])
    elif status >= 500 and not isinstance(error, SightlineError):
        _log.error("request_failed", status=status, peer=peer, path=scope["path"], exc_info=error)
    else:
        _audit(status, scope, peer)
        reason = type(error).__name__
        _log.warning("refused", status=status, reason=reason, peer=peer, path=scope["path"])


def _audit(status: int, scope: Scope, peer: str) -> None:
    app = scope.get("litestar_app")
    keyring: Keyring | None = None if app is None else app.state.get("keyring")
    if status in (401, 403) and keyring is not None:
        access = access_in(scope)
        identity = access.name if access is not NOTHING else ""
        keyring.audit.record("refused", identity, path=scope["path"], peer=peer, status=status)


def _with(message: Message, headers: list[tuple[bytes, bytes]]) -> Message:
    """A copy with more headers. The application may send the same message object again."""
    return {**message, "headers": [*message.get("headers", ()), *headers]}  # type: ignore[misc,return-value]


def _marked(message: Message, refusals: Counter[str]) -> Message:
    """Return the message; the start of an answer gets the `PRIVATE` headers that it does not set.

    Refusals are counted.
    """
    if message["type"] in ("http.response.start", "websocket.http.response.start"):
        if message["status"] >= 400:
            refusals[str(message["status"])] += 1
        names = {name.lower() for name, _ in message.get("headers", ())}
        if lacking := [pair for pair in PRIVATE if pair[0] not in names]:
            return _with(message, lacking)
    return message


def _marking(send: Send, refusals: Counter[str]) -> Send:
    """A `send` that passes each message through `_marked`."""

    async def marked_send(message: Message) -> None:
        await send(_marked(message, refusals))

    return marked_send


def _sharing(send: Send, origin: bytes) -> Send:
    """Add the CORS headers that let a page of `origin` read any answer and send our headers.

    `Access-Control-Allow-Credentials` is absent: such a page sends a token, never the cookie.
    """
    cors = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", _SHARED_HEADERS),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin"),
    ]

    async def send_shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = _with(message, cors)
        await send(message)

    return send_shared


class AccessGate:
    """Outermost middleware: checks Host and Origin, adds CORS headers, answers refused upgrades."""

    def __init__(self, app: ASGIApp, settings: Settings, counters: Counters) -> None:
        self._app = app
        self._counters = counters
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or upgrade."""
        refusals, headers = self._counters.refusals, headers_of(scope)
        if scope["path"] != OPEN_PATH:
            try:
                check_browser_rules(
                    headers,
                    self._settings.allowed_hosts,
                    self._settings.allowed_origins,
                    scope["scheme"],
                )
            except ForbiddenError as error:
                await answer(error, scope, _marking(send, refusals))
                return
        if scope["type"] == ScopeType.HTTP:
            send = _marking(send, refusals)
            origin = shared_origin(headers, self._settings.allowed_origins)
            await self._app(scope, receive, _sharing(send, origin) if origin else send)
            return
        del headers  # they hold the token, and this coroutine lives as long as the connection
        accepted = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            if message["type"] == "websocket.close" and not accepted:
                error = scope["state"].get(_REFUSAL, HTTPException(status_code=500))
                if isinstance(error, HTTPException) and error.status_code < 500:
                    error = NotFoundException()  # the path has no WebSocket
                await answer(error, scope, _marking(send, refusals))
            else:
                await send(_marked(message, refusals))

        try:
            await self._app(scope, receive, send_or_refuse)
        except Exception as error:
            if accepted:
                raise
            await answer(error, scope, _marking(send, refusals))


async def answer(error: Exception, scope: Scope, send: Send) -> None:
    """Answer a request or upgrade with `error`; some servers can only close an upgrade."""
    status, headers, body = refusal(error)
    _logged(status, error, scope)
    if scope["type"] == ScopeType.WEBSOCKET and "websocket.http.response" not in (
        scope.get("extensions") or {}
    ):
        await send({"type": "websocket.close", "code": 1008, "reason": f"refused: {status}"})
        return
    kind = "websocket.http.response" if scope["type"] == ScopeType.WEBSOCKET else "http.response"
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{kind}.start", "status": status, "headers": raw})  # type: ignore[misc,arg-type]
    await send({"type": f"{kind}.body", "body": body, "more_body": False})  # type: ignore[misc,arg-type]
