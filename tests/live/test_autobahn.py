"""RFC 6455 by Autobahn's cases, which kosoku runs against our protocol class below an echo."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from kosoku import FailureError, run_fuzzingclient

from app.ws.uvicorn_http import http_protocol
from app.ws.uvicorn_protocol import SightlineWebSocketProtocol
from tests.live.conftest import until

# Frames, control frames, reserved bits and opcodes, fragments, UTF-8, closing. Left to the long
# run: big messages, thousands of messages, and compression, which the gateway has switched off.
SHORT = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
DOCUMENTED = {"7.1.5"}  # a close within a fragmented message: websockets answers it, and says so


async def echo(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@asynccontextmanager
async def echo_server(deflate: bool) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    config = uvicorn.Config(
        echo,
        ws=SightlineWebSocketProtocol,
        http=http_protocol(100),
        ws_max_size=32 * 1024 * 1024,
        ws_per_message_deflate=deflate,
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


async def failed_of(cases: list[str] | None, deflate: bool) -> tuple[int, dict[str, str]]:
    """How many cases were run, and what was wrong in those that failed."""
    async with echo_server(deflate) as url:
        try:
            results = await run_fuzzingclient(url, cases, concurrency=2)
        except FailureError as error:
            results = error.results
    return len(results), {each.case_id: each.result for each in results if not each.passed}


async def test_the_protocol_class_passes_autobahns_cases_for_what_it_speaks() -> None:
    ran, failed = await failed_of(SHORT, deflate=False)
    assert ran > 200
    assert set(failed) == DOCUMENTED, failed


@pytest.mark.attack
async def test_the_protocol_class_passes_all_of_autobahns_cases() -> None:
    ran, failed = await failed_of(None, deflate=True)
    assert ran > 500
    assert set(failed) == DOCUMENTED, failed
