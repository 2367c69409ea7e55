"""Who may come in: credentials, Host and Origin. Decisions over headers; the guard is Litestar's shell."""

import re
from collections.abc import Iterable

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from app.auth.tokens import SessionToken
from app.errors import ForbiddenError, UnauthorizedError

Headers = Iterable[tuple[bytes, bytes]]
SUBPROTOCOL = "events.v1"
_LOCAL_HOST = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")


def _all(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def credentials(headers: Headers) -> list[bytes]:
    """Every credential a request carries, one for each time it is sent."""
    headers = list(headers)
    found = _all(headers, b"x-session-token")
    for value in _all(headers, b"authorization"):
        scheme, _, token = value.partition(b" ")
        found.append(token.strip() if scheme.lower() == b"bearer" else value)
    for value in _all(headers, b"sec-websocket-protocol"):
        offered = (item.strip() for item in value.split(b","))
        found += [item.removeprefix(b"token.") for item in offered if item.startswith(b"token.")]
    return found


def check_credentials(headers: Headers, token: SessionToken) -> None:
    """Let in whoever carries the token and nothing that contradicts it.

    Raises:
        UnauthorizedError: none, a wrong one, or more than one `X-Session-Token`.
    """
    headers = list(headers)
    found = credentials(headers)
    if not found:
        raise UnauthorizedError(
            "no session token: send it as the X-Session-Token header;"
            " it is in .sightline/session.token of the gateway's folder"
        )
    if len(_all(headers, b"x-session-token")) > 1 or not all(map(token.matches, found)):
        raise UnauthorizedError(
            "the session token is wrong: read .sightline/session.token again,"
            " a restart may have changed it, and send it once"
        )


def check_browser_rules(
    headers: Headers, allowed_hosts: tuple[str, ...], allowed_origins: tuple[str, ...]
) -> None:
    """Refuse a rebound domain and a foreign page. Forwarded headers count for nothing.

    Raises:
        ForbiddenError: `Host` or `Origin` is not one of ours; the message names the setting.
    """
    headers = list(headers)
    hosts = _all(headers, b"host")
    host = hosts[0].lower() if len(hosts) == 1 else b""
    configured = {name.lower().encode() for name in allowed_hosts}
    if not (
        _LOCAL_HOST.fullmatch(host) or host in configured or host.rpartition(b":")[0] in configured
    ):
        raise ForbiddenError(
            f"Host {_shown(hosts)} does not name this gateway: use 127.0.0.1 or localhost,"
            " or add the name to SIGHTLINE_ALLOWED_HOSTS"
        )
    origins = _all(headers, b"origin")
    allowed = {b"http://" + host, *(origin.encode() for origin in allowed_origins)}
    if origins and (len(origins) > 1 or origins[0] not in allowed):
        raise ForbiddenError(
            f"Origin {_shown(origins)} is not allowed: add it to SIGHTLINE_ALLOWED_ORIGINS"
        )


def _shown(values: list[bytes]) -> str:
    return ascii(", ".join(value.decode("latin-1") for value in values)[:100])


def require_token(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
    """Litestar guard of every route but health. An exception becomes a real 401, see `denial`."""
    if not handler.opt.get("open"):
        check_credentials(connection.scope["headers"], connection.app.state.session_token)
