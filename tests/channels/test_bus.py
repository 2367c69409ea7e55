"""The bus: numbering, stamping, and the seam between replay and live."""

import re
from collections.abc import Callable

import msgspec
import pytest

from app.catalog.types import WorkflowStarted
from app.channels.bus import new_epoch
from app.channels.filters import EventFilter
from app.channels.frames import frame_header
from app.channels.groups import MAX_ROUTES
from app.channels.subscription import Subscription
from app.errors import InvalidPatternError, UnknownEventTypeError
from app.events import Gap, Position
from tests.support import EPOCH, FakeClock, brief, contents, drain, make_bus, publish


def test_an_epoch_is_new_each_time_and_well_formed() -> None:
    epochs = {new_epoch() for _ in range(100)}
    assert len(epochs) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", epoch) for epoch in epochs)


def test_numbers_begin_at_1_and_go_up_by_1_for_every_event() -> None:
    bus = make_bus(FakeClock())
    assert (bus.epoch, bus.head) == (EPOCH, 0)
    assert [brief(event) for event in publish(bus, "a.x", "b.y", "a.x")] == [1, 2, 3]
    assert bus.head == 3


def test_an_event_is_encoded_once_as_the_protocol_says() -> None:
    bus = make_bus(FakeClock(0.1239))
    contents = (b'{"k":"v"}', b'{"source":"s"}')
    event = bus.accept("a.x", bus.clock.timestamp(), 1, contents)
    assert msgspec.json.decode(event.encoded) == {
        "type": "a.x",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "sequence_number": 1,
        "data": {"k": "v"},
        "metadata": {"source": "s"},
    }
    assert event.timestamp == "2023-11-14T22:13:20.123Z"


def test_all_subscribers_get_the_same_object_with_the_same_number() -> None:
    bus = make_bus(FakeClock())
    every, some = bus.subscribe(), bus.subscribe("b.*")
    _, second = publish(bus, "a.x", "b.y")
    assert brief(every.take()) == 1
    assert every.take() is second
    assert some.take() is second


def test_code_in_the_process_has_an_event_at_once_and_a_connection_at_the_flush() -> None:
    bus = make_bus(FakeClock())
    inside, connection = bus.subscribe(), bus.subscribe()
    connection.fall_behind()
    publish(bus, "a.x", "a.x")
    assert (drain(inside), drain(connection)) == ([1, 2], [])
    bus.flush()
    assert (drain(inside), drain(connection)) == ([], [1, 2])


def test_a_connection_loses_and_doubles_nothing_where_it_changes_in_mid_turn() -> None:
    bus = make_bus(FakeClock(), queue_size=9)
    changes: list[Callable[[Subscription], object]] = [
        lambda one: one.fall_behind(),
        lambda one: one.refilter(EventFilter(["a.*"])),
        lambda one: one.position,
        lambda one: one.settle(),
    ]
    for change in changes:
        subscription = bus.subscribe()
        publish(bus, "a.x")
        subscription.fall_behind()
        publish(bus, "a.x")
        change(subscription)
        publish(bus, "a.x")
        bus.flush()
        assert drain(subscription) == [bus.head - 2, bus.head - 1, bus.head]


def test_a_connection_that_is_owed_events_of_this_turn_does_not_go_direct() -> None:
    class Writer:
        def write(self, frames: bytes) -> None:
            raise AssertionError("events before these are in the queue")

        def fail(self, error: Exception) -> None:
            raise error

    bus = make_bus(FakeClock())
    subscription = bus.subscribe()
    subscription.fall_behind()
    publish(bus, "a.x")
    assert not subscription.go_direct(Writer())
    publish(bus, "a.x")
    bus.flush()
    assert drain(subscription) == [1, 2]


def test_a_connection_gets_the_events_of_its_turn_before_the_gap_of_another_epoch() -> None:
    bus = make_bus(FakeClock())
    connection = bus.subscribe()
    connection.fall_behind()
    publish(bus, "a.x")
    bus.flush()
    publish(bus, "a.x")
    bus.begin("epoch2", 0)
    publish(bus, "a.x")
    bus.flush()
    assert drain(connection) == [(None, None, None, "epoch_changed"), 1]


def test_subscribing_takes_patterns_and_structs_and_is_live_from_now() -> None:
    bus = make_bus(FakeClock())
    publish(bus, "workflow.started")
    subscription = bus.subscribe("b.*", WorkflowStarted)
    publish(bus, "workflow.started", "a.x", "b.y")
    assert drain(subscription) == [2, 4]


def test_a_bad_subscription_is_refused_and_leaves_nothing() -> None:
    class Stranger(msgspec.Struct):
        pass

    bus = make_bus(FakeClock())
    with pytest.raises(InvalidPatternError):
        bus.subscribe("bad")
    with pytest.raises(UnknownEventTypeError):
        bus.subscribe(Stranger)
    assert bus.subscriptions == 0


def test_a_closed_subscription_gets_nothing_more() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()
    assert bus.subscriptions == 1
    publish(bus, "a.x")
    subscription.close()
    publish(bus, "a.x")
    assert (bus.subscriptions, drain(subscription)) == (0, [1])


def test_a_closed_subscription_stays_away_also_with_another_filter() -> None:
    bus = make_bus(FakeClock())
    stays, closed = bus.subscribe(), bus.subscribe()
    closed.close()
    closed.refilter(stays.filter)
    assert bus.subscriptions == 1


