"""What a request over HTTP may cost: tasks, timers, writes, readings of its headers, calls.

Each number bounds the work for every request. Times are measured in `benchmarks/`.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from uvicorn.server import ServerState

from app.auth import credentials, guards
from app.main import create_app
from app.server.http import SightlineHTTPProtocol
from app.server.serve import uvicorn_config
from app.settings import Settings
from tests.kit.transport import FakeTransport

TOKEN = "a-token-for-this-test"
POST = ("/api/events", b'{"type":"system.error","data":{"message":"x"}}', b"HTTP/1.1 201 ")
HOOK = (
    "/api/hooks/claude-code",
    b'{"session_id":"s","hook_event_name":"Stop"}',
    b"HTTP/1.1 204 ",
)
ROUNDS = 20
MOST_TURNS = 10  # of the loop, for one answer
MOST_CALLS = {
    POST: 300,
    HOOK: 380,
}  # of Python functions, by both ends; a tenth more than there are
Way = tuple[str, bytes, bytes]


class Line:
    """A kept connection to a gateway without its journal."""

    def __init__(self, protocol: SightlineHTTPProtocol) -> None:
        self.protocol = protocol
        self.transport = FakeTransport()
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

    async def ask(self, way: Way) -> None:
        """Send a request, and wait for the answer to it."""
        path, body, answer = way
        written = self.transport.writes
        written.clear()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"X-Session-Token: {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.protocol.data_received(head.encode() + body)
        for _ in range(MOST_TURNS):
            if not written:
                await asyncio.sleep(0)
        assert written[0].startswith(answer)
        assert self.protocol.cycle.response_complete  # head and body were one write


@asynccontextmanager
async def kept(tmp_path: Path) -> AsyncIterator[Line]:
    """A connection on which a post and a hook are answered."""
    settings = Settings(session_token=TOKEN, state_dir=tmp_path, workspace=None, journal="")
    app = create_app(settings)
    config = uvicorn_config(app, settings)
    config.load()  # first, as `serve` does
    async with app.lifespan():
        make: Callable[..., Any] = config.http_protocol_class
        one = Line(make(config, ServerState(), {}))
        for way in (POST, HOOK):
            await one.ask(way)  # what is made once
        yield one
        one.protocol.connection_lost(None)


ways = pytest.mark.parametrize("way", [POST, HOOK], ids=["post", "hook"])


@ways
async def test_a_request_on_a_kept_connection_takes_one_task_and_no_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    loop, made = asyncio.get_running_loop(), Counter[str]()

    def counted(name: str) -> Callable[..., Any]:
        does = getattr(loop, name)

        def count(*given: Any, **named: Any) -> Any:
            made[name] += 1
            return does(*given, **named)

        return count

    async with kept(tmp_path) as line:
        for name in ("create_task", "call_at"):
            monkeypatch.setattr(loop, name, counted(name))
        for _ in range(ROUNDS):
            await line.ask(way)
        assert made["create_task"] == ROUNDS
        assert made["call_at"] <= 2  # a timer of the gateway itself may end meanwhile


@ways
async def test_the_headers_of_a_request_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    read = []
    by_name = credentials.by_name

    def counted(headers: credentials.Headers) -> credentials.ByName:
        read.append(headers)
        return by_name(headers)

    monkeypatch.setattr(guards, "by_name", counted)
    async with kept(tmp_path) as line:
        read.clear()
        for _ in range(ROUNDS):
            await line.ask(way)
    assert sum(not isinstance(headers, dict) for headers in read) == ROUNDS


@ways
async def test_the_calls_of_a_request_are_bounded(tmp_path: Path, way: Way) -> None:
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    async with kept(tmp_path) as line:
        sys.setprofile(count)
        try:
            for _ in range(ROUNDS):
                await line.ask(way)
        finally:
            sys.setprofile(None)
    assert calls / ROUNDS <= MOST_CALLS[way]


async def test_requests_write_no_access_log(tmp_path: Path) -> None:
    async with kept(tmp_path) as line:
        assert not line.protocol.access_log


async def test_a_connection_that_waits_for_a_request_is_closed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, again, closed = 1000.0, list[float](), list[bool]()
    async with kept(tmp_path) as line:
        protocol = line.protocol
        with monkeypatch.context() as patched:
            patched.setattr(line.transport, "close", lambda: closed.append(True))
            patched.setattr(protocol.loop, "time", lambda: now)
            patched.setattr(protocol.loop, "call_later", lambda after, _: again.append(after))
            for since in (now - protocol.timeout_keep_alive + 1, None):  # None: amid a request
                protocol._idle_since = since
                protocol._look_at_idle()
                assert (again, closed) == ([1.0], [])
            protocol._idle_since = now - protocol.timeout_keep_alive
            protocol._look_at_idle()
            assert (again, closed) == ([1.0], [True])
            protocol._look = None
