"""Makes the gateway of a state folder prove itself before any secret is sent to its address.

A port does not identify its listener: after a crash it may be another user's process. What is
sent after the proof is not the session token but a value that counts at this address and in this run
of the gateway alone. The gateway's own side is `app.auth.proof`.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import msgspec

from sightline_client.address import Address
from sightline_client.errors import AddressError, StrangerError, UnreachableError

ANSWER_S = 5.0
MOST_BYTES = 64 * 1024


class _Proof(msgspec.Struct):
    run: str
    proof: str


def prove(address: Address) -> Address:
    """The address with what may be sent there; at once where its token was given, not found in a file.

    Raises:
        StrangerError: what listens there is not the gateway of the state folder.
        UnreachableError: no answer in time.
    """
    if not address.kept:
        return address
    nonce = secrets.token_urlsafe(32)
    try:
        body, place = _ask(address.url, json.dumps({"nonce": nonce}).encode())
    except (OSError, ValueError) as error:
        raise UnreachableError(f"{address.url} does not answer: {error}") from error
    try:
        shown = msgspec.json.decode(body, type=_Proof)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        shown = _Proof("", "")
    expected = _hmac(address.kept, "sightline proof", nonce, shown.run, place)
    if not hmac.compare_digest(expected.encode(), shown.proof.encode("utf-8", "replace")):
        raise StrangerError(
            f"what answers at {address.url} is not the gateway of this state folder; no secret was"
            " sent to it: see which program listens there. Through a tunnel or proxy, give the token"
        )
    return Address(address.url, _hmac(address.token, "sightline run token", shown.run, place))


class Proven:
    """The headers that let requests in, for as long as the gateway is the one that proved itself."""

    def __init__(self, find: Callable[[], Address]) -> None:
        self.found = find()
        self._find = find
        self._ready = None if self.found.kept else self.found

    @property
    def headers(self) -> dict[str, str]:
        """The credential; asks for a proof first, where there is none, and raises as `prove`."""
        if self._ready is None:
            with suppress(AddressError):  # a gateway that is down may have taken its files along
                self.found = self._find()
            self._ready = prove(self.found)
        return self._ready.headers

    async def headers_soon(self) -> dict[str, str]:
        """`headers`, without blocking the event loop."""
        return self.headers if self._ready else await asyncio.to_thread(lambda: self.headers)

    def refused(self) -> bool:
        """After a 401: whether to try once more, because the gateway may have started again."""
        if not self.found.kept:
            return False
        self._ready = None
        return True


def _hmac(token: str, *parts: str) -> str:
    text = "\n".join(parts).encode("utf-8", "replace")
    return hmac.digest(token.encode(), text, hashlib.sha256).hex()


def _ask(url: str, body: bytes) -> tuple[bytes, str]:
    """The answer to a challenge, and where it came from. Bounded in time and size; no proxy."""
    parts = urlsplit(url)
    ends_at = time.monotonic() + ANSWER_S
    with ExitStack() as opened:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        line = opened.enter_context(socket.create_connection((parts.hostname, port), ANSWER_S))
        here, there = line.getsockname(), line.getpeername()
        if here[0] != there[0]:
            raise StrangerError(
                f"{url} is not on this machine, where the gateway of a state folder is; no secret"
                " was sent to it: give the token to send it there"
            )
        if parts.scheme == "https":
            context = ssl.create_default_context()
            line = opened.enter_context(context.wrap_socket(line, server_hostname=parts.hostname))
        head = (
            f"POST {parts.path}/api/challenge HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Connection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        line.sendall(head.encode() + body)
        answer = bytearray()
        while len(answer) <= MOST_BYTES:
            line.settimeout(max(0.001, ends_at - time.monotonic()))
            chunk = line.recv(MOST_BYTES)
            if not chunk:
                break
            answer += chunk
    address = ipaddress.ip_address(there[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return bytes(answer).partition(b"\r\n\r\n")[2], f"{mapped or address} {there[1]}"
