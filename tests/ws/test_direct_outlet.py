"""The direct outlet: what the bus and the transport do to it, step by step.

`test_outlet_machine` holds what a client gets over any history; here is what it costs and bounds.
"""

import asyncio

import msgspec

from app.channels.bus import FLUSH_BYTES, FLUSH_EVENTS
from app.channels.filters import EventFilter
from app.events import Position
from app.ws.outlet import MAX_CONTROL, RUN_BYTES, DirectOutlet
from tests.kit.frames import frames as whole_frames
from tests.support import EPOCH, FakeClock, FakeTransport, brief, make_bus, publish


class Wire:
    """A client on a fake transport; `writes` holds what each write brought."""

    def __init__(self, room: int = 1_000_000, queue_size: int = 9) -> None:
        self.due: list[object] = []  # what the bus asked the loop to call
        self.bus = make_bus(FakeClock(), queue_size=queue_size)
        self.bus._call_soon = self.due.append
        self.transport = FakeTransport(room)
        self.join()

    def join(self, *patterns: str) -> DirectOutlet:
        self.subscription = self.bus.join(EventFilter(patterns or ("*",)))[0]
        self.outlet = DirectOutlet(self.subscription, self.transport, self.bus.clock, 30.0)
        self.outlet.attach()
        return self.outlet

    def received(self) -> list[object]:
        return [m["sequence_number"] if "data" in m else m["type"] for m in self.transport.take()]


def test_a_turn_is_one_write_and_asks_the_loop_once() -> None:
    wire = Wire()
    publish(wire.bus, "a.x", "a.x", "a.x")
    assert (wire.received(), len(wire.due)) == ([], 1)
    wire.bus._end_turn()
    assert (wire.received(), wire.transport.writes) == ([1, 2, 3], 1)
    publish(wire.bus, "a.x")
    assert len(wire.due) == 2


def test_a_long_turn_is_flushed_early_by_count_and_by_bytes() -> None:
    wire = Wire()
    publish(wire.bus, *["a.x"] * FLUSH_EVENTS)
    assert len(wire.received()) == FLUSH_EVENTS
    publish(wire.bus, "a.x", data=b'{"k":"%s"}' % (b"x" * FLUSH_BYTES))
    assert wire.received() == [FLUSH_EVENTS + 1]


