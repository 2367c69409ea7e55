"""Who may come in: credentials, Host and Origin. Decisions over headers; the guard is Litestar's shell."""

import re
from typing import cast
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope

from ..errors import ForbiddenError, UnauthorizedError
from .browsers import BrowserSession
from .credentials import (
    KEY_HEADER,
    KEY_PARAMETER,
    Credential,
    Headers,
    Shown,
    shown,
    values_of,
)
from .proof import address_of
from .tokens import Keyring

SUBPROTOCOL = "events.v1"
PREFIX = "sightline_prefix"  # in the scope's state: where the gateway is mounted
_HOST = re.compile(rb"([^:]+|\[[^]]+\])(?::[0-9]{1,5})?")
_LOCAL_HOSTS = {b"127.0.0.1", b"localhost", b"[::1]"}
_LOG_IN_AGAIN = "run `litestar login` in the gateway's folder and open the link that it prints"


def authenticate(
    headers: Headers,
    query: bytes,
    keyring: Keyring,
    *,
    changes: bool,
    address: str | None = None,
    is_hook: bool = False,
) -> Credential:
    """Return what lets a request in: a good credential, with nothing beside it that contradicts it.

    A cookie is sent by the browser on any page's behalf, and to every port of its host. So it counts
    only where no token is sent, where the browser says that the page is one of ours, and together
    with the browser key, which only pages of the origin that logged in can read. `changes` is true
    for whatever a foreign page could do harm with unseen: an unsafe method, a WebSocket. There the
    query counts for nothing. `address` is where the connection arrived, see `proof`. Where `is_hook` is
    true, the hook token counts too.

    Raises:
        UnauthorizedError: none, a wrong one, more than one `X-Session-Token`, or a cookie that
            does not count here.
    """
    headers = list(headers)
    seen = shown(headers, b"" if changes else query)
    if seen.tokens:
        doubled = len(values_of(headers, b"x-session-token")) > 1
        if doubled or not all(
            keyring.is_token(token, address) or (is_hook and keyring.is_hook_token(token))
            for token in seen.tokens
        ):
            raise UnauthorizedError(
                "the session token is wrong: read .sightline/session.token again,"
                " a restart may have changed it, and send it once"
            )
        return keyring.token_credential
    session = _browser_session(headers, seen, keyring, changes=changes)
    if not seen.keys:
        raise UnauthorizedError(
            f"the login cookie counts only with the browser key, as the {KEY_HEADER} header, the"
            f" subprotocol key.… or, on GET, the parameter {KEY_PARAMETER}: see docs/login.md;"
            f" to get one, {_LOG_IN_AGAIN}"
        )
    if not all(keyring.browser_sessions.fits(session, key) for key in seen.keys):
        raise UnauthorizedError(f"the browser key is another log-in's: {_LOG_IN_AGAIN}")
    return keyring.browser_sessions.credential(session)


def _browser_session(
    headers: list[tuple[bytes, bytes]], seen: Shown, keyring: Keyring, *, changes: bool
) -> BrowserSession:
    """The session of the cookie, where a cookie counts; by itself it opens nothing."""
    if not seen.cookies:
        raise UnauthorizedError(
            "no session token: send it as the X-Session-Token header; it is in"
            f" .sightline/session.token of the gateway's folder. In a browser, {_LOG_IN_AGAIN}"
        )
    if changes and not values_of(headers, b"origin"):  # one that is not allowed was refused before
        raise UnauthorizedError(
            "the login cookie counts here only with an Origin header, which browsers send:"
            " outside of one, send the session token as the X-Session-Token header"
        )
    sites = values_of(headers, b"sec-fetch-site")
    if not changes and not {*sites} <= {b"same-origin", b"none"}:
        raise UnauthorizedError(
            "the login cookie does not count for a page of another origin: send the session token"
            " as the X-Session-Token header"
        )
    first, *others = map(keyring.browser_sessions.find, seen.cookies)
    if first is None or any(other is not first for other in others):
        raise UnauthorizedError(f"this browser is logged in no more: {_LOG_IN_AGAIN}")
    return first


