"""`Room`: which connections are closed first when there are too many."""

from dataclasses import dataclass

import pytest

from app.metrics import Counters
from app.server import sockets as module
from app.server.room import Room, peer_of
from app.server.sockets import most_connections


@dataclass(eq=False)
class Member:
    peer: str = "10.0.0.1"
    known: bool = False
    waiting: bool = True
    gone: bool = False

    def make_room(self) -> None:
        self.gone = True


def full(*members: Member, most: int = 0) -> Room:
    room = Room(most, Counters())
    for member in members:
        room.join(member)
    return room


def test_while_there_is_room_no_connection_is_closed() -> None:
    member = Member()
    full(member, most=1).keep_within(1)
    assert not member.gone


def test_the_longest_waiting_goes_first_and_a_new_request_begins_a_new_wait() -> None:
    first, second = Member(), Member()
    room = full(first, second)
    room.join(first)
    room.keep_within(2)
    assert (first.gone, second.gone) == (False, True)


def test_a_connection_with_a_credential_or_a_pending_answer_stays_open() -> None:
    known, served, newest = Member(known=True), Member(waiting=False), Member()
    full(known, served, newest).keep_within(3)
    assert (known.gone, served.gone, newest.gone) == (False, False, True)
    known, served = Member(known=True), Member(waiting=False)
    full(known, served).keep_within(2)
    assert not known.gone
    assert not served.gone


def test_the_peer_with_most_connections_loses_one_however_old_the_others_are() -> None:
    alone = Member("10.0.0.2")
    crowd = [Member() for _ in range(3)]
    room = full(alone, *crowd)
    room.keep_within(4)
    assert [member.gone for member in (alone, *crowd)] == [False, True, False, False]


def test_a_peer_whose_connections_are_all_known_has_none_to_lose() -> None:
    crowd = [Member(known=True) for _ in range(3)]
    alone = Member("10.0.0.2")
    full(*crowd, alone).keep_within(4)
    assert alone.gone


def test_a_connection_that_left_is_not_looked_for() -> None:
    member = Member()
    room = full(member)
    room.leave(member)
    room.leave(member)
    room.keep_within(1)
    assert not member.gone


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "local"),
        (None, "local"),
    ],
)
def test_a_share_is_an_address_or_a_network_of_ipv6(host: str | None, peer: str) -> None:
    assert peer_of(host) == peer


@pytest.mark.parametrize(("limit", "at_least"), [(64, 10), (1024, 800), (100_000, 2058)])
def test_few_descriptors_leave_connections(
    monkeypatch: pytest.MonkeyPatch, limit: int, at_least: int
) -> None:
    monkeypatch.setattr(module.os, "listdir", lambda _: ["0"] * 20)
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (limit, limit))
    assert at_least <= most_connections(10) < limit
