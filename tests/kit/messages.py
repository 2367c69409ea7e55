"""What a WebSocket client receives."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.kit.waiting import WATCHDOG_S


async def receive(client: ClientConnection, timeout_s: float = WATCHDOG_S) -> dict[str, Any]:
    """The next message."""
    return json.loads(await asyncio.wait_for(client.recv(), timeout_s))


async def receive_type(client: ClientConnection, type_: str) -> dict[str, Any]:
    """The next message of this type; others are passed over."""
    async with asyncio.timeout(WATCHDOG_S):
        while True:
            message = json.loads(await client.recv())
            if message["type"] == type_:
                return message


async def close_code(client: ClientConnection, timeout_s: float = WATCHDOG_S) -> int | None:
    """Read to the end of the connection and return its close code."""
    async with asyncio.timeout(timeout_s):
        with suppress(ConnectionClosed):
            while True:
                await client.recv()
    return client.close_code
