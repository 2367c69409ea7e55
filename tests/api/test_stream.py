"""The stream of server-sent events: its ids, and what a client receives that joins meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.api import stream
from app.api.stream import EventStream
from app.catalog.registry import Catalog
from app.channels.backend import BackendStatus, MemoryBackend
from app.channels.bus import EventBus
from app.channels.filters import EventFilter
from app.channels.publisher import EventPublisher
from app.errors import CloseCode
from app.events import Position
from app.journal.journal import Journal
from app.settings import Settings
from app.ws import sending
from app.ws.flow import Parts
from app.ws.messages import Notice, encode
from app.ws.registry import ConnectionRegistry
from app.ws.sending import block, first_position
from tests.kit.waiting import WATCHDOG_S, until
from tests.support import EPOCH, FakeClock, make_bus, publish


def test_a_block_is_an_id_and_one_line_of_data() -> None:
    assert block("e.1", 7, b'{"a":1}') == b'id: e.1:7\ndata: {"a":1}\n\n'


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (None, (EPOCH, 10)),
        (Position(7, EPOCH), (EPOCH, 7)),
        (Position(10, EPOCH), (EPOCH, 10)),
        (Position(11, EPOCH), (EPOCH, 0)),
        (Position(7, "another"), ("another", 7)),
    ],
)
def test_connected_promises_nothing_that_is_still_to_come(
    position: Position | None, expected: tuple[str, int]
) -> None:
    assert first_position(position, EPOCH, 10) == expected


class Client:
    """An ASGI server and its client in one: what was sent, and a way to leave."""

    def __init__(
        self,
        bus: EventBus,
        position: Position | None = None,
        backend: MemoryBackend | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.registry = ConnectionRegistry(1)
        self.messages: list[Any] = []
        self.send: Callable[[object], Awaitable[None]] | None = None  # before a message is kept
        self._gone = asyncio.Event()
        settings = Settings(state_dir=Path("unused"))
        backend = backend or MemoryBackend(bus)
        publisher = EventPublisher(backend, Catalog(), bus.clock, settings.max_event_bytes)
        parts = Parts(bus, backend, bus._store, self.registry, settings, journal, publisher)
        serving = EventStream(parts, EventFilter(), position)
        self.serving = asyncio.create_task(
            serving({"type": "http"}, self._receive, self._send)  # type: ignore[typeddict-item]
        )

    @property
    def blocks(self) -> list[tuple[str, dict[str, Any]]]:
        text = b"".join(message.get("body", b"") for message in self.messages).decode()
        pairs = (block.split("\ndata: ") for block in text.split("\n\n")[:-1])
        return [(id_.removeprefix("id: "), json.loads(data)) for id_, data in pairs]

    async def leave(self) -> None:
        self._gone.set()
        await self.serving

    async def _receive(self) -> Any:
        if not self.messages:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.send is not None:
            await self.send(message)
        self.messages.append(message)


async def test_what_is_published_while_connected_is_on_its_way_comes_behind_it() -> None:
    bus = make_bus(FakeClock())
    publish(bus, "a.x")
    client = Client(bus)
    asyncio.get_running_loop().call_soon(lambda: publish(bus, "a.x"))  # joined, nothing sent yet
    await until(lambda: len(client.blocks) == 2)
    (connected_id, connected), (event_id, _) = client.blocks
    assert (connected_id, connected["sequence_number"]) == (f"{EPOCH}:1", 1)
    assert event_id == f"{EPOCH}:2"
    await client.leave()
    assert (client.registry.taken, bus.subscriptions) == (0, 0)


async def test_a_stream_that_is_cancelled_leaves_nothing() -> None:
    bus = make_bus(FakeClock())
    client = Client(bus)
    before = asyncio.all_tasks()
    await until(lambda: client.blocks)
    client.serving.cancel()
    await asyncio.gather(client.serving, return_exceptions=True)
    assert (client.registry.taken, bus.subscriptions) == (0, 0)
    assert asyncio.all_tasks() < before


async def test_a_place_that_is_taken_over_or_drained_ends_the_stream() -> None:
    bus = make_bus(FakeClock())
    for end in (
        lambda registry, client_id: registry.reserve(client_id),
        lambda registry, client_id: registry.close(),
    ):
        client = Client(bus)
        await until(lambda client=client: client.blocks)
        end(client.registry, client.blocks[0][1]["client_id"])
        await asyncio.wait_for(client.serving, WATCHDOG_S)
        assert client.messages[-1] == {
            "type": "http.response.body",
            "body": b"",
            "more_body": False,
        }
        assert bus.subscriptions == 0


async def test_a_heartbeat_is_never_ahead_of_what_is_still_owed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "RUN_BYTES", 1)  # one event at a time
    clock = FakeClock()
    bus = make_bus(clock)
    client = Client(bus)
    await until(lambda: client.blocks)
    clock.advance(stream.HEARTBEAT_INTERVAL_S)
    publish(bus, "a.x", "a.x", "a.x")
    await until(lambda: len(client.blocks) == 5)
    numbers = [(message["type"], message["sequence_number"]) for _, message in client.blocks[1:]]
    assert numbers == [("a.x", 1), ("heartbeat", 1), ("a.x", 2), ("a.x", 3)]
    assert [id_ for id_, _ in client.blocks] == [f"{EPOCH}:{n}" for n in (0, 1, 1, 2, 3)]
    await client.leave()


async def test_notices_of_the_gateway_come_as_over_a_websocket_where_the_stream_is() -> None:
    class Away(MemoryBackend):
        status = BackendStatus("away", connected=False)

    bus = make_bus(FakeClock())
    publish(bus, "a.x")
    client = Client(bus, Position(0, EPOCH), Away(bus))
    await until(lambda: len(client.blocks) == 3)
    client.registry.send_all(encode(Notice.backend_back("2026-11-22T21:00:00.123Z")))
    await until(lambda: len(client.blocks) == 4)
    reported = [(id_, message.get("code", message["type"])) for id_, message in client.blocks]
    assert reported == [
        (f"{EPOCH}:0", "connected"),
        (f"{EPOCH}:1", "a.x"),
        (f"{EPOCH}:1", "backend_away"),
        (f"{EPOCH}:1", "backend_back"),
    ]
    await client.leave()


async def test_a_stream_that_is_closed_before_its_head_is_out_is_still_a_whole_response() -> None:
    bus = make_bus(FakeClock())
    client = Client(bus)
    await until(lambda: bus.subscriptions == 1 or client.serving.done())
    client.registry.close_all(CloseCode.RESTART, "")
    await asyncio.wait_for(client.serving, WATCHDOG_S)
    assert [message["type"] for message in client.messages[:1]] == ["http.response.start"]
    assert client.messages[-1]["more_body"] is False
    assert (client.registry.taken, bus.subscriptions) == (0, 0)


@pytest.mark.parametrize("error", [ConnectionResetError(), RuntimeError("broken")])
async def test_a_send_that_fails_ends_the_stream_and_leaves_nothing(error: Exception) -> None:
    bus = make_bus(FakeClock())
    before = asyncio.all_tasks()
    client = Client(bus)
    await until(lambda: client.blocks)

    async def fail(message: object) -> None:
        raise error

    client.send = fail
    publish(bus, "a.x")
    await asyncio.wait_for(client.serving, WATCHDOG_S)
    assert (client.registry.taken, bus.subscriptions) == (0, 0)
    assert asyncio.all_tasks() <= before | {client.serving}
