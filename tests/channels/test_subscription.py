"""A subscription: bounded, drop-oldest, and every loss is a gap at its place."""

import asyncio

import pytest

from app.channels.filters import EventFilter
from app.channels.subscription import Subscription
from app.events import Event, Gap, Position
from tests.kit.waiting import WATCHDOG_S
from tests.support import EPOCH, FakeClock, brief, drain, make_bus, make_event, publish

SIZE = len(make_event(1).encoded)


def subscription_to(
    *patterns: str, head: int = 0, size: int = 3, max_bytes: int = 100_000
) -> Subscription:
    """A subscription on a bus of its own that has given `head` numbers."""
    bus = make_bus(FakeClock(), queue_size=size, queue_max_bytes=max_bytes)
    publish(bus, *["z.z"] * head)
    return bus.join(EventFilter(patterns or ("*",)))[0]


def resumed(*, retained: int, limit: int, size: int = 9) -> Subscription:
    """A subscription that comes back at 0 when 5 were published."""
    bus = make_bus(FakeClock(), queue_size=size, replay_limit=limit, max_events=retained)
    publish(bus, *["a.x"] * 5)
    return bus.join(EventFilter(), Position(0, EPOCH))[0]


def offer(subscription: Subscription, *types: str) -> None:
    publish(subscription._bus, *types)


def test_what_matches_comes_in_order_and_nothing_else() -> None:
    subscription = subscription_to("a.*")
    offer(subscription, "a.x", "b.y", "a.x")
    assert len(subscription) == 2
    assert drain(subscription) == [1, 3]


def test_the_oldest_are_dropped_and_their_gap_comes_first_and_merged() -> None:
    subscription = subscription_to(size=2)
    offer(subscription, *["a.x"] * 5)
    assert subscription.dropped == 3
    assert drain(subscription) == [(1, 3, 3, "slow_consumer"), 4, 5]


def test_the_range_of_a_gap_spans_matching_events_and_counts_only_them() -> None:
    subscription = subscription_to("a.*", size=1)
    offer(subscription, "b.y", "a.x", "b.y", "a.x", "b.y", "a.x")
    assert drain(subscription) == [(2, 4, 2, "slow_consumer"), 6]


def test_a_loss_after_a_gap_was_taken_is_a_gap_of_its_own() -> None:
    subscription = subscription_to(size=1)
    offer(subscription, "a.x", "a.x")
    assert brief(subscription.take()) == (1, 1, 1, "slow_consumer")
    offer(subscription, "a.x")
    assert drain(subscription) == [(2, 2, 1, "slow_consumer"), 3]


def test_bytes_are_bounded_too() -> None:
    subscription = subscription_to(size=100, max_bytes=2 * SIZE)
    offer(subscription, "a.x", "a.x")
    assert subscription.dropped == 0
    offer(subscription, "a.x")
    assert drain(subscription) == [(1, 1, 1, "slow_consumer"), 2, 3]


def test_taken_and_dropped_bytes_are_free_again() -> None:
    subscription = subscription_to(size=2, max_bytes=2 * SIZE + 2)
    offer(subscription, *["a.x"] * 7)
    assert subscription.dropped == 5
    drain(subscription)
    offer(subscription, "a.x", "a.x")
    assert drain(subscription) == [8, 9]


def test_bytes_that_a_gap_has_replaced_are_free_again() -> None:
    subscription = subscription_to(size=9, max_bytes=2 * SIZE + 2)
    offer(subscription, "a.x", "a.x")
    subscription._bus.begin("epoch2", 0)
    offer(subscription, "a.x", "a.x")
    assert drain(subscription) == [(None, None, None, "epoch_changed"), 1, 2]


def test_a_gap_that_replaces_everything_replaces_an_unreported_loss_too() -> None:
    subscription = subscription_to(size=1)
    offer(subscription, "a.x", "a.x")
    subscription._bus.begin("epoch2", 0)
    offer(subscription, "a.x")
    assert drain(subscription) == [(None, None, None, "epoch_changed"), 1]
    assert subscription.dropped == 1


def test_losses_and_gaps_are_counted_by_reason_and_reported_to_the_listener() -> None:
    bus = make_bus(FakeClock(), queue_size=2, replay_limit=2, max_events=3)
    publish(bus, *["a.x"] * 5)
    heard: list[Gap] = []
    subscription, _ = bus.join(EventFilter(), Position(0, EPOCH), heard.append)
    counters = bus.counters
    assert counters.replayed == 2
    assert counters.dropped == {"expired": 2, "replay_limit": 1}
    assert (counters.gaps, heard) == ({}, [])
    offer(subscription, "a.x")
    assert counters.dropped == {"expired": 2, "replay_limit": 1, "slow_consumer": 1}
    assert drain(subscription) == [
        *[brief(gap) for gap in heard],
        5,
        6,
    ]
    assert [gap.reason for gap in heard] == ["expired", "replay_limit", "slow_consumer"]
    assert counters.gaps == {"expired": 1, "replay_limit": 1, "slow_consumer": 1}
    assert counters.delivered == 2