def cookie_path(scope: Scope) -> str:
    """The path that the login cookie is for: where the gateway is mounted."""
    return quote(scope["state"].get(PREFIX, "")) or "/"


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
    hosts = values_of(headers, b"host")
    host = hosts[0].lower() if len(hosts) == 1 else b""
    named = _HOST.fullmatch(host)
    ours = _LOCAL_HOSTS | {name.lower().encode() for name in allowed_hosts}
    if host not in ours and (named is None or named[1] not in ours):
        raise ForbiddenError(
            f"Host {_shown(hosts)} does not name this gateway: use 127.0.0.1 or localhost,"
            " or add the name to SIGHTLINE_ALLOWED_HOSTS"
        )
    origins = values_of(headers, b"origin")
    before = b"https://" if scheme in ("https", "wss") else b"http://"
    own = {before + name for name in (*hosts, host)}  # as it is spelt, and as browsers spell it
    allowed = own | {origin.encode() for origin in allowed_origins}
    if origins and (len(origins) > 1 or origins[0] not in allowed):
        raise ForbiddenError(
            f"Origin {_shown(origins)} is not allowed: add it to SIGHTLINE_ALLOWED_ORIGINS"
        )


def shared_origin(headers: Headers, allowed_origins: tuple[str, ...]) -> bytes | None:
    """The configured origin that a request comes from: its page may read the answer (CORS)."""
    origins = values_of(headers, b"origin")
    configured = {origin.encode() for origin in allowed_origins}
    return origins[0] if len(origins) == 1 and origins[0] in configured else None


def _shown(values: list[bytes]) -> str:
    return ascii(", ".join(value.decode("latin-1") for value in values)[:100])


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks in advance: it sends no credential then, whatever comes later."""
    names = {key for key, _ in scope["headers"]}
    return _method(scope) == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


def authenticate_scope(scope: Scope, *, is_hook: bool = False) -> Credential:
    """`authenticate` for one request or upgrade; raises as that does."""
    return authenticate(
        _headers(scope),
        scope["query_string"],
        _keyring(scope),
        changes=not _is_safe(scope),
        address=arrived_at(scope),
        is_hook=is_hook,
    )


def has_browser_session(scope: Scope) -> bool:
    """Whether a page may be shown to its browser: to one that opens an address, without a key."""
    headers = list(_headers(scope))
    try:
        _browser_session(headers, shown(headers), _keyring(scope), changes=False)
    except UnauthorizedError:
        return False
    return True


def arrived_at(scope: Scope) -> str | None:
    """The address of this end of the connection; None where it is no TCP connection."""
    host, port = scope.get("server") or ("", None)
    try:
        return None if port is None else address_of(host, port)
    except ValueError:  # a name: not from a socket
        return None


def _keyring(scope: Scope) -> Keyring:
    keyring: Keyring = scope["litestar_app"].state.keyring
    return keyring


def _headers(scope: Scope) -> Headers:
    """The headers; some servers hand on the subprotocols of an upgrade in the scope alone."""
    headers = scope["headers"]
    offered = cast(list[str], scope.get("subprotocols") or [])
    if not offered or values_of(headers, b"sec-websocket-protocol"):
        return headers
    return [*headers, (b"sec-websocket-protocol", ",".join(offered).encode("latin-1", "replace"))]


def _is_safe(scope: Scope) -> bool:
    return _method(scope) in ("GET", "HEAD") and scope["path"] != "/ws"


def _method(scope: Scope) -> str | None:
    """None for an upgrade."""
    return scope["method"] if scope["type"] == ScopeType.HTTP else None


async def require_credential(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Litestar guard of every route that is not open. An exception becomes a 401, see `denial`."""
    if handler.opt.get("open") or is_preflight(connection.scope):
        return
    credential = authenticate_scope(connection.scope, is_hook=bool(handler.opt.get("hook")))
    if handler.opt.get("token_only") and credential.kind != "token":
        raise UnauthorizedError(
            "a log-in of a browser does not count here: send the session token as the"
            " X-Session-Token header"
        )
    connection.scope["state"]["credential"] = credential
