"""`Room`: bounds the connections of a server, and chooses which one to close. Pure."""

import ipaddress
from functools import lru_cache
from typing import Protocol

from ..metrics import Counters


class Member(Protocol):
    """A connection, as `Room` sees it."""

    @property
    def peer(self) -> str:
        """The client's network address: see `peer_of`."""

    @property
    def known(self) -> bool:
        """Whether it is authenticated; such a connection is never closed to make room."""

    @property
    def waiting(self) -> bool:
        """Whether the gateway waits for this client."""

    def make_room(self) -> None:
        """End at once, with an answer if that needs no waiting."""


@lru_cache(maxsize=1024)
def peer_of(host: str | None) -> str:
    """The address that connections are counted by: an IPv4 address, or a /64 network of IPv6."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return "local"  # a Unix socket
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(address), 64), False))
    return str(address)


class Room:
    """The unauthenticated connections of one server, by peer, in the order that they began to wait.

    If there are too many, the peer with the most connections loses the one that has waited longest,
    so one peer cannot push out the others. The newest connection counts too.
    """

    def __init__(self, most: int, counters: Counters) -> None:
        self.most = most
        self.counters = counters
        self._peers: dict[str, dict[Member, None]] = {}

    def join(self, member: Member) -> None:
        """Add a connection, or move it to the end because a new wait begins."""
        members = self._peers.setdefault(member.peer, {})
        members.pop(member, None)
        members[member] = None

    def leave(self, member: Member) -> None:
        """Remove a connection. Idempotent."""
        members = self._peers.get(member.peer, {})
        members.pop(member, None)
        if not members:
            self._peers.pop(member.peer, None)

    def keep_within(self, connections: int) -> None:
        """End one connection if there are more than the server holds."""
        if connections > self.most and (first := self._first_to_go()) is not None:
            first.make_room()

    def _first_to_go(self) -> Member | None:
        for members in sorted(self._peers.values(), key=len, reverse=True):
            for member in tuple(members):
                if member.known:
                    self.leave(member)  # it stays authenticated
                elif member.waiting:
                    return member
        return None
