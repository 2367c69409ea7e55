"""How the settings about users are read: of a trusted proxy, and of JWT. `parsers.py` has the others."""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

MOST_ENTRIES = 1000
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
# What the gateway or the server reads itself.
_READ_HEADERS = re.compile(
    r"(?i)authorization|cookie|host|origin|connection|upgrade|x-session-token|x-browser-key"
    r"|x-last-sequence|x-epoch|last-event-id|idempotency-key|(sec|content|transfer|ce)-.*"
)
_USER = re.compile(r"[!-~]{1,1000}=[!-~]{1,3000}")
_LOCAL = ("127.0.0.1", "localhost", "::1")


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError


def _header(text: str) -> str | None:
    _check(not text or bool(_HEADER.fullmatch(text) and not _READ_HEADERS.fullmatch(text)))
    return text or None


def _words(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _proxies(text: str) -> tuple[str, ...]:
    peers = _words(text)
    for peer in peers:
        if peer != "unix":
            network = ipaddress.ip_network(peer)
            _check(network.prefixlen > 0)  # a network of everybody is no proxy
            # An IPv4 peer is compared as such, so a mapped network would never match.
            _check(getattr(network.network_address, "ipv4_mapped", None) is None)
    return peers


def _users(text: str) -> tuple[str, ...]:
    entries = tuple(text.split())
    _check(len(entries) <= MOST_ENTRIES and all(_USER.fullmatch(entry) for entry in entries))
    return entries


def _jwks(text: str) -> str | None:
    _check(text.isprintable() and text == text.strip())
    if "://" in text:  # without TLS somebody on the way could put in keys of their own
        parts = urlsplit(text)
        _check(parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL))
        _check(bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc)
    return text or None


def _text(text: str) -> str | None:
    _check(text.isprintable() and text == text.strip())
    return text or None


def _claim(text: str) -> str:
    _check(bool(text))
    return _text(text) or ""


USER_PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "trusted_user_header": (_header, "a header's name like X-Forwarded-User, or nothing"),
    "trusted_proxies": (
        _proxies,
        "addresses or networks like 10.0.0.5 or 10.0.0.0/24, or unix, separated by commas",
    ),
    "trusted_users": (
        _users,
        "entries like alice@example.org=admin, bob=read:git.*,workflow.* or *=read, separated by spaces",
    ),
    "jwt_jwks": (_jwks, "the path of a JWKS, its https:// address, or nothing"),
    "jwt_issuer": (_text, "what the claim iss of the tokens says, exactly, or nothing"),
    "jwt_audience": (_words, "what the claim aud says, several separated by commas"),
    "jwt_scopes_claim": (_claim, "the name of a claim"),
}
