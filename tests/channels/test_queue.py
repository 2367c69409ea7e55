"""The queue of a subscription is an `asyncio.Queue` that drops the oldest."""

import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from app.channels.filters import EventFilter
from app.channels.queue import EventQueue
from app.errors import SubscriptionClosedError
from app.events import Event, Gap, Position
from tests.kit.waiting import WATCHDOG_S, until
from tests.support import EPOCH, FakeClock, brief, make_bus, make_event, publish


def full_queue(size: int = 3) -> tuple[EventQueue, list[Event]]:
    """A queue that holds as many events as it can, and these events."""
    bus = make_bus(FakeClock(), queue_size=size)
    queue = bus.subscribe().queue
    return queue, publish(bus, *["a.x"] * size)


def test_with_1000_events_in_the_queue_a_new_one_drops_the_oldest_and_the_size_stays_1000() -> None:
    bus = make_bus(FakeClock(), queue_size=1000, queue_max_bytes=10**9)
    queue: asyncio.Queue[Event | Gap] = bus.subscribe("*").queue
    assert isinstance(queue, asyncio.Queue)
    published = publish(bus, *["workflow.started"] * 1000)
    assert (queue.maxsize, queue.qsize(), queue.full()) == (1000, 1000, True)

    (newest,) = publish(bus, "workflow.started")

    assert queue.qsize() == 1000
    assert queue.get_nowait() == Gap(1, 1, 1, "slow_consumer")
    assert [queue.get_nowait() for _ in range(1000)] == [*published[1:], newest]
    assert queue.empty()


async def test_a_consumer_waits_for_the_next_event_with_get() -> None:
    bus = make_bus(FakeClock())
    queue = bus.subscribe("a.*").queue
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    publish(bus, "b.y")
    await asyncio.sleep(0)
    assert not getting.done()
    _, event = publish(bus, "b.y", "a.x")
    assert await getting is event


async def test_several_consumers_share_the_events_and_each_goes_to_one() -> None:
    bus = make_bus(FakeClock(), queue_size=100)
    queue = bus.subscribe().queue
    seen: dict[str, list[object]] = {"one": [], "two": [], "three": []}

    async def consume(name: str) -> None:
        while True:
            seen[name].append(brief(await queue.get()))
            await asyncio.sleep(0)  # it works on what it got: meanwhile the others get the next

    consumers = [asyncio.ensure_future(consume(name)) for name in seen]
    for _ in range(10):
        await asyncio.sleep(0)
        publish(bus, *["a.x"] * 3)
    await until(queue.empty)
    for consumer in consumers:
        consumer.cancel()
    assert Counter(itertools.chain(*seen.values())) == Counter(range(1, 31))
    assert all(seen.values()), "every consumer gets some"


async def test_several_that_iterate_all_end_when_the_subscription_is_closed() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()

    async def consume() -> list[object]:
        return [brief(item) async for item in subscription]

    consumers = [asyncio.ensure_future(consume()) for _ in range(3)]
    await asyncio.sleep(0)
    publish(bus, "a.x")
    subscription.close()
    async with asyncio.timeout(WATCHDOG_S):
        seen = await asyncio.gather(*consumers)
    assert sorted(seen) == [[], [], [1]]


async def test_a_consumer_cancelled_when_its_event_came_leaves_it_to_another() -> None:
    bus = make_bus(FakeClock())
    queue = bus.subscribe().queue
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    publish(bus, "a.x")
    first.cancel()
    async with asyncio.timeout(WATCHDOG_S):
        assert brief(await second) == 1
    assert first.cancelled()


async def test_a_consumer_cancelled_while_it_waits_is_forgotten() -> None:
    bus = make_bus(FakeClock())
    queue = bus.subscribe().queue
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not queue._getters
    publish(bus, "a.x")
    assert brief(queue.get_nowait()) == 1


