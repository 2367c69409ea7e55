"""The outlet: one writer, control first, heartbeats on time, nothing sent twice."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from app.channels.filters import EventFilter
from app.ws.sending import ASGIOutlet
from tests.kit.waiting import WATCHDOG_S
from tests.support import FakeClock, make_bus, publish

INTERVAL = 30.0


class Wire:
    """An outlet on a fake socket; `hook` runs in the middle of every send."""

    def __init__(self, *patterns: str, queue_size: int = 4) -> None:
        self.clock = FakeClock()
        self.bus = make_bus(self.clock, queue_size=queue_size)
        self.subscription = self.bus.join(EventFilter(patterns or ("*",)))[0]
        self.sent: list[dict[str, object]] = []
        self.hook: Callable[[str], Awaitable[None]] | None = None
        self.outlet = ASGIOutlet(self.subscription, self.send, self.clock, INTERVAL)

    async def send(self, text: str) -> None:
        self.sent.append(msgspec.json.decode(text, type=dict[str, object]))
        await asyncio.sleep(0)
        if self.hook is not None:
            await self.hook(text)

    def received(self) -> list[object]:
        """Types of control messages and numbers of events, in the order sent."""
        return [m["sequence_number"] if "data" in m else m["type"] for m in self.sent]

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def run(self) -> "asyncio.Task[None]":
        running = asyncio.ensure_future(self.outlet.run())
        await self.settle()
        return running

    async def end(self, running: "asyncio.Task[None]") -> None:
        self.subscription.close()
        async with asyncio.timeout(WATCHDOG_S):
            await running


async def test_an_answer_overtakes_a_flood_of_events() -> None:
    wire = Wire(queue_size=10)
    publish(wire.bus, *["a.x"] * 10)

    async def ask(_: str) -> None:
        if len(wire.sent) == 2:
            wire.outlet.answer(b'{"type":"pong"}')

    wire.hook = ask
    running = await wire.run()
    assert wire.received() == [1, 2, "pong", 3, 4, 5, 6, 7, 8, 9, 10]
    await wire.end(running)


async def test_an_idle_outlet_wakes_for_events_and_for_answers() -> None:
    wire = Wire()
    running = await wire.run()
    assert wire.sent == []
    publish(wire.bus, "a.x")
    await wire.settle()
    wire.outlet.answer(b'{"type":"pong"}')
    await wire.settle()
    assert wire.received() == [1, "pong"]
    await wire.end(running)


async def test_a_heartbeat_comes_when_due_with_the_position_and_the_time() -> None:
    wire = Wire("a.*")
    running = await wire.run()
    publish(wire.bus, "b.y")
    wire.clock.advance(INTERVAL - 0.001)
    wire.subscription.wake()
    await wire.settle()
    assert wire.sent == []
    wire.clock.advance(0.001)
    wire.subscription.wake()
    await wire.settle()
    beat = {"type": "heartbeat", "timestamp": "2023-11-14T22:30:30.000Z", "sequence_number": 1}
    assert wire.sent == [beat]
    await wire.end(running)


async def test_a_heartbeat_is_never_ahead_of_what_was_sent() -> None:
    wire = Wire()
    publish(wire.bus, "a.x", "a.x")
    running = asyncio.ensure_future(wire.outlet.run())

    async def be_late(_: str) -> None:
        if len(wire.sent) == 1:
            wire.clock.advance(INTERVAL)

    wire.hook = be_late
    await wire.settle()
    assert wire.received() == [1, "heartbeat", 2]
    assert wire.sent[1]["sequence_number"] == 1
    await wire.end(running)


async def test_a_heartbeat_comes_by_itself_when_nothing_happens() -> None:
    wire = Wire()
    wire.outlet = ASGIOutlet(wire.subscription, wire.send, wire.clock, 0.01)
    sent = asyncio.Event()

    async def tell(_: str) -> None:
        sent.set()

    wire.hook = tell
    running = await wire.run()
    wire.clock.advance(0.01)
    async with asyncio.timeout(WATCHDOG_S):
        await sent.wait()
    assert wire.received() == ["heartbeat"]
    await wire.end(running)


async def test_an_answer_queued_while_a_heartbeat_is_sent_does_not_wait_for_the_next() -> None:
    wire = Wire()
    running = await wire.run()

    async def ask(text: str) -> None:
        if "heartbeat" in text:
            wire.outlet.answer(b'{"type":"pong"}')

    wire.hook = ask
    wire.clock.advance(INTERVAL)
    wire.subscription.wake()
    await wire.settle()
    assert wire.received() == ["heartbeat", "pong"]
    await wire.end(running)


async def test_closing_while_a_heartbeat_is_sent_ends_the_outlet() -> None:
    wire = Wire()
    running = await wire.run()

    async def close(_: str) -> None:
        wire.subscription.close()

    wire.hook = close
    wire.clock.advance(INTERVAL)
    wire.subscription.wake()
    async with asyncio.timeout(WATCHDOG_S):
        await running
    assert wire.received() == ["heartbeat"]


async def test_a_failing_send_ends_the_outlet_with_its_error() -> None:
    wire = Wire()

    async def fail(_: str) -> None:
        raise ConnectionResetError

    wire.hook = fail
    publish(wire.bus, "a.x", "a.x")
    with pytest.raises(ConnectionResetError):
        await wire.outlet.run()
    assert wire.received() == [1]


async def test_cancelling_stops_the_outlet_and_the_rest_stays_owed() -> None:
    wire = Wire()
    publish(wire.bus, "a.x", "a.x")
    stuck = asyncio.Event()

    async def block(_: str) -> None:
        await stuck.wait()

    wire.hook = block
    running = await wire.run()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (wire.received(), len(wire.subscription)) == ([1], 1)
