"""What JetStream adds: many gateways on one log, and honesty when the log is in trouble."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from app.channels.filters import EventFilter
from app.channels.nats import backend as module, consumer, stream
from app.channels.nats.backend import JetStreamBackend
from app.channels.nats.follower import Follower
from app.channels.nats.intake import Intake
from app.channels.nats.outbox import Outbox
from app.channels.nats.sender import Sender
from app.errors import PublishError, SettingsError, UnavailableError
from app.events import Clock, Gap, Position
from app.redaction import Redactor
from tests.contract.conftest import MakeRig, Rig
from tests.kit.waiting import until
from tests.nats_server import NatsServer
from tests.support import brief, contents, make_bus


@pytest.fixture
async def jetstream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """Somebody else's client of the same server."""
    client = await nats.connect(nats_url)
    yield client.jetstream()
    await client.close()


def backend_of(rig: Rig) -> JetStreamBackend:
    assert isinstance(rig.backend, JetStreamBackend)
    return rig.backend


async def test_two_gateways_see_the_same_numbers_epoch_and_bytes(
    nats_url: str, make_rig: MakeRig
) -> None:
    one, two = await make_rig(nats_url), await make_rig(nats_url)
    assert one.bus.epoch == two.bus.epoch
    await asyncio.gather(one.publish(200), two.publish(200))
    await until(lambda: one.bus.head == two.bus.head == 400)
    for number in range(1, 401):
        mine, yours = one.bus.find(number), two.bus.find(number)
        assert mine is not None
        assert yours is not None
        assert mine.encoded == yours.encoded


async def test_a_gateway_that_has_just_started_resumes_a_client_of_another(
    nats_url: str, make_rig: MakeRig
) -> None:
    one = await make_rig(nats_url)
    await one.publish(50)
    fresh = await make_rig(nats_url)
    subscription, replay = fresh.bus.join(EventFilter(), Position(20, one.bus.epoch))
    assert replay.resumed
    assert [brief(subscription.take()) for _ in range(30)] == list(range(21, 51))