async def test_a_gap_that_replaces_what_is_owed_wakes_every_consumer() -> None:
    bus = make_bus(FakeClock())
    queue = bus.subscribe().queue
    getting = [asyncio.ensure_future(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    bus.begin("epoch2", 0)
    publish(bus, "a.x")
    async with asyncio.timeout(WATCHDOG_S):
        assert [brief(item) for item in await asyncio.gather(*getting)] == [
            (None, None, None, "epoch_changed"),
            1,
        ]


@given(st.lists(st.lists(st.sampled_from([0, 40, 400]), max_size=5), max_size=6), st.data())
def test_many_events_at_once_are_as_each_by_itself(
    turns: list[list[int]], data: st.DataObject
) -> None:
    buses = [make_bus(FakeClock(), queue_size=3, queue_max_bytes=700) for _ in range(2)]
    at_once, one_by_one = (bus.subscribe().queue for bus in buses)
    numbers = itertools.count(1)
    for sizes in turns:
        events = [make_event(next(numbers), data=b'{"k":"%s"}' % (b"x" * n)) for n in sizes]
        at_once.put_all(events)
        for event in events:
            one_by_one.put_nowait(event)
        for _ in range(data.draw(st.integers(0, 3))):
            assert at_once.take() == one_by_one.take()
        for queue in (at_once, one_by_one):
            assert (queue.qsize(), queue.dropped, queue._unfinished_tasks, queue._bytes) == (
                at_once.qsize(),
                buses[0].counters.dropped["slow_consumer"],
                one_by_one._unfinished_tasks,
                sum(len(event.encoded) for event in at_once._queue),
            )
    while (item := at_once.take()) is not None:
        assert item == one_by_one.take()
    assert one_by_one.take() is None


async def test_many_events_at_once_wake_a_waiting_consumer() -> None:
    queue = make_bus(FakeClock()).subscribe().queue
    getting = [asyncio.ensure_future(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.put_all([make_event(1), make_event(2)])
    async with asyncio.timeout(WATCHDOG_S):
        assert [brief(item) for item in await asyncio.gather(*getting)] == [1, 2]


@given(
    st.integers(1, 12),
    st.integers(1, 700),
    st.none() | st.integers(0, 14),
    st.sampled_from((5, 99)),
)
def test_a_run_is_what_would_be_taken_one_by_one(
    published: int, most_bytes: int, last: int | None, size: int
) -> None:
    bus = make_bus(FakeClock(), queue_size=size)
    one, many = bus.subscribe(), bus.subscribe()
    publish(bus, *["a.x"] * published)
    run = many.take_run(most_bytes, last)
    if published > size:
        assert run == [], "a gap comes first"
        many.take(), one.take()
        run = many.take_run(most_bytes, last)
    before = bus.counters.delivered - len(run)
    assert run == [one.take() for _ in run]
    assert bus.counters.delivered == before + 2 * len(run)
    assert many.position == one.position
    filled = sum(len(event.encoded) for event in run)
    if (following := one.take()) is not None:
        stops = last is not None and following.sequence_number > last
        assert filled >= most_bytes or stops
        assert many.take() == following
    assert not run or filled - len(run[-1].encoded) < most_bytes
    assert last is None or all(event.sequence_number <= last for event in run)
    publish(bus, *["a.x"] * size)
    assert many.queue.qsize() == one.queue.qsize() == size


def test_what_a_run_took_makes_room_in_bytes() -> None:
    bus = make_bus(FakeClock(), queue_max_bytes=3500)
    subscription = bus.subscribe()
    for _ in range(5):
        published = publish(bus, *["a.x"] * 3, data=b'{"k":"%s"}' % (b"x" * 1000))
        assert subscription.take_run(10**6) == published


def test_a_gap_alone_takes_no_place_and_the_queue_is_not_empty() -> None:
    bus = make_bus(FakeClock())
    queue = bus.join(EventFilter(), Position(0, "another"))[0].queue
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, False, False)
    assert queue.get_nowait() == Gap(None, None, None, "epoch_changed")
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


async def test_get_ends_with_an_error_that_says_so_when_the_subscription_is_closed() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()
    publish(bus, "a.x")
    waiting = asyncio.ensure_future(bus.subscribe("c.*").queue.get())
    subscription.close()
    assert brief(await subscription.queue.get()) == 1
    with pytest.raises(SubscriptionClosedError, match="subscribe again"):
        await subscription.queue.get()
    waiting.cancel()


async def test_join_waits_until_everything_taken_is_reported_done_also_after_drops_and_gaps() -> (
    None
):
    queue, _ = full_queue()
    joining = asyncio.ensure_future(queue.join())
    queue.put_nowait(make_event(4))
    queue.put_nowait(make_event(5))
    taken = 0
    while not queue.empty():
        queue.get_nowait()
        taken += 1
        await asyncio.sleep(0)
        assert not joining.done()
        queue.task_done()
    async with asyncio.timeout(WATCHDOG_S):
        await joining
    assert taken == 4  # one gap for 1 and 2, then 3, 4 and 5
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()
    await queue.put(make_event(6))
    await queue.put(make_event(7))
    assert queue.qsize() == 2
    joining = asyncio.ensure_future(queue.join())
    await asyncio.sleep(0)
    assert not joining.done()
    queue.interrupt(Gap(6, 9, None, "expired"))
    queue.get_nowait()
    queue.task_done()
    async with asyncio.timeout(WATCHDOG_S):
        await joining


async def test_join_waits_for_a_replay_too() -> None:
    bus = make_bus(FakeClock(), replay_limit=1)
    publish(bus, "a.x", "a.x")
    queue = bus.join(EventFilter(), Position(0, EPOCH))[0].queue
    joining = asyncio.ensure_future(queue.join())
    await asyncio.sleep(0)
    for expected in ((1, 1, 1, "replay_limit"), 2):
        assert brief(queue.get_nowait()) == expected
        assert not joining.done()
        queue.task_done()
    await joining


def test_its_text_is_short_whatever_it_holds() -> None:
    queue, _ = full_queue(1000)
    assert repr(queue) == str(queue) == "<EventQueue 1000 of 1000 events, dropped 0>"
