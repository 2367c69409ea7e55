"""`TrustedUsers`: the users that a trusted proxy has logged in and names in a header. Pure."""

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from ..channels.filters import EventFilter
from ..errors import ForbiddenError, InvalidPatternError, SettingsError, UnauthorizedError
from ..events import Clock
from ..settings import Settings
from .access import EVERYTHING, USER, Access, Scope, scope_of
from .credentials import Credential, Headers, values_of

UNIX = "unix"  # in the settings, and the peer of a connection over a Unix socket
OTHERS = "*"  # in the settings: every user who is not listed
# A connection asks the proxy again after this time, because the gateway cannot see a log-out there.
LIFETIME_S = 60 * 60.0
# No comma or space: some servers join the values of a header that is sent twice.
NAME = re.compile(r"[A-Za-z0-9._@+|:=/~-]{1,128}")
MOST_PATTERNS = 32  # of one scope, as of a named token
_SETTING = "SIGHTLINE_TRUSTED_USERS"


class TrustedUsers:
    """Who a trusted proxy says sends a request, and what that user may do."""

    def __init__(
        self, header: str, proxies: Iterable[str], entries: Iterable[str], clock: Clock
    ) -> None:
        """`entries` are like `alice=admin`, `bob=read:git.*,workflow.*` or `*=read`.

        Raises:
            SettingsError: an entry does not fit; it says which and why.
        """
        self._header = header
        self._name = header.lower().encode()
        proxies = tuple(proxies)
        self._trusts_unix = UNIX in proxies
        self._networks = [ipaddress.ip_network(one) for one in proxies if one != UNIX]
        self._clock = clock
        self._grants = _grants_of(entries)
        self._access = lru_cache(maxsize=1000)(self._access_of)

    def named_in(self, headers: Headers, peer: str | None) -> str | None:
        """The user whom the header names; None without the header.

        Raises:
            UnauthorizedError: the request does not come from a trusted proxy, or the header is no
                single name. It is refused and not ignored, so that a wrong setting is seen.
        """
        values = values_of(headers, self._name)
        if not values:
            return None
        if not self.trusts(peer):
            raise UnauthorizedError(
                f"the header {self._header} counts only from a proxy in SIGHTLINE_TRUSTED_PROXIES, and"
                f" this request comes from {peer or 'an unknown address'}: do not send the header, or"
                " add the proxy's address"
            )
        name = values[0].decode("latin-1")
        if len(values) > 1 or not NAME.fullmatch(name):
            raise UnauthorizedError(
                f"the header {self._header} must be sent once, with 1 to 128 of A-Z a-z 0-9"
                " . _ @ + | : = / ~ -: let the proxy replace what a client sends, and choose a claim"
                " such as the email address"
            )
        return name

    def trusts(self, peer: str | None) -> bool:
        """Whether the header counts on a connection from this address, or from `UNIX`."""
        if peer is None or peer == UNIX:
            return peer == UNIX and self._trusts_unix
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:  # a name: not from a socket
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def credential(self, name: str) -> Credential:
        """A new credential of this user, for one request; it ends after `LIFETIME_S`.

        Raises:
            ForbiddenError: the user is not listed, and nothing is said of others.
        """
        ends_at = self._clock.monotonic() + LIFETIME_S
        return Credential("user", "", self._access(name), lambda: ends_at - self._clock.monotonic())

    def _access_of(self, name: str) -> Access:
        granted = self._grants.get(name) or self._grants.get(OTHERS)
        if granted is None:
            raise ForbiddenError(
                f"the user {name!r} is not one of those who may use this gateway: add"
                f" {name}=read to {_SETTING}"
            )
        return Access(
            USER + name,
            granted,
            granted.get("read", EVERYTHING),
            granted.get("publish", EVERYTHING),
        )


def users_of(settings: Settings, clock: Clock) -> TrustedUsers | None:
    """The users of a trusted proxy; None without the setting.

    Raises:
        SettingsError: a header without trusted proxies, trusted proxies without a header, or an entry
            that does not fit.
    """
    header, proxies = settings.trusted_user_header, settings.trusted_proxies
    if header is None and (proxies or settings.trusted_users != Settings().trusted_users):
        raise SettingsError(
            f"SIGHTLINE_TRUSTED_PROXIES and {_SETTING} need SIGHTLINE_TRUSTED_USER_HEADER: set it to"
            " the header in which the proxy names the user, or remove them"
        )
    if header is None:
        return None
    if not proxies:
        raise SettingsError(
            "SIGHTLINE_TRUSTED_USER_HEADER needs SIGHTLINE_TRUSTED_PROXIES, the addresses from which"
            " it is believed: without them anybody could name any user. Give the proxy's address,"
            " such as 10.0.0.5 or 10.0.0.0/24, or unix for a Unix socket"
        )
    return TrustedUsers(header, proxies, settings.trusted_users, clock)


def _grants_of(entries: Iterable[str]) -> dict[str, dict[Scope, tuple[str, ...]]]:
    """By user, the scopes with their patterns."""
    grants: dict[str, dict[Scope, tuple[str, ...]]] = {}
    for entry in entries:
        name, _, grant = entry.rpartition("=")
        word, has_patterns, patterns = grant.partition(":")
        refuse = _refusal_of(entry)
        if name != OTHERS and not NAME.fullmatch(name):
            raise refuse(
                "a user has 1 to 128 of A-Z a-z 0-9 . _ @ + | : = / ~ -, or is * for others"
            )
        try:
            scope = scope_of(word)
        except ValueError:
            raise refuse("a scope is read, publish or admin") from None
        held = tuple(one for one in patterns.split(",") if one) if has_patterns else EVERYTHING
        if not 1 <= len(held) <= MOST_PATTERNS:
            raise refuse(f"give 1 to {MOST_PATTERNS} patterns behind the colon")
        try:
            EventFilter(held)
        except InvalidPatternError as error:
            raise refuse(str(error)) from None
        if scope in grants.setdefault(name, {}):
            raise refuse(f"the user has the scope {scope} twice: separate its patterns by commas")
        grants[name][scope] = held
        if "admin" in grants[name] and (has_patterns or set(grants[name].values()) != {EVERYTHING}):
            raise refuse("an admin may do everything and cannot be held to patterns")
    return grants


def _refusal_of(entry: str) -> Callable[[str], SettingsError]:
    return lambda why: SettingsError(f"{_SETTING}: {entry[:80]!r} does not fit: {why}")
