"""What every backend promises: one suite, run over each of them."""

import asyncio
import re

import pytest

from app.channels.filters import EventFilter
from app.errors import UnavailableError, UnknownEventTypeError
from app.events import Position
from tests.contract.conftest import Rig
from tests.support import brief


async def test_numbers_begin_at_1_and_are_in_the_order_of_calls(rig: Rig) -> None:
    assert rig.bus.head == 0
    assert await rig.publish(3) == [1, 2, 3]
    several = [rig.publisher.publish("plugin.up", {"n": n}) for n in range(500)]
    events = await asyncio.gather(*several)
    assert [event.sequence_number for event in events] == list(range(4, 504))
    assert [event.data["n"] for event in events] == list(range(500))


async def test_an_event_is_in_every_queue_when_publish_returns(rig: Rig) -> None:
    subscriptions = [rig.bus.subscribe(), rig.bus.subscribe("plugin.*")]
    event = await rig.publisher.publish("plugin.up")
    for subscription in subscriptions:
        assert subscription.take() is event


async def test_an_event_comes_as_it_was_published(rig: Rig) -> None:
    data = {"text": 'é\n"\u2028', "deep": [1.5, None, {"a": True}], "big": 2**53}
    event = await rig.publisher.publish("plugin.up", data, {"source": "s"})
    assert (event.type, event.data, event.metadata) == ("plugin.up", data, {"source": "s"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.timestamp)
    assert rig.bus.find(event.sequence_number) is event


async def test_a_refused_event_uses_up_no_number_on_any_backend(rig: Rig) -> None:
    with pytest.raises(UnknownEventTypeError):
        await rig.publisher.publish("nobody.knows")
    assert await rig.publish(1) == [1]


async def test_what_was_missed_is_replayed_and_then_live_events_follow(rig: Rig) -> None:
    await rig.publish(10)
    position = Position(4, rig.bus.epoch)
    await rig.backend.catch_up(position)
    subscription, replay = rig.bus.join(EventFilter(), position)
    assert replay.resumed
    await rig.publish(1)
    assert [brief(subscription.take()) for _ in range(8)] == [*range(5, 12), None]


async def test_a_number_that_was_never_given_is_another_epoch(rig: Rig) -> None:
    await rig.publish(2)
    for position in (Position(3, rig.bus.epoch), Position(1, "another")):
        await rig.backend.catch_up(position)
        replay = rig.bus.join(EventFilter(), position)[1]
        assert [gap.reason for gap in replay.gaps] == ["epoch_changed"]


async def test_the_epoch_is_a_word_of_the_protocol(rig: Rig) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", rig.bus.epoch)


async def test_cancelling_a_publish_withdraws_nothing_and_disturbs_no_other(rig: Rig) -> None:
    subscription = rig.bus.subscribe()
    first = asyncio.create_task(rig.publisher.publish("plugin.up", {"n": 1}))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = await rig.publisher.publish("plugin.up", {"n": 2})
    assert second.sequence_number == 2
    assert [brief(subscription.take()) for _ in range(2)] == [1, 2]


async def test_after_the_end_nothing_is_taken(rig: Rig) -> None:
    emitted = [rig.publisher.emit("plugin.up") for _ in range(100)]
    await rig.backend.stop()
    assert rig.bus.head == len(emitted)
    rig.publisher.close()
    with pytest.raises(UnavailableError):
        await rig.publisher.publish("plugin.up")


async def test_the_status_says_that_all_is_well(rig: Rig) -> None:
    await rig.publish(5)
    status = rig.backend.status
    assert status.connected
    assert (status.waiting, status.in_flight, status.outages) == (0, 0, 0)
