"""Who may come in: credentials, Host and Origin. Decisions over headers; the guard is Litestar's shell."""

import re
from collections.abc import Iterable
from typing import Literal, cast
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope

from app.auth.tokens import Keyring
from app.errors import ForbiddenError, UnauthorizedError

Headers = Iterable[tuple[bytes, bytes]]
AuthenticatedBy = Literal["token", "cookie"]
SUBPROTOCOL = "events.v1"
PREFIX = "sightline_prefix"  # in the scope's state: where the gateway is mounted
_HOST = re.compile(rb"([^:]+|\[[^]]+\])(?::[0-9]{1,5})?")
_LOCAL_HOSTS = {b"127.0.0.1", b"localhost", b"[::1]"}
_PORT = re.compile(rb":([0-9]+)\Z")
_LOG_IN_AGAIN = "run `litestar login` in the gateway's folder and open the link that it prints"


def _all(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def credentials(headers: Headers) -> list[bytes]:
    """Every token a request carries, one for each time it is sent."""
    headers = list(headers)
    found = _all(headers, b"x-session-token")
    for value in _all(headers, b"authorization"):
        scheme, _, token = value.partition(b" ")
        found.append(token.strip() if scheme.lower() == b"bearer" else b"")  # no token is empty
    for value in _all(headers, b"sec-websocket-protocol"):
        offered = (item.strip() for item in value.split(b","))
        found += [item.removeprefix(b"token.") for item in offered if item.startswith(b"token.")]
    return found


def cookie_name(headers: Headers) -> str:
    """The login cookie's name: browsers share cookies among ports, so it carries the port.

    It is the port that the browser sees, so that tunnels to several gateways live side by side.
    """
    port = _PORT.search(b"".join(_all(headers, b"host")))
    return f"sightline_{port[1].decode() if port else 'default'}"


def cookie_path(scope: Scope) -> str:
    """The path that the login cookie is for: where the gateway is mounted."""
    return quote(scope["state"].get(PREFIX, "")) or "/"


def cookies(headers: Headers) -> list[bytes]:
    """Every login cookie of this gateway that a request carries."""
    headers = list(headers)
    name = cookie_name(headers).encode()
    pairs = (item.partition(b"=") for line in _all(headers, b"cookie") for item in line.split(b";"))
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def authenticate(headers: Headers, keyring: Keyring, *, changes: bool) -> AuthenticatedBy:
    """Let in whoever carries a good credential and nothing that contradicts it.

    A cookie is sent by the browser on any page's behalf, so it counts only where no token is
    sent, and where the browser says that the page is one of ours. `changes` is true for whatever a
    foreign page could do harm with unseen: an unsafe method, a WebSocket.

    Raises:
        UnauthorizedError: none, a wrong one, more than one `X-Session-Token`, or a cookie that
            does not count here.
    """
    headers = list(headers)
    if tokens := credentials(headers):
        matches = keyring.session_token.matches
        if len(_all(headers, b"x-session-token")) > 1 or not all(map(matches, tokens)):
            raise UnauthorizedError(
                "the session token is wrong: read .sightline/session.token again,"
                " a restart may have changed it, and send it once"
            )
        return "token"
    if not (found := cookies(headers)):
        raise UnauthorizedError(
            "no session token: send it as the X-Session-Token header; it is in"
            f" .sightline/session.token of the gateway's folder. In a browser, {_LOG_IN_AGAIN}"
        )
    if changes and not _all(headers, b"origin"):  # one that is not allowed was refused before
        raise UnauthorizedError(
            "the login cookie counts here only with an Origin header, which browsers send:"
            " outside of one, send the session token as the X-Session-Token header"
        )
    sites = _all(headers, b"sec-fetch-site")
    if not changes and not {*sites} <= {b"same-origin", b"none"}:
        raise UnauthorizedError(
            "the login cookie does not count for a page of another origin: send the session token"
            " as the X-Session-Token header"
        )
    if not all(map(keyring.browser_sessions.admits, found)):
        raise UnauthorizedError(f"this browser is logged in no more: {_LOG_IN_AGAIN}")
    return "cookie"


def check_browser_rules(
    headers: Headers,
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    scheme: str = "http",
) -> None:
    """Refuse a rebound domain and a foreign page. Forwarded headers count for nothing.

    `scheme` is what the request came by: over TLS, a page that was loaded without it is foreign.

    Raises:
        ForbiddenError: `Host` or `Origin` is not one of ours; the message names the setting.
    """
    headers = list(headers)
    hosts = _all(headers, b"host")
    host = hosts[0].lower() if len(hosts) == 1 else b""
    named = _HOST.fullmatch(host)
    ours = _LOCAL_HOSTS | {name.lower().encode() for name in allowed_hosts}
    if host not in ours and (named is None or named[1] not in ours):
        raise ForbiddenError(
            f"Host {_shown(hosts)} does not name this gateway: use 127.0.0.1 or localhost,"
            " or add the name to SIGHTLINE_ALLOWED_HOSTS"
        )
    origins = _all(headers, b"origin")
    before = b"https://" if scheme in ("https", "wss") else b"http://"
    own = {before + name for name in (*hosts, host)}  # as it is spelt, and as browsers spell it
    allowed = own | {origin.encode() for origin in allowed_origins}
    if origins and (len(origins) > 1 or origins[0] not in allowed):
        raise ForbiddenError(
            f"Origin {_shown(origins)} is not allowed: add it to SIGHTLINE_ALLOWED_ORIGINS"
        )


def shared_origin(headers: Headers, allowed_origins: tuple[str, ...]) -> bytes | None:
    """The configured origin that a request comes from: its page may read the answer (CORS)."""
    origins = _all(headers, b"origin")
    configured = {origin.encode() for origin in allowed_origins}
    return origins[0] if len(origins) == 1 and origins[0] in configured else None


def _shown(values: list[bytes]) -> str:
    return ascii(", ".join(value.decode("latin-1") for value in values)[:100])


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks in advance: it sends no credential then, whatever comes later."""
    names = {key for key, _ in scope["headers"]}
    return _method(scope) == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


def authenticate_scope(scope: Scope) -> AuthenticatedBy:
    """`authenticate` for one request or upgrade; raises as that does."""
    keyring: Keyring = scope["litestar_app"].state.keyring
    safe = _method(scope) in ("GET", "HEAD") and scope["path"] != "/ws"
    return authenticate(_headers(scope), keyring, changes=not safe)


def _headers(scope: Scope) -> Headers:
    """The headers; some servers hand on the subprotocols of an upgrade in the scope alone."""
    headers = scope["headers"]
    offered = cast(list[str], scope.get("subprotocols") or [])
    if not offered or _all(headers, b"sec-websocket-protocol"):
        return headers
    return [*headers, (b"sec-websocket-protocol", ",".join(offered).encode("latin-1", "replace"))]


def _method(scope: Scope) -> str | None:
    """None for an upgrade."""
    return scope["method"] if scope["type"] == ScopeType.HTTP else None


def require_credential(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Litestar guard of every route that is not open. An exception becomes a 401, see `denial`."""
    if not handler.opt.get("open") and not is_preflight(connection.scope):
        connection.scope["state"]["authenticated_by"] = authenticate_scope(connection.scope)
