"""The Litestar guard, and what the checks of a request need from its scope."""

from collections.abc import Mapping
from typing import cast
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope

from ..errors import UnauthorizedError
from .access import Need
from .authentication import authenticate, browser_session
from .credentials import SIGNS, ByName, Credential, by_name, shown
from .proof import arrived_at
from .tokens import Keyring
from .trusted_users import UNIX

SUBPROTOCOL = "events.v1"
PREFIX = "sightline_prefix"  # key in the scope's state: the path that the gateway is mounted at
_HEADERS = (
    "sightline_headers"  # key in the scope's state: the result of `headers_of`, and what it read
)


def headers_of(scope: Scope) -> ByName:
    """The headers of a request by their names. Do not change them: all checks share the result.

    They are read once, and again only if a middleware changed them. The headers of an upgrade are
    read each time: a kept result would hold the token in memory as long as the connection.
    """
    headers = [*scope["headers"]]  # a copy: a middleware may change the list in place
    read: tuple[object, ByName] | None = scope["state"].get(_HEADERS)
    if read is not None and read[0] == headers:
        return read[1]
    found = by_name(headers)
    if scope["type"] == ScopeType.HTTP:
        scope["state"][_HEADERS] = headers, found
    return found


def cookie_path(scope: Scope) -> str:
    """The path of the login cookie: where the gateway is mounted."""
    return quote(scope["state"].get(PREFIX, "")) or "/"


def is_preflight(scope: Scope) -> bool:
    """Whether this is a CORS preflight, which browsers always send without credentials."""
    return _method(scope) == "OPTIONS" and (
        {b"origin", b"access-control-request-method"} <= headers_of(scope).keys()
    )


def authenticate_scope(scope: Scope, *, is_hook: bool = False) -> Credential:
    """`authenticate` for one request or upgrade; raises the same errors."""
    return authenticate(
        _headers(scope),
        scope["query_string"],
        _keyring(scope),
        changes=not _is_safe(scope),
        address=arrived_at(scope),
        peer=came_from(scope),
        is_hook=is_hook,
    )


def has_browser_session(scope: Scope) -> bool:
    """Whether the browser is logged in. A browser that opens an address sends no browser key."""
    headers = _headers(scope)
    try:
        browser_session(headers, shown(headers), _keyring(scope), changes=False)
    except UnauthorizedError:
        return False
    return True


def came_from(scope: Scope) -> str | None:
    """The address at the other end of the connection, or `UNIX`; None if the server names none."""
    client, server = scope.get("client"), scope.get("server")
    if client is not None:  # some servers believe a header that may say anything, also `UNIX`
        return client[0] if client[0] != UNIX else None
    return UNIX if server is not None and server[0] and server[1] is None else None


def _keyring(scope: Scope) -> Keyring:
    keyring: Keyring = scope["litestar_app"].state.keyring
    return keyring


def _headers(scope: Scope) -> ByName:
    """The headers; some servers pass the subprotocols of an upgrade only in the scope."""
    headers = headers_of(scope)
    offered = cast(list[str], scope.get("subprotocols") or [])
    if not offered or b"sec-websocket-protocol" in headers:
        return headers
    return {**headers, b"sec-websocket-protocol": [",".join(offered).encode("latin-1", "replace")]}


def _is_safe(scope: Scope) -> bool:
    return _method(scope) in ("GET", "HEAD") and scope["path"] != "/ws"


def _method(scope: Scope) -> str | None:
    """None for an upgrade."""
    return scope["method"] if scope["type"] == ScopeType.HTTP else None


def admit(scope: Scope, opt: Mapping[str, object]) -> None:
    """Authenticate a request to a route with this `opt`, and check its scope; or raise the refusal."""
    credential = authenticate_scope(scope, is_hook=bool(opt.get("hook")))
    if opt.get("token_only") and credential.kind != "token":
        raise UnauthorizedError(
            "a log-in of a browser, of a proxy or by JWT does not count here: send the session token or"
            " a named token as the X-Session-Token header"
        )
    scope["state"]["credential"] = credential
    scope["state"][SIGNS] = _keyring(scope).knows_users
    credential.access.require(cast(Need, opt.get("scope", "admin")))


async def require_credential(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Litestar guard: authenticate requests to every route that is not open, and check the scope.

    A route declares the scope that it needs as `scope` in its `opt`: `read`, `publish`, `admin` or
    `any`. One that declares none is for admins, so a new route opens nothing to other tokens. A route
    for `read` must hold what it answers to `access_in(scope)`.
    """
    if not (handler.opt.get("open") or is_preflight(connection.scope)):
        admit(connection.scope, handler.opt)
