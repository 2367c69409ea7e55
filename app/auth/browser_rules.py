"""Which hosts and pages requests may come from: the checks of `Host` and `Origin`. Pure."""

import re
from functools import lru_cache

from ..errors import ForbiddenError
from .credentials import Headers, by_name, values_of

_HOST = re.compile(rb"([^:]+|\[[^]]+\])(?::[0-9]{1,5})?")
_LOCAL_HOSTS = {b"127.0.0.1", b"localhost", b"[::1]"}


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
    headers = by_name(headers)
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


def is_own_page(headers: Headers, allowed_origins: tuple[str, ...]) -> bool:
    """Whether the `Origin`, if there is one, is a page at this very host: one that is allowed is not.

    A proxy may end TLS, so either scheme fits, unless an allowed origin with this host names one.
    """
    headers = by_name(headers)
    here = b"".join(values_of(headers, b"host")).lower()
    named = {one.encode() for one in allowed_origins if one.partition("://")[2].encode() == here}
    return all(
        origin in named if named else origin.partition(b"://")[2].lower() == here
        for origin in values_of(headers, b"origin")
    )


def is_foreign_site(headers: Headers) -> bool:
    """Whether the browser says that a page of another origin sends the request."""
    return not {*values_of(headers, b"sec-fetch-site")} <= {b"same-origin", b"none"}
