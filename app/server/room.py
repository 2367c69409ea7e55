"""`Room`: how many connections a server holds, and which of them makes room for a new one. Pure."""

import ipaddress
from typing import Protocol

from ..metrics import Counters


class Member(Protocol):
    """A connection, as the crowd sees it."""

    @property
    def peer(self) -> str:
        """Whose connection it is: see `peer_of`."""

    @property
    def known(self) -> bool:
        """Whether it has shown a good credential: such a connection never makes room."""

    @property
    def waiting(self) -> bool:
        """Whether the gateway waits for this client, and not the client for the gateway."""

    def make_room(self) -> None:
        """End at once; say why, as far as that can be said without waiting."""


def peer_of(host: str | None) -> str:
    """Whose share an address belongs to: one IPv4 address, one /64 network of IPv6."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return "local"  # a Unix socket
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(address), 64), False))
    return str(address)


class Room:
    """The connections of one server that may have to go, by peer; who began to wait last is last.

    Where there are too many, the peer with most of them loses the one that has waited for longest:
    one address cannot push out the others. The newest connection is among them.
    """

    def __init__(self, most: int, counters: Counters) -> None:
        self.most = most
        self.counters = counters
        self._peers: dict[str, dict[Member, None]] = {}

    def join(self, member: Member) -> None:
        """Add a connection, or move it to the end: what it is waited for begins now."""
        members = self._peers.setdefault(member.peer, {})
        members.pop(member, None)
        members[member] = None

    def leave(self, member: Member) -> None:
        """Remove a connection; twice is fine."""
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
                    self.leave(member)  # for good: a credential was shown
                elif member.waiting:
                    return member
        return None
