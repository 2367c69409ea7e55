"""`Endpoint`: one entry of `SIGHTLINE_WEBHOOKS`, and the secrets that sign what it gets. Pure."""

import base64
import binascii
import re
from urllib.parse import unquote, urlsplit

import msgspec

SLACK = "slack:"
SECRET_PREFIX = "whsec_"
SECRET_BYTES = (24, 64)  # the bounds of Standard Webhooks
MAX_ENDPOINTS = 16
_PATTERN = r"(?:\*|(?:\*|[a-z][a-z0-9_]*)\.(?:\*|[a-z][a-z0-9_]*))"  # as in a client's filter
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_ENTRY = re.compile(rf"(slack:)?({_PATTERN}(?:,{_PATTERN})*)=(https?://[!-~]+)")


class Endpoint(msgspec.Struct, frozen=True):
    """Where events of some patterns go. `slack`: as a text for Slack, and unsigned."""

    patterns: tuple[str, ...]
    url: str
    slack: bool

    @property
    def host(self) -> str:
        """Host and port: all of the address that may be shown, as the rest can hold secrets."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def address(self) -> str:
        """The URL without user and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=self.host, fragment="").geturl()

    @property
    def authorization(self) -> str | None:
        """The header for the user and password in the URL; None if it has none."""
        user, _, password = urlsplit(self.url).netloc.rpartition("@")[0].partition(":")
        if not user and not password:
            return None
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        return "Basic " + base64.b64encode(pair).decode()


def endpoint_of(entry: str) -> Endpoint:
    """Read `patterns=URL` or `slack:patterns=URL`.

    Raises:
        ValueError: the entry has another form.
    """
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError(entry)
    slack, patterns, url = found.groups()
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""  # raises ValueError for one that is none
    host = parts.netloc.rpartition("@")[2].removesuffix(port)
    # With an unescaped `/` in the password, the host would be what stands before it.
    if _HOST.fullmatch(host) is None or "@" in "".join(parts[2:]):
        raise ValueError(entry)
    return Endpoint(tuple(patterns.split(",")), url, slack is not None)


def entries_of(text: str) -> tuple[str, ...]:
    """The entries of the setting, separated by spaces or lines.

    Raises:
        ValueError: an entry is malformed, or there are over 16.
    """
    entries = tuple(text.split())
    for entry in entries:
        endpoint_of(entry)
    if len(entries) > MAX_ENDPOINTS:
        raise ValueError(text)
    return entries


def secrets_of(text: str) -> tuple[str, ...]:
    """The secrets of the setting, separated by spaces: the first is the newest.

    Raises:
        ValueError: a secret is not `whsec_` and base64 of 24 to 64 bytes.
    """
    secrets = tuple(text.split())
    for secret in secrets:
        key_of(secret)
    return secrets


def key_of(secret: str) -> bytes:
    """The bytes that sign.

    Raises:
        ValueError: as `secrets_of`.
    """
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if not secret.startswith(SECRET_PREFIX) or not least <= len(key) <= most:
        raise ValueError("the wrong prefix or length")
    return key
