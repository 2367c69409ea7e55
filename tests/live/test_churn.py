"""Long runs: thousands of connections that vanish, and hours of traffic. Nothing may grow."""

import asyncio
import gc
import os
import socket
import struct
from contextlib import suppress

import pytest

from app.events import Clock
from tests.kit.frames import frame
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, dial, hurl
from tests.kit.messages import receive
from tests.kit.waiting import until
from tests.live.attack import resident_bytes, upgraded

MIB = 1024 * 1024
AT_ONCE = 20


class HurriedClock(Clock):
    """An hour passes in a minute: windows and allowances run sixty times as fast."""

    def monotonic(self) -> float:
        return super().monotonic() * 60


async def come_and_vanish(gateway: Gateway, number: int) -> None:
    """One of the ways in which clients are lost, after one of the ways in which they came."""
    with suppress(OSError):
        if number % 5 == 0:
            raw = await dial(gateway, b"GET /ws HTTP/1.1\r\nHos"[: number % 21])
        elif number % 5 == 1:
            raw, _ = await gateway.open_raw((b"X-Session-Token", b"wrong"))
        else:
            query = f"client_id=c{number}&types=chat.t{number},*.m{number}&last_sequence_number=1"
            raw, _ = await gateway.open_raw(GOOD, path=f"/ws?{query}")
            await hurl(raw, frame(1, b'{"type":"subscribe","types":["git.*"]}')[: number % 50])
        if number % 2:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        gateway.raw.remove(raw)


async def cycles(gateway: Gateway, first: int, count: int) -> None:
    for start in range(first, first + count, AT_ONCE):
        await asyncio.gather(*(come_and_vanish(gateway, n) for n in range(start, start + AT_ONCE)))
        await gateway.publish()


async def hold_flat(gateway: Gateway, count: int, most_bytes: int) -> None:
    await cycles(gateway, 0, count // 2)  # caches fill, the heap finds its size
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    gc.collect()
    memory, descriptors = resident_bytes(), len(os.listdir("/proc/self/fd"))
    tasks = len(asyncio.all_tasks())
    await cycles(gateway, count, count)
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    await until(lambda: not gateway.server.server_state.connections)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert resident_bytes() - memory < most_bytes


@pytest.mark.slow
async def test_clients_that_come_and_vanish_leave_nothing(start: Start) -> None:
    gateway = await start(max_clients=AT_ONCE, clock=HurriedClock(), log_level="critical")
    await hold_flat(gateway, 500, 8 * MIB)


@pytest.mark.attack
async def test_10000_clients_that_come_and_vanish_leave_nothing(start: Start) -> None:
    gateway = await start(max_clients=AT_ONCE, clock=HurriedClock(), log_level="critical")
    await hold_flat(gateway, 10_000, 16 * MIB)


async def an_hours_traffic(start: Start, events: int) -> None:
    """The traffic of an hour at its densest second; some read, some stall, some come and go."""
    gateway = await start(clock=HurriedClock(), log_level="critical", max_clients=30)
    seen = 0

    async def read() -> None:
        nonlocal seen
        async with gateway.connect(max_size=None) as client:
            while True:
                seen = (await receive(client))["sequence_number"]

    reading = asyncio.create_task(read())
    await until(lambda: gateway.bus.subscriptions == 1)
    await upgraded(gateway, receive_buffer=4096)  # never reads
    memory = 0
    for turn in range(events // 100):
        await gateway.publish(100, f"{turn} " * 50)
        await until(lambda: seen == gateway.bus.head)
        if turn % 10 == 0:
            await cycles(gateway, turn * AT_ONCE, AT_ONCE)
        if turn == events // 300:
            gc.collect()
            memory = resident_bytes()
    gc.collect()
    assert resident_bytes() - memory < 24 * MIB
    assert gateway.bus.head >= events
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.slow
async def test_dense_traffic_leaves_memory_flat(start: Start) -> None:
    await an_hours_traffic(start, 12_000)


@pytest.mark.attack
async def test_the_traffic_of_hours_leaves_memory_flat(start: Start) -> None:
    await an_hours_traffic(start, 500_000)
