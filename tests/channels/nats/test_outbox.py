"""The outbox: publishes are sent in order and bounded, and each reports its outcome."""

import asyncio
import gc

import pytest

from app.channels.nats import outbox as module
from app.channels.nats.outbox import Outbox, Publish
from app.errors import UnavailableError
from app.events import Event
from tests.support import contents, make_event

STAMP = "2026-11-22T21:00:00.123Z"


@pytest.fixture
async def outbox() -> Outbox:
    return Outbox(5.0, lambda: asyncio.get_running_loop().create_future())


def add(outbox: Outbox, now: float = 0.0, data: bytes = b"{}") -> "asyncio.Future[Event]":
    return outbox.add(now, "a.x", STAMP, contents(data), None)


def hand_over(outbox: Outbox, now: float = 0.0) -> list[Publish]:
    found = []
    while (publish := outbox.next(now)) is not None:
        found.append(publish)
    return found


def answer(outbox: Outbox, publish: Publish) -> Publish:
    answered = outbox.answered(publish.order)
    assert answered is publish
    return answered


def why(future: "asyncio.Future[Event]") -> str:
    error = future.exception()
    assert isinstance(error, UnavailableError)
    return str(error)


async def test_a_publish_resolves_once_it_is_stored_and_seen(outbox: Outbox) -> None:
    future = add(outbox)
    (publish,) = hand_over(outbox)
    outbox.store(answer(outbox, publish), 7)
    outbox.seen(make_event(6))
    assert (future.done(), outbox.in_flight) == (False, 1)
    event = make_event(7)
    outbox.seen(event)
    assert future.result() is event
    assert (outbox.waiting, outbox.in_flight) == (0, 0)


async def test_publishes_are_handed_over_in_the_order_of_calls(outbox: Outbox) -> None:
    for _ in range(5):
        add(outbox)
    assert [publish.order for publish in hand_over(outbox)] == [1, 2, 3, 4, 5]


async def test_what_is_in_flight_is_bounded_by_count_and_by_bytes(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 3)
    for _ in range(5):
        add(outbox)
    first, *_ = hand_over(outbox)
    assert (outbox.waiting, outbox.in_flight) == (2, 3)
    outbox.store(answer(outbox, first), 1)
    assert hand_over(outbox) == []  # the bus has yet to catch up
    outbox.seen(make_event(1))
    assert len(hand_over(outbox)) == 1
    monkeypatch.setattr(module, "MAX_IN_FLIGHT", 100)
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_BYTES", 1)
    assert hand_over(outbox) == []


async def test_what_waits_is_bounded_by_count_and_by_bytes_and_says_so_at_once(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    futures = [add(outbox) for _ in range(3)]
    assert [future.done() for future in futures] == [False, False, True]
    assert "2 events wait for NATS: it was not published" in why(futures[2])
    hand_over(outbox)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 10)
    assert [future.done() for future in (add(outbox), add(outbox))] == [False, True]


async def test_what_nats_refused_is_handed_over_again_in_order_after_a_pause(
    outbox: Outbox,
) -> None:
    for _ in range(4):
        add(outbox)
    one, two, three, four = hand_over(outbox)
    outbox.store(answer(outbox, one), 1)
    for publish in (three, two):
        outbox.refuse(answer(outbox, publish), "no leader")
    add(outbox)
    assert hand_over(outbox) == []  # the fourth may yet be taken
    outbox.refuse(answer(outbox, four), "no leader")
    assert hand_over(outbox) == []
    assert [publish.order for publish in hand_over(outbox, module.RETRY_S)] == [2, 3, 4, 5]


async def test_what_a_later_event_has_overtaken_is_not_put_behind_it(outbox: Outbox) -> None:
    refused, taken = add(outbox), add(outbox)
    one, two = hand_over(outbox)
    outbox.refuse(answer(outbox, one), "no leader")
    outbox.store(answer(outbox, two), 1)
    outbox.seen(make_event(1))
    assert hand_over(outbox, 1.0) == []
    assert taken.done()
    assert "took a later event: it was not published" in why(refused)


