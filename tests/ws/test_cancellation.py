"""Cancelled at any of its awaits, a connection leaves no place, no subscription and no task."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.channels.bus import EventBus
from app.main import create_app
from app.settings import Settings
from app.ws.outlet import TRANSPORT
from app.ws.registry import ConnectionRegistry

TOKEN = b"cancel-token-0123456789"
MOST_AWAITS = {"stays": 60, "leaves": 60, "floods": 450}


class FakeTransport:
    writable = True
    evicted: str | None = None

    def attach(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        pass

    def write(self, frames: bytes) -> None:
        pass

    def abort(self, reason: str) -> None:
        self.evicted = reason


def scope_of(direct: bool) -> dict[str, Any]:
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    if direct:
        extensions[TRANSPORT] = FakeTransport()
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", 3000),
        "client": ("127.0.0.1", 5000),
        "root_path": "",
        "path": "/ws",
        "raw_path": b"/ws",
        "query_string": b"last_sequence_number=0",
        "headers": [(b"host", b"localhost"), (b"x-session-token", TOKEN)],
        "subprotocols": [],
        "state": {},
        "extensions": extensions,
    }


async def one_turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
@pytest.mark.parametrize("end", ["stays", "leaves", pytest.param("floods", marks=pytest.mark.slow)])
async def test_cancelled_at_any_await_a_connection_leaves_nothing(
    tmp_path: Path, direct: bool, end: str
) -> None:
    app = create_app(
        Settings(session_token=TOKEN.decode(), state_dir=tmp_path / "s", workspace=None)
    )
    bus: EventBus = app.dependencies["bus"].dependency()
    registry: ConnectionRegistry = app.dependencies["registry"].dependency()
    publisher = app.dependencies["publisher"].dependency()

    async def live_for(turns: int) -> bool:
        """Serve a client, cancel it after so many turns; whether it had ended before."""
        pings = 300 if end == "floods" else 2
        coming = [{"type": "websocket.connect"}]
        coming += [{"type": "websocket.receive", "text": '{"type":"ping"}'}] * pings
        coming += [{"type": "websocket.disconnect", "code": 1000}] * (end == "leaves")

        async def receive() -> dict[str, Any]:
            await one_turn()
            return coming.pop(0) if coming else await asyncio.Future()

        async def send(message: dict[str, Any]) -> None:
            await one_turn()

        serving = asyncio.create_task(app(scope_of(direct), receive, send))
        for _ in range(turns):
            await one_turn()
        ended = serving.done()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return ended

    async with app.lifespan():
        await publisher.publish("chat.message_sent", {"role": "user", "content": "x"})
        before = asyncio.all_tasks()
        places = set()
        for turns in range(MOST_AWAITS[end]):
            ended = await live_for(turns)
            assert (registry.taken, bus.subscriptions) == (0, 0), f"after {turns} turns"
            assert asyncio.all_tasks() == before, f"after {turns} turns"
            places.add(ended)
    assert places == ({True, False} if end == "leaves" else {False})
