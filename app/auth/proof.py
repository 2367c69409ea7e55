"""How a gateway proves to a client of its state folder that it has the session token. Pure.

After a crash, another user's process may listen on the gateway's port. So the client first sends a
nonce. The gateway answers with a keyed hash of the nonce and of the local address of the connection.
Another process cannot make that hash without the session token, and cannot get it from the real
gateway, which has another address. The client then sends, in place of the session token, a value that
is valid only at this address and in this run of the gateway. `sightline_client.proof` has the same
functions.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

NONCE = re.compile(r"[A-Za-z0-9_-]{32,128}")


def proof(token: str, nonce: str, run: str, address: str) -> str:
    """The answer to a challenge, made with the session token; `run` names a gateway's run."""
    return _hmac(token, "sightline proof", nonce, run, address)


def run_token(token: str, run: str, address: str) -> str:
    """The value that replaces the session token in this run, on connections to this address."""
    return _hmac(token, "sightline run token", run, address)


def hook_token(token: str) -> str:
    """What the hooks of agents show. It counts for posting hooks alone, as it stands in settings files."""
    return _hmac(token, "sightline hook token")


@lru_cache(maxsize=128)  # parsing takes longer than everything else that a token needs
def address_of(host: str, port: int) -> str:
    """An IP address and port as text, the same at both ends of a connection."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"{mapped or address} {port}"


def arrived_at(scope: Mapping[str, object]) -> str | None:
    """The local address of a request's connection; None if it is not a TCP connection."""
    host, port = cast(tuple[str, int | None], scope.get("server") or ("", None))
    try:
        return None if port is None else address_of(host, port)
    except ValueError:  # a name: not from a socket
        return None


def _hmac(token: str, *parts: str) -> str:
    text = "\n".join(parts).encode("utf-8", "replace")  # `run` may be any text
    return hmac.digest(token.encode(), text, hashlib.sha256).hex()