def test_joining_without_a_position_replays_nothing() -> None:
    bus = make_bus(FakeClock())
    publish(bus, "a.x")
    subscription, replay = bus.join(EventFilter())
    assert (replay.resumed, len(replay.events), drain(subscription), subscription.position) == (
        False,
        0,
        [],
        1,
    )


def test_joining_with_a_position_replays_then_goes_live_without_a_seam() -> None:
    bus = make_bus(FakeClock())
    publish(bus, "a.x", "a.x", "b.y")
    subscription, replay = bus.join(EventFilter(["a.*"]), Position(1, EPOCH))
    publish(bus, "a.x")
    assert (replay.resumed, len(replay.events), drain(subscription)) == (True, 1, [2, 4])


def test_joining_with_a_position_of_another_epoch_is_not_resumed() -> None:
    bus = make_bus(FakeClock())
    publish(bus, "a.x")
    subscription, replay = bus.join(EventFilter(), Position(7, "other"))
    assert (replay.resumed, len(replay.events)) == (False, 1)
    assert subscription.take() == Gap(None, None, None, "epoch_changed")
    assert drain(subscription) == [1]


@pytest.mark.parametrize(("replay_limit", "queue_size"), [(2, 9), (9, 2)])
def test_a_replay_is_bounded_by_the_limit_and_by_the_queue(
    replay_limit: int, queue_size: int
) -> None:
    bus = make_bus(FakeClock(), replay_limit=replay_limit, queue_size=queue_size)
    publish(bus, *["a.x"] * 5)
    subscription, replay = bus.join(EventFilter(), Position(0, EPOCH))
    assert (replay.resumed, len(replay.events)) == (False, 2)
    assert drain(subscription) == [(1, 3, 3, "replay_limit"), 4, 5]


def test_events_that_the_clock_expired_are_a_gap_at_the_join() -> None:
    clock = FakeClock()
    bus = make_bus(clock, window_s=30)
    publish(bus, "a.x")
    clock.advance(31)
    subscription, replay = bus.join(EventFilter(), Position(0, EPOCH))
    assert (replay.resumed, len(replay.events), drain(subscription)) == (
        False,
        0,
        [(1, 1, 1, "expired")],
    )


def test_unregistered_types_are_routed_without_growth() -> None:
    bus = make_bus(FakeClock(), queue_size=10_000, queue_max_bytes=10_000_000)
    subscription = bus.subscribe("*.x")
    for i in range(MAX_ROUTES + 10):
        publish(bus, f"a{i}.x", "a.y")
    assert len(bus.groups.routes) <= MAX_ROUTES
    assert len(subscription) == MAX_ROUTES + 10


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65535, "81 7e ff ff"),
        (65536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_a_frame_header_is_as_rfc_6455_section_5_2_says(size: int, header: str) -> None:
    assert frame_header(size) == bytes.fromhex(header)


def test_a_jump_within_the_epoch_is_an_expired_gap_for_subscriptions_behind() -> None:
    bus = make_bus(FakeClock())
    idle, behind = bus.subscribe(), bus.subscribe("a.*")
    publish(bus, "a.x", "a.x")
    while idle.take():
        pass
    bus.begin(EPOCH, 10)
    assert publish(bus, "a.x")[0].sequence_number == 11
    assert [brief(idle.take()) for _ in range(3)] == [(3, 10, None, "expired"), 11, None]
    assert [brief(behind.take()) for _ in range(3)] == [(1, 10, None, "expired"), 11, None]
    replay = bus.join(EventFilter(), Position(1, EPOCH))[1]
    assert [brief(gap) for gap in replay.gaps] == [(2, 10, 9, "expired")]
    assert [brief(event) for event in replay.events] == [11]


def test_a_hole_in_a_new_epoch_does_not_hide_that_it_is_new() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()
    bus.begin("e2", 5)
    bus.begin("e2", 9)
    assert [subscription.take(), subscription.take(), subscription.take()] == [
        Gap(None, None, None, "epoch_changed"),
        Gap(1, 9, None, "expired"),
        None,
    ]


def test_going_on_in_another_epoch_forgets_the_old_one() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()
    publish(bus, "a.x")
    bus.begin("epoch2", 0)
    assert (bus.epoch, bus.head, bus.find(1)) == ("epoch2", 0, None)
    (event,) = publish(bus, "a.x")
    assert bus.find(1) is event
    assert bus.find(2) is None
    items = [brief(subscription.take()) for _ in range(3)]
    assert items == [(None, None, None, "epoch_changed"), 1, None]


def test_going_back_in_the_epoch_is_reported_like_a_new_epoch() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()
    publish(bus, "a.x", "a.x", "a.x")
    assert drain(subscription) == [1, 2, 3]
    bus.begin(EPOCH, 1)
    publish(bus, "a.x")
    assert drain(subscription) == [(None, None, None, "epoch_changed"), 2]


def test_an_event_keeps_the_age_that_it_came_with() -> None:
    clock = FakeClock()
    bus = make_bus(clock, window_s=30)
    stamp = bus.clock.timestamp()
    bus.accept("a.x", stamp, 1, contents(), clock.monotonic() - 20)
    assert bus.find(1) is not None
    clock.advance(11)
    replay = bus.join(EventFilter(), Position(0, EPOCH))[1]
    assert [brief(gap) for gap in replay.gaps] == [(1, 1, 1, "expired")]
