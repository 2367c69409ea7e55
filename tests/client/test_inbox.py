"""The inbox of the consumer: bounded, and every loss counted at its place."""

import pytest
from hypothesis import given, strategies as st
from sightline_client import Event, Gap, Position
from sightline_client.inbox import Entry, Inbox


def event(number: int, epoch: str = "e", size: int = 1) -> Entry:
    item = Event({}, "a.b", "t", number, {}, "x" * size)
    return Entry(item, Position(number, epoch))


def gap(first: int, last: int, dropped: int | None, reason: str = "expired") -> Entry:
    return Entry(Gap(first, last, dropped, reason), Position(last, "e"))


def change(epoch: str) -> Entry:
    return Entry(Gap(None, None, None, "epoch_changed"), Position(0, epoch))


def taken(inbox: Inbox) -> list[Entry]:
    entries = []
    while (entry := inbox.take()) is not None:
        entries.append(entry)
    assert len(inbox) == 0
    return entries


def test_the_oldest_are_dropped_and_one_gap_says_which() -> None:
    inbox = Inbox()
    for number in range(1, 3001):
        inbox.put(event(number))
    first, *rest = taken(inbox)
    assert first == gap(1, 2000, 2000, "slow_consumer")
    assert rest == [event(number) for number in range(2001, 3001)]
    inbox.put(event(3001))
    assert taken(inbox) == [event(3001)]


def test_a_loss_that_was_taken_is_not_counted_again() -> None:
    inbox = Inbox(1)
    for number in (1, 2, 3):
        inbox.put(event(number))
    assert inbox.take() == gap(1, 2, 2, "slow_consumer")
    inbox.put(event(4))
    assert taken(inbox) == [gap(3, 3, 1, "slow_consumer"), event(4)]


def test_large_events_are_bounded_by_their_size() -> None:
    inbox = Inbox(1000, 100)
    for number in (1, 2, 3):
        inbox.put(event(number, size=60))
    assert taken(inbox) == [gap(1, 2, 2, "slow_consumer"), event(3, size=60)]
    inbox.put(event(4, size=1000))
    assert taken(inbox) == [event(4, size=1000)]


def test_gaps_of_the_gateway_are_merged_into_the_loss() -> None:
    inbox = Inbox(1)
    for entry in (event(1), gap(2, 9, 5), event(10), event(11)):
        inbox.put(entry)
    assert taken(inbox) == [gap(1, 10, 7, "slow_consumer"), event(11)]
    for entry in (event(12), gap(13, 20, None), event(21)):
        inbox.put(entry)
    assert taken(inbox) == [gap(12, 20, None, "slow_consumer"), event(21)]


def test_a_change_of_the_epoch_is_never_dropped() -> None:
    inbox = Inbox(1)
    for entry in (event(7, "e"), change("f"), event(1, "f"), event(2, "f"), event(3, "f")):
        inbox.put(entry)
    lost = Entry(Gap(1, 2, 2, "slow_consumer"), Position(2, "f"))
    assert taken(inbox) == [gap(7, 7, 1, "slow_consumer"), change("f"), lost, event(3, "f")]
    for entry in (event(4, "f"), change("g"), event(1, "g"), change("h"), event(1, "h")):
        inbox.put(entry)
    lost = Entry(Gap(4, 4, 1, "slow_consumer"), Position(4, "f"))
    assert taken(inbox) == [lost, change("h"), event(1, "h")]


def test_positions_alone_take_no_room() -> None:
    inbox = Inbox(2)
    for number in range(1, 100):
        inbox.put(Entry(None, Position(number, "e")))
    assert taken(inbox) == [Entry(None, Position(99, "e"))]


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="queue_size is 0: give at least 1"):
        Inbox(0)


@given(st.integers(1, 5), st.lists(st.sampled_from(["put", "put", "take", "gap", "mark"])))
def test_every_number_is_received_or_counted_once_and_in_order(
    size: int, actions: list[str]
) -> None:
    inbox, number, heard = Inbox(size), 0, list[tuple[int, int]]()
    position = 0

    def take() -> bool:
        nonlocal position
        if (entry := inbox.take()) is None:
            return False
        assert entry.after is not None
        assert entry.after.sequence_number > position
        position = entry.after.sequence_number
        if isinstance(entry.item, Event):
            heard.append((entry.item.sequence_number, 1))
        elif entry.item is not None:
            assert entry.item.from_sequence_number is not None
            assert entry.item.dropped is not None
            heard.append((entry.item.from_sequence_number, entry.item.dropped))
        return True

    put = lost = 0
    for action in actions:
        match action:
            case "put":
                number, put = number + 1, put + 1
                inbox.put(event(number))
            case "gap":
                inbox.put(gap(number + 1, number + 3, 2))
                number, lost = number + 3, lost + 2
            case "mark":
                number += 1
                inbox.put(Entry(None, Position(number, "e")))
            case "take":
                take()
        assert len(inbox) <= size + 1
    while take():
        pass
    assert sum(count for _, count in heard) == put + lost
    assert heard == sorted(heard)
    assert position == number
