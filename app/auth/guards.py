"""Authentication and the checks of Host and Origin: pure functions, and a Litestar guard."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import cast
from urllib.parse import quote

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope

from ..errors import ForbiddenError, UnauthorizedError
from .access import Need
from .browsers import BrowserSession
from .credentials import (
    KEY_HEADER,
    KEY_PARAMETER,
    SIGNS,
    Credential,
    Headers,
    Shown,
    shown,
    values_of,
)
from .proof import arrived_at
from .tokens import Keyring

SUBPROTOCOL = "events.v1"
PREFIX = "sightline_prefix"  # key in the scope's state: the path that the gateway is mounted at
_HOST = re.compile(rb"([^:]+|\[[^]]+\])(?::[0-9]{1,5})?")
_LOCAL_HOSTS = {b"127.0.0.1", b"localhost", b"[::1]"}
_LOG_IN_AGAIN = "run `sightline login` in the gateway's folder and open the link that it prints"


def authenticate(
    headers: Headers,
    query: bytes,
    keyring: Keyring,
    *,
    changes: bool,
    address: str | None = None,
    is_hook: bool = False,
) -> Credential:
    """Return the credential of a request. Every credential that the request sends must be valid.

    A browser sends a cookie for any page, and to every port of its host. So a cookie counts only
    without a token, only from our own pages, and only with the browser key, which only pages of the
    origin that logged in can read. `changes` is true for an unsafe method or a WebSocket, with which
    a foreign page could do harm unseen; the query is then ignored. `address` is the local address
    of the connection, see `proof`. With `is_hook`, the hook token is accepted too.

    Raises:
        UnauthorizedError: a credential is missing or wrong, `X-Session-Token` is sent twice, or
            the cookie does not count here.
    """
    headers = list(headers)
    seen = shown(headers, b"" if changes else query)
    if seen.tokens:
        doubled = len(values_of(headers, b"x-session-token")) > 1
        found = {keyring.credential_of(one, address, is_hook=is_hook) for one in seen.tokens}
        if len(found) > 1:
            found.discard(keyring.hook_credential)  # beside a token that may do more
        credential = found.pop()
        if doubled or credential is None or found:
            raise UnauthorizedError(
                "the token is wrong: read .sightline/session.token again, a restart may have changed"
                " it, and send it once; a named token may have been revoked or have expired"
            )
        return credential
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
    """The session of the cookie, if a cookie counts here. The browser key is not checked."""
    if not seen.cookies:
        raise UnauthorizedError(
            "no session token: send it as the X-Session-Token header; it is in"
            f" .sightline/session.token of the gateway's folder. In a browser, {_LOG_IN_AGAIN}"
        )
    if changes and not values_of(
        headers, b"origin"
    ):  # `check_browser_rules` has refused foreign ones
        raise UnauthorizedError(
            "the login cookie counts here only with an Origin header, which browsers send:"
            " outside a browser, send the session token as the X-Session-Token header"
        )
    sites = values_of(headers, b"sec-fetch-site")
    if not changes and not {*sites} <= {b"same-origin", b"none"}:
        raise UnauthorizedError(
            "the login cookie does not count for a page of another origin: send the session token"
            " as the X-Session-Token header"
        )
    first, *others = map(keyring.browser_sessions.find, seen.cookies)
    if first is None or any(other is not first for other in others):
        raise UnauthorizedError(f"this browser is no longer logged in: {_LOG_IN_AGAIN}")
    return first


def cookie_path(scope: Scope) -> str:
    """The path of the login cookie: where the gateway is mounted."""
    return quote(scope["state"].get(PREFIX, "")) or "/"


def check_browser_rules(
    headers: Headers,
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    scheme: str = "http",
) -> None:
    """Refuse requests of foreign pages and of rebound domains. Forwarded headers are ignored.

    `scheme` is the scheme of the request: over TLS, a page that was loaded over HTTP is foreign.

    Raises:
        ForbiddenError: `Host` or `Origin` is not allowed; the message names the setting.
    """
    headers = list(headers)
    hosts, origins = values_of(headers, b"host"), values_of(headers, b"origin")
    _check_names(tuple(hosts), tuple(origins), allowed_hosts, allowed_origins, scheme)


@lru_cache(maxsize=256)  # of those that are allowed: few clients send others
def _check_names(
    hosts: tuple[bytes, ...],
    origins: tuple[bytes, ...],
    allowed_hosts: tuple[str, ...],
    allowed_origins: tuple[str, ...],
    scheme: str,
) -> None:
    host = hosts[0].lower() if len(hosts) == 1 else b""
    named = _HOST.fullmatch(host)
    ours = _LOCAL_HOSTS | {name.lower().encode() for name in allowed_hosts}
    if host not in ours and (named is None or named[1] not in ours):
        raise ForbiddenError(
            f"Host {_shown(hosts)} does not name this gateway: use 127.0.0.1 or localhost,"
            " or add the name to SIGHTLINE_ALLOWED_HOSTS"
        )
    if not origins:
        return
    before = b"https://" if scheme in ("https", "wss") else b"http://"
    own = {
        before + name for name in (*hosts, host)
    }  # as sent, and in lower case as browsers send it
    allowed = own | {origin.encode() for origin in allowed_origins}
    if len(origins) > 1 or origins[0] not in allowed:
        raise ForbiddenError(
            f"Origin {_shown(origins)} is not allowed: add it to SIGHTLINE_ALLOWED_ORIGINS"
        )


def shared_origin(headers: Headers, allowed_origins: tuple[str, ...]) -> bytes | None:
    """The origin of a request if its page may read the answer (CORS), else None."""
    origins = values_of(headers, b"origin")
    if not origins:
        return None
    configured = {origin.encode() for origin in allowed_origins}
    return origins[0] if len(origins) == 1 and origins[0] in configured else None


def _shown(values: tuple[bytes, ...]) -> str:
    return ascii(", ".join(value.decode("latin-1") for value in values)[:100])


def is_preflight(scope: Scope) -> bool:
    """Whether this is a CORS preflight, which browsers always send without credentials."""
    names = {key for key, _ in scope["headers"]}
    return _method(scope) == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


def authenticate_scope(scope: Scope, *, is_hook: bool = False) -> Credential:
    """`authenticate` for one request or upgrade; raises the same errors."""
    return authenticate(
        _headers(scope),
        scope["query_string"],
        _keyring(scope),
        changes=not _is_safe(scope),
        address=arrived_at(scope),
        is_hook=is_hook,
    )


def has_browser_session(scope: Scope) -> bool:
    """Whether the browser is logged in. A browser that opens an address sends no browser key."""
    headers = list(_headers(scope))
    try:
        _browser_session(headers, shown(headers), _keyring(scope), changes=False)
    except UnauthorizedError:
        return False
    return True


def _keyring(scope: Scope) -> Keyring:
    keyring: Keyring = scope["litestar_app"].state.keyring
    return keyring


def _headers(scope: Scope) -> Headers:
    """The headers; some servers pass the subprotocols of an upgrade only in the scope."""
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


def admit(scope: Scope, opt: Mapping[str, object]) -> None:
    """Authenticate a request to a route with this `opt`, and check its scope; or raise the refusal."""
    credential = authenticate_scope(scope, is_hook=bool(opt.get("hook")))
    if opt.get("token_only") and credential.kind != "token":
        raise UnauthorizedError(
            "a browser's log-in does not count here: send the session token as the"
            " X-Session-Token header"
        )
    scope["state"]["credential"] = credential
    scope["state"][SIGNS] = _keyring(scope).named.configured
    credential.access.require(cast(Need, opt.get("scope", "admin")))


async def require_credential(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Litestar guard: authenticate requests to every route that is not open, and check the scope.

    A route declares the scope that it needs as `scope` in its `opt`: `read`, `publish`, `admin` or
    `any`. One that declares none is for admins, so a new route opens nothing to other tokens. A route
    for `read` must hold what it answers to `access_in(scope)`.
    """
    if not (handler.opt.get("open") or is_preflight(connection.scope)):
        admit(connection.scope, handler.opt)
