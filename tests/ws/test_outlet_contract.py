"""What a client gets is the same over all outlets: in which order, and how much of it is kept.

An event stream has no control messages that answer a client: its outlet runs only the tests without.
"""

import asyncio

import msgspec
import pytest

from app.channels.filters import EventFilter
from app.ws.outlet import MAX_CONTROL, DirectOutlet
from app.ws.sending import ASGIOutlet, SSEOutlet
from tests.support import FakeClock, FakeTransport, make_bus, publish

INTERVAL_S = 30.0
QUEUE_SIZE = 4
Messages = list[dict[str, object]]


class Direct:
    """A client whose connection is full until it reads."""

    def __init__(self) -> None:
        self.bus = make_bus(FakeClock(), queue_size=QUEUE_SIZE)
        self.subscription = self.bus.join(EventFilter(("*",)))[0]
        self._transport = FakeTransport()
        self.outlet = DirectOutlet(self.subscription, self._transport, self.bus.clock, INTERVAL_S)
        self.outlet.attach()
        self._transport.writable = False
        self.subscription.fall_behind()

    async def read(self) -> Messages:
        found: Messages = []
        while part := self._transport.take() or self._transport.take():
            found += part
        return found


class OverASGI:
    """A client whose outlet is not started until it reads."""

    outlet: ASGIOutlet | SSEOutlet

    def __init__(self) -> None:
        self.bus = make_bus(FakeClock(), queue_size=QUEUE_SIZE)
        self.subscription = self.bus.join(EventFilter(("*",)))[0]
        self.outlet = ASGIOutlet(self.subscription, self._send, self.bus.clock, INTERVAL_S)
        self._sent: Messages = []

    async def _send(self, text: str) -> None:
        self._sent.append(msgspec.json.decode(text))

    async def read(self) -> Messages:
        sending = asyncio.ensure_future(self.outlet.run())
        for _ in range(50):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return self._sent


class OverSSE(OverASGI):
    """The same over an event stream, without the block of `connected`."""

    def __init__(self) -> None:
        super().__init__()
        self.outlet = SSEOutlet(self.subscription, self._send_blocks, self.bus, INTERVAL_S, b"")

    async def _send_blocks(self, blocks: bytes) -> None:
        for block in blocks.decode().split("\n\n")[:-1]:
            await self._send(block.partition("data: ")[2])


Client = Direct | OverASGI


@pytest.fixture(params=[Direct, OverASGI])
def client(request: pytest.FixtureRequest) -> Client:
    made: Client = request.param()
    return made


@pytest.fixture(params=[Direct, OverASGI, OverSSE])
def reader(request: pytest.FixtureRequest) -> Client:
    made: Client = request.param()
    return made


def answer(client: Client, type_: str, in_order: bool = False) -> bool:
    return client.outlet.answer(msgspec.json.encode({"type": type_}), in_order)


async def received(client: Client) -> list[object]:
    """Types of control messages and numbers of events, in the order received."""
    messages = await client.read()
    return [m["sequence_number"] if "data" in m else m["type"] for m in messages]


async def test_answers_come_before_the_events_that_wait(client: Client) -> None:
    publish(client.bus, "a.x", "a.x")
    assert answer(client, "connected")
    assert await received(client) == ["connected", 1, 2]


async def test_an_answer_in_order_waits_for_the_events_before_it_and_no_others(
    client: Client,
) -> None:
    publish(client.bus, "a.x", "a.x")
    assert answer(client, "subscribed", in_order=True)
    publish(client.bus, "a.x")
    assert answer(client, "pong")
    assert await received(client) == ["pong", 1, 2, "subscribed", 3]


async def test_an_answer_in_order_comes_behind_the_gap_that_stands_for_the_events_before_it(
    client: Client,
) -> None:
    publish(client.bus, "a.x")
    assert answer(client, "subscribed", in_order=True)
    publish(client.bus, *["a.x"] * QUEUE_SIZE)
    client.bus.flush()
    assert await received(client) == ["gap", "subscribed", 2, 3, 4, 5]


async def test_a_gap_is_sent_as_the_protocol_says(reader: Client) -> None:
    publish(reader.bus, *["a.x"] * (QUEUE_SIZE + 2))
    gap, *events = await reader.read()
    assert gap == {
        "type": "gap",
        "from_sequence_number": 1,
        "to_sequence_number": 2,
        "dropped": 2,
        "reason": "slow_consumer",
    }
    assert [event["sequence_number"] for event in events] == [3, 4, 5, 6]


async def test_a_client_that_reads_no_answers_is_refused_more(client: Client) -> None:
    assert all(answer(client, "pong") for _ in range(MAX_CONTROL))
    assert not answer(client, "pong")
    assert not answer(client, "error", in_order=True)
    assert await received(client) == ["pong"] * MAX_CONTROL


async def test_nothing_is_sent_after_the_subscription_was_closed(reader: Client) -> None:
    publish(reader.bus, "a.x")
    reader.subscription.close()
    assert await received(reader) == []