def test_what_waits_is_counted_over_all_queues_and_a_closed_subscription_leaves_nothing() -> None:
    bus = make_bus(FakeClock())
    subscriptions = [bus.subscribe(), bus.subscribe("a.*"), bus.subscribe("a.*")]
    publish(bus, "a.x", "b.x")
    assert bus.queued == 4
    for subscription in subscriptions:
        subscription.close()
    assert (bus.queued, bus.subscriptions, bus.groups.by_filter) == (0, 0, {})


def test_an_event_bigger_than_the_whole_bound_still_goes_through() -> None:
    subscription = subscription_to(max_bytes=SIZE - 1)
    offer(subscription, "a.x", "a.x")
    assert drain(subscription) == [(1, 1, 1, "slow_consumer"), 2]


def test_a_replay_comes_before_live_events_with_its_gaps_first() -> None:
    subscription = resumed(retained=3, limit=2)
    offer(subscription, "a.x")
    assert drain(subscription) == [(1, 2, 2, "expired"), (3, 3, 1, "replay_limit"), 4, 5, 6]


def test_replayed_events_that_overflow_become_their_own_gap_after_those_of_the_replay() -> None:
    subscription = resumed(retained=5, limit=2, size=2)
    offer(subscription, "a.x", "a.x")
    assert drain(subscription) == [(1, 3, 3, "replay_limit"), (4, 5, 2, "slow_consumer"), 6, 7]


def test_a_new_filter_is_for_later_events_only() -> None:
    subscription = subscription_to("a.*")
    offer(subscription, "a.x")
    subscription.refilter(EventFilter(["b.*"]))
    offer(subscription, "a.x", "b.y")
    assert drain(subscription) == [1, 3]


def test_the_position_is_the_last_number_handed_over_or_filtered_out() -> None:
    subscription = subscription_to("a.*", head=3, size=1)
    assert subscription.position == 3
    offer(subscription, "b.y")
    assert subscription.position == 4
    offer(subscription, "a.x", "a.x")  # 5 is lost
    assert subscription.position == 4
    subscription.take()
    assert subscription.position == 5
    offer(subscription, "b.y")
    assert subscription.position == 5
    subscription.take()
    assert subscription.position == 7


def test_the_position_before_a_gap_without_numbers_is_the_beginning() -> None:
    bus = make_bus(FakeClock(), max_events=1)
    publish(bus, "a.x", "a.x")
    subscription = bus.join(EventFilter(["b.*"]), Position(0, "another"))[0]
    assert subscription.position == 0
    assert brief(subscription.take()) == (None, None, None, "epoch_changed")
    assert subscription.position == 2


async def test_a_consumer_waits_until_something_is_owed() -> None:
    subscription = subscription_to("a.*")
    assert subscription.take() is None
    waiting = asyncio.ensure_future(subscription.wait())
    await asyncio.sleep(0)
    offer(subscription, "b.y")
    await asyncio.sleep(0)
    assert not waiting.done()
    offer(subscription, "a.x")
    await waiting
    assert drain(subscription) == [2]


@pytest.mark.parametrize(("retained", "limit"), [(1, 0), (5, 5)])
async def test_a_replay_is_available_at_once(retained: int, limit: int) -> None:
    async with asyncio.timeout(WATCHDOG_S):
        await resumed(retained=retained, limit=limit).wait()


async def test_wake_lets_a_consumer_look_up_although_nothing_is_owed() -> None:
    subscription = subscription_to()
    waiting = asyncio.ensure_future(subscription.wait())
    await asyncio.sleep(0)
    subscription.wake()
    await waiting
    assert subscription.take() is None


async def test_a_cancelled_wait_loses_nothing() -> None:
    subscription = subscription_to()
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    subscription.wake()
    offer(subscription, "a.x")
    assert brief(await anext(subscription)) == 1


async def test_iterating_gives_what_is_left_and_ends_when_closed() -> None:
    subscription = subscription_to()
    seen: list[object] = []

    async def consume() -> None:
        async with subscription:
            async for item in subscription:
                seen.append(brief(item))

    consumer = asyncio.ensure_future(consume())
    await asyncio.sleep(0)
    offer(subscription, "a.x")
    subscription.close()
    subscription.close()
    async with asyncio.timeout(WATCHDOG_S):
        await consumer
    assert seen == [1]
    assert subscription._bus.subscriptions == 0


async def test_a_closed_subscription_never_lets_a_consumer_wait() -> None:
    subscription = subscription_to()
    subscription.close()
    assert subscription.take() is None
    async with asyncio.timeout(WATCHDOG_S):
        await subscription.wait()


def test_one_consumer_cannot_change_what_another_sees() -> None:
    event: Event = make_event(1, data=b'{"a":[1]}')
    event.data["a"] = "changed"
    event.metadata["b"] = 1
    assert (event.data, event.metadata) == ({"a": [1]}, {})
