"""How a gateway proves to a client of its own state folder that it is that gateway. Pure.

A port says nothing about who listens on it: after a crash it may be another user's process. The
client therefore sends a nonce first. The answer is made with the session token, which a stranger does
not have, and names the address that the connection arrived at, so a stranger cannot pass the nonce on
to the real gateway at another address. Then the client sends, in place of the session token, a value
that counts at this address and in this run of the gateway alone.
`sightline_client.proof` has the same functions.
"""

import hashlib
import hmac
import ipaddress
import re

NONCE = re.compile(r"[A-Za-z0-9_-]{32,128}")


def proof(token: str, nonce: str, run: str, address: str) -> str:
    """What only a holder of the session token can answer; `run` names a run of the gateway."""
    return _hmac(token, "sightline proof", nonce, run, address)


def run_token(token: str, run: str, address: str) -> str:
    """What counts as the session token in this run, on connections to this address."""
    return _hmac(token, "sightline run token", run, address)


def hook_token(token: str) -> str:
    """What the hooks of agents show. It counts for posting hooks alone, as it stands in settings files."""
    return _hmac(token, "sightline hook token")


def address_of(host: str, port: int) -> str:
    """An IP address and port, the same text at both ends of a connection."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"{mapped or address} {port}"


def _hmac(token: str, *parts: str) -> str:
    text = "\n".join(parts).encode("utf-8", "replace")  # a stranger may answer anything
    return hmac.digest(token.encode(), text, hashlib.sha256).hex()
