"""RFC 6455 by Autobahn's cases, which kosoku runs against our protocol class below an echo."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from kosoku import FailureError, run_fuzzingclient

from app.metrics import Counters
from app.server.http import http_protocol
from app.server.websocket import SightlineWebSocketProtocol
from tests.kit.waiting import until

# Frames, control frames, reserved bits and opcodes, fragments, UTF-8, closing; then what takes
# longer: big messages and thousands of them. Without 12 and 13: compression is switched off.
SHORT = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LONG = ["9.*"]
DOCUMENTED = {"7.1.5"}  # a close within a fragmented message: websockets answers it, and says so


async def echo(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    config = uvicorn.Config(
        echo,
        ws=SightlineWebSocketProtocol,
        http=http_protocol(100, Counters()),
        ws_max_size=32 * 1024 * 1024,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="critical",
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def failed_of(cases: list[str]) -> tuple[int, dict[str, str]]:
    """How many cases were run, and what was wrong in those that failed."""
    async with echo_server() as url:
        try:
            results = await run_fuzzingclient(url, cases, concurrency=2)
        except FailureError as error:
            results = error.results
    return len(results), {each.case_id: each.result for each in results if not each.passed}


@pytest.mark.slow
async def test_the_protocol_class_passes_autobahns_cases_for_what_it_speaks() -> None:
    ran, failed = await failed_of(SHORT)
    assert ran > 200
    assert set(failed) == DOCUMENTED, failed


@pytest.mark.attack
async def test_the_protocol_class_passes_autobahns_big_messages_and_many_of_them() -> None:
    ran, failed = await failed_of(LONG)
    assert ran > 50
    assert not failed
