"""Reads the credentials of a request: tokens, login cookies, browser keys. Decides nothing."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, cast
from urllib.parse import parse_qsl

import msgspec

from .access import FULL, NOTHING, Access

ByName = dict[bytes, list[bytes]]  # header names in lower case, each with all of its values
Headers = Iterable[tuple[bytes, bytes]] | ByName
AuthenticatedBy = Literal["token", "cookie", "user", "jwt"]
KEY_HEADER = "X-Browser-Key"
KEY_PARAMETER = "browser_key"  # only on GET: `EventSource` cannot send headers
KEY_SUBPROTOCOL = b"key."
TOKEN_SUBPROTOCOL = b"token."
SIGNS = "sightline_signs"  # in the scope's state: whether events say which token published them
_PORT = re.compile(rb":([0-9]+)\Z")


class Credential:
    """What authenticated a request. Its connections are closed when it ends; `ended` stays true."""

    __slots__ = ("_ended", "_left_s", "access", "id", "kind")

    def __init__(
        self,
        kind: AuthenticatedBy,
        id_: str = "",
        access: Access = FULL,
        left_s: Callable[[], float] | None = None,
    ) -> None:
        """`id_` is the id of the browser session or named token, empty for all others.

        `left_s` returns the seconds to the end of a credential that ends by itself.
        """
        self.kind: AuthenticatedBy = kind
        self.id = id_
        self.access = access
        self._ended = False
        self._left_s = left_s

    @property
    def left_s(self) -> float | None:
        """Seconds until the credential ends by itself; None if others end it."""
        return None if self._left_s is None else self._left_s()

    @property
    def ended(self) -> bool:
        """Whether the credential has ended."""
        return self._ended or (self._left_s is not None and self._left_s() <= 0)

    @ended.setter
    def ended(self, value: bool) -> None:
        self._ended = value


def credential_in(scope: Mapping[str, object]) -> Credential:
    """The credential of a guarded request; one that may do nothing where no guard ran."""
    state = cast(Mapping[str, object], scope.get("state") or {})
    credential = state.get("credential")
    return credential if isinstance(credential, Credential) else Credential("token", "", NOTHING)


def access_in(scope: Mapping[str, object]) -> Access:
    """What the caller of a guarded route may do; nothing where no guard ran."""
    return credential_in(scope).access


class Shown(msgspec.Struct):
    """Every credential in a request, with repetitions."""

    tokens: list[bytes]
    cookies: list[bytes]
    keys: list[bytes]


def shown(headers: Headers, query: bytes = b"") -> Shown:
    """Read the credentials; pass `query` only if a browser key in the query is allowed."""
    headers = by_name(headers)
    subprotocols = [
        item.strip()
        for value in values_of(headers, b"sec-websocket-protocol")
        for item in value.split(b",")
    ]
    bearers = []
    for value in values_of(headers, b"authorization"):
        scheme, _, token = value.partition(b" ")
        if scheme.lower() == b"bearer":  # other schemes may belong to a proxy
            bearers.append(token.strip())
    keys = [*values_of(headers, KEY_HEADER.lower().encode())]
    if query:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
        keys += [value.encode("latin-1") for name, value in pairs if name == KEY_PARAMETER]
    return Shown(
        tokens=[
            *values_of(headers, b"x-session-token"),
            *bearers,
            *_behind(TOKEN_SUBPROTOCOL, subprotocols),
        ],
        cookies=_login_cookies(headers),
        keys=[*keys, *_behind(KEY_SUBPROTOCOL, subprotocols)],
    )


def by_name(headers: Headers) -> ByName:
    """Group headers by their names; headers that are grouped already are returned as they are."""
    if isinstance(headers, dict):
        return headers
    found: ByName = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """All values of the header `name`, which is in lower case. Do not change the list."""
    if isinstance(headers, dict):
        return headers.get(name, [])
    length = len(name)  # compared first: most headers have another one
    return [value for key, value in headers if len(key) == length and key.lower() == name]


def cookie_name(headers: Headers) -> str:
    """The login cookie's name, with the port, because browsers share cookies among ports.

    The port is the one that the browser sees, so tunnels to several gateways do not collide.
    """
    port = _PORT.search(b"".join(values_of(headers, b"host")))
    return f"sightline_{port[1].decode() if port else 'default'}"


def _login_cookies(headers: ByName) -> list[bytes]:
    lines = values_of(headers, b"cookie")
    if not lines:
        return []
    name = cookie_name(headers).encode()
    pairs = (item.partition(b"=") for line in lines for item in line.split(b";"))
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _behind(prefix: bytes, items: list[bytes]) -> list[bytes]:
    return [item.removeprefix(prefix) for item in items if item.startswith(prefix)]
