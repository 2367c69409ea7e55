"""The replay store: what it keeps, and what a client that resumes gets."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from app.channels.filters import EventFilter
from app.channels.replay import Replay, ReplayStore
from app.events import Event, Gap, Position
from tests.kit.examples import up_to
from tests.support import EPOCH, brief, make_event

ALL = EventFilter()
SIZE = len(make_event(1).encoded)


def store_of(
    *types: str, window_s: float = 30, max_events: int = 100, max_bytes: int = 100_000
) -> ReplayStore:
    """A store that got one event of each type, one second apart from second 0."""
    store = ReplayStore(EPOCH, window_s, max_events, max_bytes)
    for number, type_ in enumerate(types, 1):
        store.append(make_event(number, type_, at=number - 1))
    return store


def resume(
    store: ReplayStore,
    number: int,
    epoch: str | None = EPOCH,
    event_filter: EventFilter = ALL,
    now: float = 0,
    limit: int = 100,
    max_bytes: int = 100_000,
) -> Replay:
    return store.resume(Position(number, epoch), event_filter, now, limit, max_bytes)


def numbers(replay: Replay) -> list[object]:
    return [brief(event) for event in replay.events]


def test_an_event_out_of_turn_is_refused_and_changes_nothing() -> None:
    store = store_of("a.x")
    with pytest.raises(ValueError, match="expected number 2, got 3"):
        store.append(make_event(3))
    assert (store.head, len(store)) == (1, 1)


def test_an_event_exactly_as_old_as_the_window_is_kept_and_an_older_one_is_not() -> None:
    store = store_of("a.x", "a.x", window_s=30)
    store.expire(30.0)
    assert store.first == 1
    store.expire(30.001)
    assert (store.first, len(store), store.head) == (2, 1, 2)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    store = store_of(*["a.x"] * 5, max_events=3)
    assert (len(store), store.first, store.head) == (3, 3, 5)


def test_the_oldest_goes_when_there_are_too_many_bytes() -> None:
    store = store_of(*["a.x"] * 5, max_bytes=2 * SIZE)
    assert (len(store), store.first, store.head) == (2, 4, 5)


def test_an_event_bigger_than_the_whole_store_is_numbered_and_not_kept() -> None:
    store = store_of("a.x", "a.x", max_bytes=SIZE - 1)
    assert (len(store), store.first, store.head) == (0, 3, 2)
    assert resume(store, 0).gaps == (Gap(1, 2, 2, "expired"),)


def test_after_gives_matching_events_oldest_first() -> None:
    store = store_of("a.x", "b.y", "a.x", "b.y")
    assert [brief(e) for e in store.after(1, EventFilter(["b.*"]))] == [2, 4]
    assert store.after(4, ALL) == []


def test_a_client_gets_everything_after_its_position() -> None:
    replay = resume(store_of("a.x", "b.y", "a.x"), 1)
    assert (numbers(replay), replay.gaps, replay.resumed) == ([2, 3], (), True)


def test_a_client_at_the_head_resumes_with_nothing() -> None:
    for store in (store_of(), store_of("a.x", "a.x")):
        replay = resume(store, store.head)
        assert (replay.events, replay.gaps, replay.resumed) == ((), (), True)


def test_a_number_without_an_epoch_is_of_the_current_one() -> None:
    replay = resume(store_of("a.x", "a.x"), 1, epoch=None)
    assert (numbers(replay), replay.resumed) == ([2], True)


@pytest.mark.parametrize(("number", "epoch"), [(1, "other"), (3, EPOCH), (3, None)])
def test_another_epoch_or_a_number_above_the_head_replays_all_that_is_retained(
    number: int, epoch: str | None
) -> None:
    replay = resume(store_of("a.x", "a.x"), number, epoch)
    assert replay.gaps == (Gap(None, None, None, "epoch_changed"),)
    assert (numbers(replay), replay.resumed) == ([1, 2], False)


def test_another_epoch_over_the_limit_has_two_gaps() -> None:
    replay = resume(store_of(*["a.x"] * 5), 9, "other", limit=2)
    assert replay.gaps == (
        Gap(None, None, None, "epoch_changed"),
        Gap(1, 3, 3, "replay_limit"),
    )
    assert numbers(replay) == [4, 5]


def test_a_change_of_epoch_is_reported_even_to_an_empty_filter() -> None:
    replay = resume(store_of("a.x"), 9, "other", EventFilter(()))
    assert [gap.reason for gap in replay.gaps] == ["epoch_changed"]
    assert replay.events == ()


def test_what_expired_after_the_position_is_counted_for_a_filter_of_everything() -> None:
    replay = resume(store_of(*["a.x"] * 5), 1, now=32.5)  # 1 to 3 are over 30 seconds old
    assert replay.gaps == (Gap(2, 3, 2, "expired"),)
    assert (numbers(replay), replay.resumed) == ([4, 5], False)


def test_what_expired_is_not_counted_for_any_other_filter() -> None:
    replay = resume(store_of(*["a.x"] * 5), 1, event_filter=EventFilter(["a.*"]), now=32.5)
    assert replay.gaps == (Gap(2, 3, None, "expired"),)


def test_what_expired_at_or_before_the_position_is_no_loss() -> None:
    replay = resume(store_of(*["a.x"] * 5), 3, now=32.5)
    assert (numbers(replay), replay.gaps) == ([4, 5], ())


def test_a_filter_of_nothing_loses_nothing() -> None:
    replay = resume(store_of("a.x", "a.x"), 0, event_filter=EventFilter(()), now=1000)
    assert (replay.events, replay.gaps, replay.resumed) == ((), (), True)


def test_exactly_the_limit_is_no_loss_and_one_more_is() -> None:
    assert resume(store_of(*["a.x"] * 3), 0, limit=3).resumed
    replay = resume(store_of(*["a.x"] * 4), 0, limit=3)
    assert replay.gaps == (Gap(1, 1, 1, "replay_limit"),)
    assert (numbers(replay), replay.resumed) == ([2, 3, 4], False)


def test_the_limit_counts_and_names_matching_events_only() -> None:
    store = store_of("b.y", "a.x", "b.y", "a.x", "a.x", "b.y", "a.x")
    replay = resume(store, 0, event_filter=EventFilter(["a.x"]), limit=1)
    assert replay.gaps == (Gap(2, 5, 3, "replay_limit"),)
    assert numbers(replay) == [7]


def test_the_bytes_of_a_queue_limit_a_replay_too() -> None:
    assert resume(store_of(*["a.x"] * 3), 0, max_bytes=3 * SIZE).resumed
    replay = resume(store_of(*["a.x"] * 3), 0, max_bytes=3 * SIZE - 1)
    assert replay.gaps == (Gap(1, 1, 1, "replay_limit"),)
    assert numbers(replay) == [2, 3]


def test_expired_comes_before_replay_limit_and_they_do_not_overlap() -> None:
    replay = resume(store_of(*["a.x"] * 6), 0, now=31.5, limit=1)
    assert replay.gaps == (Gap(1, 2, 2, "expired"), Gap(3, 5, 3, "replay_limit"))
    assert numbers(replay) == [6]


def test_bytes_of_what_another_epoch_has_replaced_are_free_again() -> None:
    store = store_of("a.x", "a.x", max_bytes=2 * SIZE)
    store.begin("epoch2", 0)
    for number in (1, 2):
        store.append(make_event(number))
    assert len(store) == 2


class Counting(deque[Any]):
    """Counts the items that are read."""

    reads = 0

    def __getitem__(self, index: Any) -> Any:
        Counting.reads += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("all retained items are read")

    __reversed__ = __iter__


@pytest.mark.parametrize("types", [(), ("b.rare",), ("*.often", "b.rare")])
def test_a_resume_and_a_page_read_what_they_return_and_not_what_is_retained(
    types: tuple[str, ...],
) -> None:
    retained = 20_000
    names = ["b.rare" if number % 100 == 0 else "a.often" for number in range(retained)]
    store = store_of(*names, window_s=retained, max_events=retained, max_bytes=10**9)
    store._events = Counting(store._events)
    store._by_type = {name: Counting(numbers) for name, numbers in store._by_type.items()}
    event_filter = EventFilter(types) if types else ALL
    Counting.reads = 0
    assert len(resume(store, 0, event_filter=event_filter, limit=100).events) == 100
    assert len(store.after(retained // 2, event_filter, 100)) == 100
    assert Counting.reads < 4 * 200 + 100  # an event and its number each, and the searches


def scanned(
    store: ReplayStore, position: Position, event_filter: EventFilter, limit: int, max_bytes: int
) -> Replay:
    """What `resume` returns, by a scan of everything."""
    gap = store.gap_before(position, event_filter)
    after = 0 if gap and gap.reason == "epoch_changed" else position.sequence_number
    found = [one for one in store._events if one.sequence_number > after]
    found = [one for one in found if event_filter.matches(one.type)]
    assert store.after(after, event_filter) == found
    assert store.after(after, event_filter, limit) == found[:limit]
    kept: list[Event] = []
    for event in reversed(found):
        if len(kept) == limit or sum(len(one.encoded) for one in [*kept, event]) > max_bytes:
            break
        kept.insert(0, event)
    gaps = [gap] if gap else []
    if lost := found[: len(found) - len(kept)]:
        first, last = lost[0].sequence_number, lost[-1].sequence_number
        gaps.append(Gap(first, last, len(lost), "replay_limit"))
    return Replay(tuple(gaps), tuple(kept), resumed=not gaps)


@settings(max_examples=up_to(150))
@given(
    types=st.lists(st.sampled_from(["a.x", "a.y", "b.x", "c.z"]), min_size=4, max_size=16),
    bounds=st.tuples(st.just(16), st.integers(6, 16), st.integers(6 * SIZE, 16 * SIZE)),
    patterns=st.sampled_from([("*",), (), ("a.*",), ("*.x",), ("b.x", "c.z"), ("d.*",)]),
    number=st.integers(0, 18),
    epoch=st.sampled_from([None, EPOCH, EPOCH, "other"]),
    limit=st.integers(0, 12),
    max_bytes=st.integers(0, 12 * SIZE),
    now=st.integers(0, 22),
)
def test_a_resume_is_that_of_a_scan(
    types: list[str],
    bounds: tuple[int, int, int],
    patterns: tuple[str, ...],
    number: int,
    epoch: str | None,
    limit: int,
    max_bytes: int,
    now: int,
) -> None:
    window_s, max_events, most_bytes = bounds
    store = store_of(*types, window_s=window_s, max_events=max_events, max_bytes=most_bytes)
    store.expire(now)
    position, event_filter = Position(number, epoch), EventFilter(patterns)
    expected = scanned(store, position, event_filter, limit, max_bytes)
    assert store.resume(position, event_filter, now, limit, max_bytes) == expected
    assert sum(map(len, store._by_type.values())) == len(store)
