"""What waits for the disk: bounded by count and bytes, whatever else waits with it."""

import pytest

from app.events import Event
from app.journal import pending
from app.journal.pending import Pending, Start
from tests.kit.journal import event


def numbers(taken: Start | list[Event]) -> list[int]:
    assert isinstance(taken, list)
    return [one.sequence_number for one in taken]


@pytest.mark.parametrize("bound", ["MAX_WAITING", "MAX_WAITING_BYTES"])
def test_the_oldest_events_are_dropped_and_the_start_of_the_epoch_stays(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(event(1, "x", "ada").encoded)
    monkeypatch.setattr(pending, bound, 5 if bound == "MAX_WAITING" else 5 * size)
    waiting = Pending()
    waiting.begin(Start("e", 0))  # no file could be opened yet, so nothing has taken it
    for number in range(1, 10):
        waiting.extend([event(number, "x", "ada")])
        waiting.drop_excess()
        assert len(waiting) <= 6
    first = waiting.take()
    assert first == Start("e", 0)
    left = numbers(waiting.take())
    assert left == list(range(waiting.lost + 1, 10))
    assert waiting.lost >= 4


def test_an_excess_is_dropped_once_and_its_last_number_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "MAX_WAITING", 4)
    waiting = Pending()
    for number in range(1, 8):
        waiting.extend([event(number, "x", "ada")])
    assert (waiting.drop_excess(), waiting.lost) == (3, 3)
    assert (waiting.drop_excess(), waiting.lost) == (0, 3)
    assert numbers(waiting.take()) == [4, 5, 6, 7]


def test_a_batch_ends_before_another_epoch() -> None:
    waiting = Pending()
    waiting.extend([event(1, "x", "ada")])
    waiting.begin(Start("f", 7))
    waiting.extend([event(8, "x", "ada")])
    assert numbers(waiting.take()) == [1]
    assert waiting.take() == Start("f", 7)
    assert numbers(waiting.take()) == [8]


def test_a_dropped_number_of_an_epoch_that_ended_is_not_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "MAX_WAITING", 4)
    waiting = Pending()
    waiting.extend([event(number, "x", "ada") for number in (91, 92, 93)])
    waiting.begin(Start("f", 0))  # publishers wait for the numbers 1 and 2 of this one now
    waiting.extend([event(number, "x", "ada") for number in (1, 2)])
    assert (waiting.drop_excess(), waiting.lost) == (0, 2)
    waiting.extend([event(number, "x", "ada") for number in (3, 4, 5)])
    assert (waiting.drop_excess(), waiting.lost) == (1, 4)
    assert waiting.take() == Start("f", 0)
    assert numbers(waiting.take()) == [2, 3, 4, 5]