def test_after_an_early_flush_the_turn_is_gathered_again_up_to_the_same_bounds() -> None:
    wire = Wire()
    publish(wire.bus, *["a.x"] * FLUSH_EVENTS)
    assert wire.transport.writes == 1
    publish(wire.bus, *["a.x"] * (FLUSH_EVENTS - 1))
    assert wire.transport.writes == 1
    publish(wire.bus, "a.x")
    assert wire.transport.writes == 2
    assert len(wire.due) == 1, "the end of the turn is asked for once"
    half = b'{"k":"%s"}' % (b"x" * (FLUSH_BYTES // 2))
    for writes in (2, 3, 3, 4):
        publish(wire.bus, "a.x", data=half)
        assert wire.transport.writes == writes


def test_a_client_that_falls_behind_in_mid_turn_is_written_what_the_turn_brought_before() -> None:
    wire = Wire()
    publish(wire.bus, "a.x", "a.x")
    wire.subscription.fall_behind()
    publish(wire.bus, "a.x")
    wire.bus._end_turn()
    assert wire.received() == [1, 2]
    assert brief(wire.subscription.take()) == 3


def test_a_client_that_goes_direct_in_mid_turn_gets_nothing_of_the_turn_twice() -> None:
    wire = Wire()
    behind = wire.bus.subscribe()
    publish(wire.bus, "a.x")
    assert brief(behind.take()) == 1
    other = FakeTransport()
    assert behind.go_direct(DirectOutlet(behind, other, wire.bus.clock, 30.0))
    publish(wire.bus, "a.x")
    wire.bus._end_turn()
    assert wire.received() == [1, 2]
    assert [message["sequence_number"] for message in other.take()] == [2]


def test_a_turn_after_going_on_elsewhere_is_bounded_from_there() -> None:
    wire = Wire()
    wire.subscription.close()
    wire.bus.begin("epoch2", 1000)
    wire.join()
    publish(wire.bus, *["a.x"] * (FLUSH_EVENTS - 1))
    assert wire.transport.writes == 0
    publish(wire.bus, "a.x")
    assert wire.transport.writes == 1


def test_a_writer_that_publishes_while_it_is_written_to_sees_the_position_before() -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe()

    class Publishing:
        def write(self, frames: bytes) -> None:
            subscription.fall_behind()
            publish(bus, "a.x")

        def fail(self, error: Exception) -> None:
            raise error

    subscription.go_direct(Publishing())
    publish(bus, "a.x")
    assert subscription.position == 1
    assert brief(subscription.take()) == 2


def test_what_many_writers_publish_while_they_are_written_to_reaches_each_in_order() -> None:
    bus = make_bus(FakeClock(), queue_size=1000)
    written: list[list[object]] = [[], []]

    class Publishing:
        def __init__(self, seen: list[object]) -> None:
            self.seen = seen

        def write(self, frames: bytes) -> None:
            events = [msgspec.json.decode(payload) for _, payload in whole_frames(frames)]
            self.seen += [event["sequence_number"] for event in events]
            if bus.head < 2 * FLUSH_EVENTS:
                publish(bus, *["a.x"] * FLUSH_EVENTS)
                bus.flush()

        def fail(self, error: Exception) -> None:
            raise error

    for seen in written:
        assert bus.subscribe().go_direct(Publishing(seen))
    publish(bus, "a.x")
    bus.flush()
    assert written == [[*range(1, bus.head + 1)]] * 2


def test_clients_whose_filters_take_the_same_events_of_a_turn_get_the_same_bytes() -> None:
    bus = make_bus(FakeClock())
    written: dict[str, list[bytes]] = {}

    class Writer:
        def __init__(self, pattern: str) -> None:
            self.write = written.setdefault(pattern, []).append

        def fail(self, error: Exception) -> None:
            raise error

    for pattern in ("*", "a.*", "a.x", "b.*", "c.*"):
        assert bus.subscribe(pattern).go_direct(Writer(pattern))
    publish(bus, "a.x", "b.y", "a.x")
    bus.flush()
    assert [len(whole_frames(frames)) for frames in written["*"]] == [3]
    assert [len(whole_frames(frames)) for frames in written["b.*"]] == [1]
    assert written["a.*"][0] is written["a.x"][0]
    publish(bus, "a.x", "a.x")
    bus.flush()
    assert written["*"][1] is written["a.*"][1] is written["a.x"][1]
    assert written["c.*"] == []


def test_what_is_published_and_delivered_is_counted_each_way() -> None:
    wire = Wire()
    wire.join("git.*")
    behind = wire.bus.subscribe("git.*")
    publish(wire.bus, "git.commit_created", "chat.message_sent", "git.commit_created")
    assert wire.bus.counters.delivered == 0
    wire.bus._end_turn()
    counted = {k: n for k, n in wire.bus.counters.published.items() if n}
    assert counted == {"git": 2, "chat": 1}
    assert wire.bus.counters.delivered == 3 + 2
    behind.take()
    assert wire.bus.counters.delivered == 3 + 2 + 1
    publish(wire.bus, "git.commit_created")
    wire.bus.flush()
    assert wire.bus.counters.published["git"] == 3


def test_a_turn_is_observed_from_its_first_event_to_its_write() -> None:
    wire = Wire()
    clock = wire.bus.clock
    assert isinstance(clock, FakeClock)
    observed = wire.bus.counters.publish_to_write
    for turns in (1, 2):
        publish(wire.bus, "a.x")
        clock.advance(0.25)
        publish(wire.bus, "a.x")
        clock.advance(0.25)
        wire.bus._end_turn()
        wire.bus.flush()  # of nothing: not observed
        assert (observed.total_s, sum(observed.buckets)) == (0.5 * turns, turns)


def test_a_turn_that_writes_to_nobody_is_not_observed() -> None:
    wire = Wire()
    wire.subscription.close()
    publish(wire.bus, "a.x")
    wire.bus._end_turn()
    assert sum(wire.bus.counters.publish_to_write.buckets) == 0


def test_a_transport_that_raises_is_aborted_and_the_others_are_served() -> None:
    wire = Wire()
    broken = FakeTransport()
    subscription = wire.bus.join(EventFilter())[0]
    outlet = DirectOutlet(subscription, broken, wire.bus.clock, 30.0)
    outlet.attach()
    outlet.write = broken.refuse
    wire.join()
    publish(wire.bus, "a.x")
    wire.bus.flush()
    assert broken.evicted == "internal_error"
    assert wire.received() == [1, 1]


def test_answers_wait_for_a_full_transport_in_order_and_are_bounded() -> None:
    wire = Wire(room=1)
    wire.outlet.answer(b'{"type":"connected"}')
    assert all(wire.outlet.answer(b'{"type":"pong"}') for _ in range(MAX_CONTROL))
    assert not wire.outlet.answer(b'{"type":"pong"}')
    assert not wire.outlet.answer(b'{"type":"error"}', in_order=True)
    assert wire.received() == ["connected"]
    assert (wire.received(), wire.transport.writes) == (["pong"] * MAX_CONTROL, 2)


def test_connected_is_one_write_with_the_first_events_of_a_replay() -> None:
    bus, transport = make_bus(FakeClock(), queue_size=100, replay_limit=100), FakeTransport()
    publish(bus, *["a.x"] * 90, data=b'{"k":"%s"}' % (b"x" * 1000))
    subscription, replay = bus.join(EventFilter(), Position(0, EPOCH))
    outlet = DirectOutlet(subscription, transport, bus.clock, 30.0)
    outlet.answer(b'{"type":"connected"}')
    assert transport.writes == 0
    outlet.attach()
    in_bytes = sum(len(event.encoded) for event in replay.events)
    assert transport.writes == -(-in_bytes // RUN_BYTES) == 2
    connected, *events = transport.take()
    assert connected == {"type": "connected"}
    assert [event["sequence_number"] for event in events] == list(range(1, 91))


def test_an_answer_in_order_comes_behind_the_events_of_its_turn() -> None:
    wire = Wire()
    publish(wire.bus, "a.x")
    wire.outlet.answer(b'{"type":"error"}', in_order=True)
    assert wire.received() == [1, "error"]


def test_an_answer_in_order_stays_in_the_middle_of_a_run() -> None:
    wire = Wire(room=1)
    publish(wire.bus, "a.x")
    wire.bus.flush()
    publish(wire.bus, "a.x", "a.x")
    wire.outlet.answer(b'{"type":"error"}', in_order=True)
    publish(wire.bus, "a.x")
    wire.bus.flush()
    assert wire.received() == [1]
    assert (wire.received(), wire.transport.writes) == ([2, 3, "error", 4], 2)


def test_nothing_is_written_after_the_subscription_was_closed() -> None:
    wire = Wire(room=1)
    publish(wire.bus, "a.x")
    wire.bus.flush()
    publish(wire.bus, "a.x")
    wire.subscription.close()
    wire.subscription.fall_behind()
    assert wire.received() == [1]
    assert wire.received() == []
    assert not wire.subscription.go_direct(wire.outlet)


async def test_it_beats_with_the_position_until_it_is_stopped() -> None:
    wire = Wire()
    wire.subscription.close()
    subscription = wire.bus.subscribe()
    outlet = DirectOutlet(subscription, wire.transport, wire.bus.clock, 0.0)
    publish(wire.bus, "a.x")
    outlet.start()
    for _ in range(10):  # turns; the event comes, then heartbeats
        await asyncio.sleep(0)
    await outlet.stop()
    received = wire.transport.take()
    assert [received[0]["type"], received[1]["type"]] == ["a.x", "heartbeat"]
    assert received[1]["sequence_number"] == 1
    for _ in range(10):
        await asyncio.sleep(0)
    assert wire.transport.unread == 0
