"""What an attack costs: the memory it takes, and how long other clients wait meanwhile."""

import asyncio
import os
import socket
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.kit.gateway import Gateway
from tests.kit.http import GOOD
from tests.kit.messages import receive
from tests.kit.waiting import ticks

LIMIT_S = 1.0  # the longest wait of a bystander for an event while somebody attacks


async def upgraded(gateway: Gateway, path: str = "/ws", **options: Any) -> socket.socket:
    """A client with the token that has read nothing behind the handshake."""
    raw, answer = await gateway.open_raw(GOOD, path=path, **options)
    assert answer.status == 101
    return raw


@asynccontextmanager
async def bystander(gateway: Gateway, limit_s: float = LIMIT_S) -> AsyncIterator[list[float]]:
    """A client that gets an event every few milliseconds; none may be late. Yields the waits.

    Waits run on the loop's own clock, which other processes do not move. Half of the waits must be
    under a tenth of the limit.
    """
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    stop = asyncio.Event()
    async with gateway.connect("?client_id=bystander") as client:
        await receive(client)

        async def watch() -> None:
            async for _ in ticks(0.002):
                if stop.is_set() and len(waits) >= 5:
                    return
                began = loop.time()
                event = await gateway.publisher.publish("chat.message_sent", MESSAGE)
                while (await receive(client)).get("sequence_number", 0) < event.sequence_number:
                    pass
                waits.append(loop.time() - began)

        watching = asyncio.create_task(watch())
        yield waits
        stop.set()
        await watching
    assert max(waits) < limit_s
    assert statistics.median(waits) < limit_s / 10


MESSAGE = {"role": "user", "content": "still here"}


def resident_bytes() -> int:
    """Memory of this process, the gateway in it."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