async def test_a_fresh_gateway_keeps_the_age_of_events_and_reads_no_more_than_the_window(
    nats_url: str,
    make_rig: MakeRig,
    jetstream: JetStreamContext,
    stream_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await make_rig(nats_url)
    began = time.monotonic()
    await one.publish(3)
    await asyncio.sleep(0.6)  # the server's clock gives the ages
    await one.publish(2)
    lasted_s = time.monotonic() - began
    stored = (await jetstream.get_msg(stream_name, 4)).time
    assert stored is not None
    # The window ends there: where it ends now depends on how long the machine takes.
    monkeypatch.setattr(consumer, "seconds", lambda _: stored.timestamp())
    fresh = await make_rig(nats_url, replay_window_s=0.4)
    assert (fresh.bus.head, fresh.bus.find(3)) == (5, None)
    assert fresh.bus.find(4) is not None
    whole = await make_rig(nats_url)
    third, fourth = whole.bus.find(3), whole.bus.find(4)
    assert third is not None
    assert fourth is not None
    assert 0.4 < fourth.accepted_at - third.accepted_at <= lasted_s


async def test_a_fresh_gateway_reads_at_most_what_its_log_may_hold(
    nats_url: str, make_rig: MakeRig
) -> None:
    await (await make_rig(nats_url)).publish(100)
    fresh = await make_rig(nats_url, replay_max_events=10)
    assert (fresh.bus.head, fresh.bus.find(90)) == (100, None)
    assert fresh.bus.find(91) is not None


async def test_the_same_key_is_one_event_on_any_gateway(nats_url: str, make_rig: MakeRig) -> None:
    one, two = await make_rig(nats_url), await make_rig(nats_url)
    first = await one.publisher.publish("plugin.up", {"try": 1}, key="order-7")
    again = await one.publisher.publish("plugin.up", {"try": 2}, key="order-7")
    other = await two.publisher.publish("plugin.up", {"try": 3}, key="order-7")
    assert again is first
    assert (other.sequence_number, other.timestamp) == (1, first.timestamp)
    assert (await two.publisher.publish("plugin.up", key="order-8")).sequence_number == 2
    assert one.restarts == []


async def test_a_key_that_cannot_be_sent_leaves_the_connection_open(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    with pytest.raises(PublishError, match="visible ASCII characters"):
        await rig.publisher.publish("plugin.up", key="\ud800")
    assert await rig.publish(1) == [1]
    assert (rig.states, rig.backend.status.outages) == ([True], 0)


async def test_a_repeated_array_is_one_array(nats_url: str, make_rig: MakeRig) -> None:
    rig = await make_rig(nats_url)
    events = [("plugin.up", {"n": n}, {}) for n in range(3)]
    numbers = [
        [
            event.sequence_number
            for event in await rig.publisher.publish_all(events, ["a", "b", "c"])
        ]
        for _ in range(2)
    ]
    assert numbers == [[1, 2, 3], [1, 2, 3]]


async def test_a_key_that_repeats_what_the_replay_log_forgot_is_looked_up_in_the_stream(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    first = await rig.publisher.publish("plugin.up", key="old")
    rig.bus.begin(rig.bus.epoch, rig.bus.head)
    again = await rig.publisher.publish("plugin.up", key="old")
    assert (again.sequence_number, again.timestamp) == (1, first.timestamp)


async def test_a_stream_that_differs_is_said_and_left_alone(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext, stream_name: str
) -> None:
    await jetstream.add_stream(name=stream_name, subjects=["sightline.events.*.*"], max_age=60)
    with pytest.raises(SettingsError) as caught:
        await make_rig(nats_url)
    assert "max_age is 60 s, not 3600 s (SIGHTLINE_NATS_MAX_AGE_S)" in str(caught.value)
    assert "max_bytes is -1, not 1073741824 (SIGHTLINE_NATS_MAX_BYTES)" in str(caught.value)
    assert (await jetstream.stream_info(stream_name)).config.max_age == 60


async def test_the_stream_is_made_as_the_settings_ask(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext
) -> None:
    await make_rig(nats_url, nats_stream="blue", nats_max_age_s=90, nats_max_bytes=2**20)
    config = (await jetstream.stream_info("blue")).config
    assert (config.max_age, config.max_bytes, config.storage) == (90, 2**20, "file")
    assert config.duplicate_window == 90
    await make_rig(nats_url, nats_stream="blue", nats_max_age_s=90, nats_max_bytes=2**20)


async def test_no_nats_at_the_start_is_one_line_without_the_password(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_WAIT_S", 1)
    with pytest.raises(
        SettingsError, match=r"NATS cannot be used \(.*Connect call failed"
    ) as caught:
        await make_rig("nats://user:hunter2@127.0.0.1:1")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_start_that_does_not_read_all_in_time_says_how_much_is_left_and_what_to_lower(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await make_rig(nats_url)).publish(5)
    taken = Follower._on_message

    async def only_two(self: Follower, message: Msg) -> None:
        await taken(self, message)
        if self._bus.head == 2:
            await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Follower, "_on_message", only_two)
    monkeypatch.setattr(module, "START_WAIT_S", 0.5)
    with pytest.raises(
        SettingsError, match=r"after 0\.5 s, 3 events are missing: lower SIGHTLINE_REPLAY"
    ):
        await make_rig(nats_url)


async def test_a_server_whose_messages_are_smaller_than_events_is_refused(
    nats_url: str, make_rig: MakeRig
) -> None:
    with pytest.raises(SettingsError, match="NATS takes messages of 1048576 bytes"):
        await make_rig(nats_url, max_event_bytes=2**20)


async def test_what_was_deleted_from_the_stream_is_a_gap(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext, stream_name: str
) -> None:
    await (await make_rig(nats_url)).publish(10)
    await jetstream.delete_msg(stream_name, 5)
    fresh = await make_rig(nats_url)
    assert fresh.bus.head == 10
    replay = fresh.bus.join(EventFilter(), Position(2, fresh.bus.epoch))[1]
    assert [brief(gap) for gap in replay.gaps] == [(3, 5, 3, "expired")]
    assert [brief(event) for event in replay.events] == [6, 7, 8, 9, 10]


async def test_a_deleted_tail_is_a_gap_too_and_does_not_stop_the_start(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext, stream_name: str
) -> None:
    await (await make_rig(nats_url)).publish(4)
    for number in (3, 4):
        await jetstream.delete_msg(stream_name, number)
    fresh = await make_rig(nats_url)
    replay = fresh.bus.join(EventFilter(), Position(1, fresh.bus.epoch))[1]
    assert (fresh.bus.head, [brief(gap) for gap in replay.gaps]) == (4, [(2, 4, 3, "expired")])
    assert await fresh.publish(1) == [5]


async def test_a_message_of_somebody_else_keeps_its_number_and_is_said(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext
) -> None:
    one, two = await make_rig(nats_url), await make_rig(nats_url)
    foreign = [
        ("plugin.up", b"not json"),
        ("plugin.up", b'{"timestamp":"yesterday","data":{},"metadata":{}}'),
        ("plugin.up", b'{"timestamp":"2026-11-22T21:00:00.123Z","data":[],"metadata":{}}'),
        (
            "plugin.up",
            b'{"timestamp":"2026-11-22T21:00:00.123Z","data":{"a":"\xff"},"metadata":{}}',
        ),
        ("Plugin.UP", b'{"timestamp":"2026-11-22T21:00:00.123Z","data":{},"metadata":{}}'),
    ]
    for type_, body in foreign:
        await jetstream.publish(f"sightline.events.{type_}", body)
    await jetstream.publish(
        "sightline.events.plugin.up",
        b'{\n "metadata": {}, "data": {"a": 1}, "timestamp": "2026-11-22T21:00:00.123Z"}\n',
    )
    await until(lambda: one.bus.head == two.bus.head == 6)
    for number in range(1, 6):
        event, same = one.bus.find(number), two.bus.find(number)
        assert event is not None
        assert same is not None
        assert event.encoded == same.encoded
        assert (event.type, event.data["code"]) == ("system.error", "foreign_message")
    good = one.bus.find(6)
    assert good is not None
    assert (good.type, good.data, b"\n" in good.encoded) == ("plugin.up", {"a": 1}, False)


async def test_messages_lost_on_the_way_are_read_again(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await make_rig(nats_url)
    taken = Follower._take
    lost = iter([20, 21, 22, 23, 150])
    lose = next(lost)

    def forgetful(self: Follower, message: Msg) -> None:
        nonlocal lose
        if message.reply.split(".")[5] == str(lose):
            lose = next(lost, 0)
        else:
            taken(self, message)

    monkeypatch.setattr(Follower, "_take", forgetful)
    subscription = rig.bus.subscribe()
    assert await rig.publish(200) == list(range(1, 201))
    assert lose == 0
    assert [brief(subscription.take()) for _ in range(200)] == list(range(1, 201))
    assert rig.restarts == []


async def test_the_last_message_lost_on_the_way_is_noticed_too(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await make_rig(nats_url)
    taken, lost = Follower._take, []

    def forgetful(self: Follower, message: Msg) -> None:
        if lost:
            taken(self, message)
        lost.append(message)

    monkeypatch.setattr(Follower, "_take", forgetful)
    assert await rig.publish(1) == [1]
    assert len(lost) == 2


async def test_a_stream_made_again_is_a_new_epoch_and_closes_everything(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext, stream_name: str
) -> None:
    rigs = [await make_rig(nats_url) for _ in range(2)]
    await rigs[0].publish(20)
    await until(lambda: rigs[1].bus.head == 20)
    old = rigs[0].bus.epoch
    subscription = rigs[0].bus.subscribe()
    await jetstream.delete_stream(stream_name)
    await until(lambda: all(rig.bus.epoch != old for rig in rigs))
    assert rigs[0].bus.epoch == rigs[1].bus.epoch
    assert [rig.restarts for rig in rigs] == [[old], [old]]
    begun = rigs[0].bus.head  # 0, unless the server is still deleting files
    assert await rigs[0].publish(2) == [begun + 1, begun + 2]
    items = [subscription.take() for _ in range(begun + 3)]
    assert items[0] == Gap(None, None, None, "epoch_changed")
    assert [brief(item) for item in items[1:]] == list(range(1, begun + 3))


async def test_a_stream_swapped_under_a_publisher_never_gives_it_a_number_of_the_old_epoch(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext, stream_name: str
) -> None:
    rig = await make_rig(nats_url)
    await rig.publish(20)
    old, config = rig.bus.epoch, (await jetstream.stream_info(stream_name)).config
    await jetstream.delete_stream(stream_name)
    await jetstream.add_stream(config)
    results = await asyncio.gather(
        *(rig.publisher.publish("plugin.up", {"n": n}) for n in range(5)), return_exceptions=True
    )
    assert rig.bus.epoch != old
    for result in results:
        if isinstance(result, BaseException):
            assert "may have been published" in str(result)
        else:
            assert rig.bus.find(result.sequence_number) is result


async def test_an_answer_for_a_number_that_brings_another_event_is_no_success(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, answered = await make_rig(nats_url), Sender._on_answer

    async def for_the_next_number(self: Sender, message: Msg) -> None:
        ack = json.loads(message.data)
        message.data = json.dumps({**ack, "seq": ack["seq"] + 1}).encode()
        await answered(self, message)

    monkeypatch.setattr(Sender, "_on_answer", for_the_next_number)
    rig = await make_rig(nats_url)
    publishing = asyncio.create_task(rig.publish(1))
    await until(lambda: backend_of(rig)._outbox._stored)
    await other.publisher.publish("plugin.up", {"n": "another"})
    with pytest.raises(UnavailableError, match="number 2 to another event: it may have been"):
        await publishing


async def test_a_stream_that_lost_its_end_takes_back_the_answers_for_its_numbers(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    await rig.publish(3)
    outbox = backend_of(rig)._outbox
    future = outbox.add(rig.bus.clock.monotonic(), "plugin.up", "", contents(), None)
    publish = outbox.next(rig.bus.clock.monotonic())
    assert publish is not None
    assert outbox.answered(publish.order) is publish
    outbox.store(publish, 51)
    rig.bus.begin(rig.bus.epoch, 50)
    backend_of(rig)._follower.end("test")
    with pytest.raises(UnavailableError, match="lost its end: it may have been published"):
        await future


async def test_a_position_ahead_of_a_lagging_gateway_is_looked_up(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, behind = await make_rig(nats_url), await make_rig(nats_url)
    taken, held, go_on = Follower._on_message, [], asyncio.Event()

    async def slow(self: Follower, message: Msg) -> None:
        if self._bus is behind.bus:
            held.append(message)
            await go_on.wait()
        await taken(self, message)

    monkeypatch.setattr(Follower, "_on_message", slow)
    behind.backend._follower.end("test")  # the next one is slow
    await ahead.publish(5)
    await until(lambda: held)
    waiting = asyncio.create_task(behind.backend.catch_up(Position(5, ahead.bus.epoch)))
    await behind.backend.catch_up(Position(6, ahead.bus.epoch))  # never given: at once
    await behind.backend.catch_up(Position(5, "another epoch"))
    assert (behind.bus.head, waiting.done()) == (0, False)
    go_on.set()
    await waiting
    assert behind.bus.head == 5


async def test_a_client_of_a_newer_epoch_is_waited_for_and_not_sent_back_to_the_old_one(
    nats_url: str,
    make_rig: MakeRig,
    jetstream: JetStreamContext,
    stream_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "QUIET_S", 60)  # by itself it would notice in a minute
    behind = await make_rig(nats_url)
    await behind.publish(3)
    config = (await jetstream.stream_info(stream_name)).config
    await jetstream.delete_stream(stream_name)
    await jetstream.add_stream(config)
    client = await nats.connect(nats_url)
    newer = (await stream.find_or_create(client, backend_of(behind)._wanted)).epoch
    await client.close()
    await behind.backend.catch_up(Position(0, newer))
    assert behind.bus.epoch == newer


async def test_an_event_that_the_replay_log_forgot_before_the_answer_is_published_all_the_same(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = Sender._on_answer

    async def late(self: Sender, message: Msg) -> None:
        await until(lambda: self._bus.head)
        await answered(self, message)

    monkeypatch.setattr(Sender, "_on_answer", late)
    rig = await make_rig(nats_url)
    rig.bus._store._max_bytes = 1
    event = await rig.publisher.publish("plugin.up", {"n": 1}, {"source": "s"})
    assert (event.sequence_number, event.data, event.metadata) == (1, {"n": 1}, {"source": "s"})
    assert rig.restarts == []


async def test_a_jump_of_the_servers_clock_does_not_age_what_is_new(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    backend_of(rig)._follower._to_monotonic -= 3600
    await rig.publish(1)
    replay = rig.bus.join(EventFilter(), Position(0, rig.bus.epoch))[1]
    assert [brief(event) for event in replay.events] == [1]


async def test_what_nats_does_not_grant_is_said_with_the_settings_that_ask_for_it(
    nats_url: str, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_WAIT_S", 0.6)
    with pytest.raises(SettingsError, match=r"replicas > 1 .*: correct SIGHTLINE_NATS_REPLICAS"):
        await make_rig(nats_url, nats_replicas=3)


async def test_a_start_that_is_cancelled_leaves_no_task(make_rig: MakeRig) -> None:
    before = asyncio.all_tasks()
    starting = asyncio.create_task(make_rig("nats://127.0.0.1:1"))
    await until(lambda: len(asyncio.all_tasks()) > len(before) + 1)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_an_answer_that_cannot_be_read_leaves_the_publish_to_its_deadline() -> None:
    bus = make_bus(Clock())
    outbox = Outbox(5, lambda: asyncio.get_running_loop().create_future())
    outbox.add(0, "plugin.up", bus.clock.timestamp(), contents(), None)
    publish = outbox.next(0)
    assert publish is not None
    with pytest.raises(msgspec.DecodeError):
        await Sender(bus, outbox, "s", lambda why: None, Intake(Redactor()))._on_answer(
            Msg(_client=None, subject=f"inbox.{publish.order}", data=b"no answer")
        )
    outbox.expire(10)
    assert "may have been published" in str(publish.future.exception())


@pytest.fixture
def own_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A server that the test may harm."""
    server = NatsServer(tmp_path / "nats").ready()
    yield server
    server.thaw()
    server.kill()


async def test_publishes_wait_for_nats_and_then_say_how_far_they_came(
    own_server: NatsServer, make_rig: MakeRig
) -> None:
    rig = await make_rig(own_server.url)
    await rig.publish(1)
    own_server.kill()
    await until(lambda: rig.states == [True, False])
    assert not rig.backend.status.connected
    waiting = asyncio.create_task(rig.publish(3))
    with pytest.raises(UnavailableError, match="cannot tell now"):
        await rig.backend.catch_up(Position(99, rig.bus.epoch))
    own_server.start()
    assert await waiting == [2, 3, 4]
    assert (rig.states, rig.restarts) == ([True, False, True], [])
    assert rig.backend.status.outages == 1


async def test_a_state_that_cannot_be_read_does_not_end_the_follower(
    own_server: NatsServer, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await make_rig(own_server.url)

    def fail(connected: bool) -> None:
        raise RuntimeError(f"nobody hears {connected}")

    monkeypatch.setattr(rig.backend, "_on_state", fail)
    own_server.kill()
    await until(lambda: not rig.backend.status.connected)
    own_server.start()
    assert await rig.publish(1) == [1]


async def test_a_wait_over_its_bound_is_a_clear_error_and_not_published(
    own_server: NatsServer, make_rig: MakeRig
) -> None:
    rig = await make_rig(own_server.url)
    rig.backend._outbox._wait_s = 0.5
    own_server.kill()
    await until(lambda: rig.states == [True, False])
    with pytest.raises(UnavailableError, match=r"waited 0\.5 s for NATS.*: it was not published"):
        await rig.publisher.publish("plugin.up")
    own_server.start()
    await until(lambda: rig.states[-1])
    rig.backend._outbox._wait_s = 5
    assert await rig.publish(1) == [1]


async def test_an_answer_that_does_not_come_is_said_as_unknown(
    own_server: NatsServer, make_rig: MakeRig
) -> None:
    rig = await make_rig(own_server.url)
    rig.backend._outbox._wait_s = 0.5
    own_server.freeze()
    with pytest.raises(UnavailableError, match="may have been published"):
        await rig.publisher.publish("plugin.up", {"n": 1}, key="once")
    assert rig.backend.status.unknown == 1
    own_server.thaw()
    rig.backend._outbox._wait_s = 10
    again = await rig.publisher.publish("plugin.up", {"n": 1}, key="once")
    assert again.sequence_number == rig.bus.head == 1


@pytest.mark.slow
async def test_large_events_handed_to_a_frozen_nats_do_not_hold_up_the_next_connection(
    own_server: NatsServer, make_rig: MakeRig
) -> None:
    rig = await make_rig(own_server.url, max_event_bytes=500_000)
    own_server.freeze()
    large = contents(b'{"filler":"%b"}' % (b"x" * 400_000))
    stamp = rig.bus.clock.timestamp()
    futures = [backend_of(rig).submit("plugin.up", stamp, large) for _ in range(30)]
    await until(lambda: backend_of(rig)._client is None)  # that connection has been given up
    own_server.thaw()
    await until(lambda: rig.states == [True, False, True])
    await asyncio.wait(futures)
    assert await rig.publish(1) == [rig.bus.head]


async def test_a_stream_that_lost_its_tail_is_reported_like_a_restart(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    await rig.publish(3)
    rig.bus.begin(rig.bus.epoch, 50)  # as if it had followed further than the stream now reaches
    backend_of(rig)._follower.end("test")
    await until(lambda: rig.bus.head == 3)  # from 50 only by going back, then reading on
    assert rig.restarts
    assert await rig.publish(1) == [4]


async def test_the_body_of_a_message_holds_what_the_decision_page_says(
    nats_url: str, make_rig: MakeRig, jetstream: JetStreamContext, stream_name: str
) -> None:
    rig = await make_rig(nats_url)
    event = await rig.publisher.publish("plugin.up", {"a": 1}, {"source": "s"})
    message = await jetstream.get_msg(stream_name, 1)
    assert message.subject == "sightline.events.plugin.up"
    assert json.loads(message.data) == {
        "timestamp": event.timestamp,
        "data": {"a": 1},
        "metadata": {"source": "s"},
    }