async def test_each_ends_by_its_deadline_and_says_how_far_it_came(outbox: Outbox) -> None:
    stored, in_flight = add(outbox), add(outbox)
    first, _ = hand_over(outbox)
    outbox.store(answer(outbox, first), 9)
    waiting, later = add(outbox), add(outbox, now=1.0)
    outbox.expire(4.9)
    assert not any(future.done() for future in (stored, in_flight, waiting, later))
    outbox.expire(5.0)
    assert "it waited 5 s for NATS" in why(waiting)
    assert "it was not published" in why(waiting)
    assert "did not answer within 5 s: it may have been published" in why(in_flight)
    assert "stored it as number 9" in why(stored)
    assert (later.done(), outbox.unknown, outbox.in_flight) == (False, 2, 0)
    later.cancel()


async def test_what_was_refused_ends_by_its_deadline_too(outbox: Outbox) -> None:
    future = add(outbox)
    outbox.refuse(answer(outbox, hand_over(outbox)[0]), "no leader")
    assert outbox.waiting == 1
    outbox.expire(5.0)
    assert "too slow (it said: no leader): it was not published" in why(future)


async def test_what_was_refused_does_not_wait_for_others_beyond_its_deadline(
    outbox: Outbox,
) -> None:
    future, later = add(outbox), add(outbox, now=4.0)
    outbox.refuse(answer(outbox, hand_over(outbox)[0]), "no leader")
    outbox.expire(5.0)
    assert "it was not published" in why(future)
    assert (later.done(), outbox.in_flight) == (False, 1)
    later.cancel()


async def test_an_answer_after_the_deadline_changes_nothing(outbox: Outbox) -> None:
    future = add(outbox)
    (publish,) = hand_over(outbox)
    outbox.expire(5.0)
    assert outbox.answered(publish.order) is None
    assert "may have been published" in why(future)


async def test_a_cancelled_call_still_goes_its_way(outbox: Outbox) -> None:
    add(outbox).cancel()
    (publish,) = hand_over(outbox)
    outbox.store(answer(outbox, publish), 1)
    outbox.seen(make_event(1))
    add(outbox).cancel()
    outbox.close("the end")
    assert outbox.waiting == 0


async def test_a_failure_without_a_waiter_is_no_error_of_the_loop(
    outbox: Outbox,
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))
    add(outbox)
    outbox.expire(5.0)
    gc.collect()
    assert complaints == []


async def test_two_calls_with_one_key_end_with_the_same_event(outbox: Outbox) -> None:
    futures = [add(outbox), add(outbox)]
    for publish in hand_over(outbox):
        outbox.store(answer(outbox, publish), 1)
    outbox.seen(event := make_event(1))
    assert [future.result() for future in futures] == [event, event]


async def test_the_number_of_another_event_is_a_success_only_for_a_repeated_key(
    outbox: Outbox,
) -> None:
    other, repeat = add(outbox, data=b'{"a":1}'), add(outbox, data=b'{"a":2}')
    one, two = hand_over(outbox)
    outbox.store(answer(outbox, one), 1)
    outbox.store(answer(outbox, two), 1, is_repeat=True)
    outbox.seen(event := make_event(1))
    assert why(other).startswith("NATS gave its number 1 to another event: it may have been")
    assert repeat.result() is event
    assert (outbox.unknown, outbox.in_flight) == (1, 0)


async def test_at_the_end_every_publish_gets_its_known_outcome(outbox: Outbox) -> None:
    stored, refused, in_flight = [add(outbox) for _ in range(3)]
    one, two, _ = hand_over(outbox)
    outbox.store(answer(outbox, one), 1)
    outbox.refuse(answer(outbox, two), "no leader")
    waiting = add(outbox)
    outbox.close("the end")
    for future in (waiting, refused):
        assert why(future) == "the end: it was not published"
    for future in (stored, in_flight):
        assert why(future).startswith("the end: it may have been published")
    assert (outbox.waiting, outbox.in_flight) == (0, 0)


async def test_a_publish_knows_itself_by_type_time_and_bytes(outbox: Outbox) -> None:
    add(outbox, data=b'{"a":1}')
    (publish,) = hand_over(outbox)
    assert publish.is_kept_in(make_event(1, data=b'{"a":1}'))
    assert not publish.is_kept_in(make_event(1, data=b'{"a":2}'))
    assert not publish.is_kept_in(make_event(1, "a.y", data=b'{"a":1}'))
