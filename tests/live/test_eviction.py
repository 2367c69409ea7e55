"""Clients that vanish, stall or reset, and the end of the gateway itself."""

import asyncio
import socket
import struct

import pytest

from app.errors import UnavailableError
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD
from tests.kit.messages import close_code, receive
from tests.kit.waiting import WATCHDOG_S, ticks, until

BIG = "x" * 200_000
TINY = 4096


async def stalled(gateway: Gateway) -> socket.socket:
    """A client that reads nothing after the handshake, with buffers full on both sides."""
    raw, answer = await gateway.open_raw(GOOD, receive_buffer=TINY)
    assert answer.status == 101
    await until(lambda: gateway.bus.subscriptions == 1)
    await gateway.publish(20, BIG)
    (protocol,) = gateway.server.server_state.connections
    await until(lambda: not protocol.writable.is_set())
    return raw


async def test_a_client_that_stops_reading_is_evicted_and_its_place_is_free(start: Start) -> None:
    gateway = await start(max_clients=1, heartbeat_interval_s=0.5, pong_timeout_s=0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stalled(gateway)
    assert (await gateway.refusal(GOOD)).status == 503
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0, 3)
    assert loop.time() - began < 0.5 + 0.3 + 0.7
    async with gateway.connect() as client:
        assert (await receive(client))["type"] == "connected"


async def test_a_stalled_client_is_evicted_also_while_publishing_goes_on(start: Start) -> None:
    gateway = await start(heartbeat_interval_s=0.5, pong_timeout_s=0.3)

    async def pump() -> None:
        async for _ in ticks(0.005):
            await gateway.publish(1, BIG)

    await stalled(gateway)
    pumping = asyncio.create_task(pump())
    try:
        await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0, 2)
    finally:
        pumping.cancel()


async def test_a_client_that_does_not_read_has_its_own_queue_after_a_few_hundred_events(
    start: Start,
) -> None:
    gateway = await start()
    _, answer = await gateway.open_raw(GOOD)
    assert answer.status == 101
    await until(lambda: gateway.bus.subscriptions == 1)
    while not gateway.bus.queued:
        await gateway.publish(1, "x" * 1024)
        assert gateway.bus.head < 600  # what system and transport take, at 1 KB an event


async def test_a_client_that_reads_but_never_answers_a_ping_is_evicted(start: Start) -> None:
    gateway = await start(heartbeat_interval_s=0.4, pong_timeout_s=0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    raw, _ = await gateway.open_raw(GOOD)
    received = b""
    try:
        async with asyncio.timeout(WATCHDOG_S):
            while chunk := await loop.sock_recv(raw, 65536):
                received += chunk
    except ConnectionResetError:
        pass
    assert 0.5 < loop.time() - began < 0.4 + 0.3 + 0.7
    assert b"\x89\x04" in received  # the ping
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


async def test_a_client_that_answers_pings_stays(start: Start) -> None:
    gateway = await start(heartbeat_interval_s=0.1, pong_timeout_s=0.1)
    async with gateway.connect() as client:
        await receive(client)
        beats = [await receive(client) for _ in range(8)]
        assert {beat["type"] for beat in beats} == {"heartbeat"}
        assert gateway.registry.taken == 1


async def test_a_slow_reader_gets_a_gap_with_exactly_what_it_lost(start: Start) -> None:
    gateway = await start(queue_size=5)
    async with gateway.connect(max_queue=1, max_size=None) as client:
        await receive(client)
        await gateway.publish(60, BIG)
        await gateway.publish()
        expected, lost = 1, 0
        while expected <= 61:
            message = await receive(client)
            if message["type"] == "gap":
                assert message["reason"] == "slow_consumer"
                assert message["from_sequence_number"] == expected
                expected = message["to_sequence_number"] + 1
                lost += message["dropped"]
            else:
                assert message["sequence_number"] == expected
                expected += 1
        assert lost > 0


async def test_the_end_of_the_gateway_closes_1012_and_takes_under_5_s(gateway: Gateway) -> None:
    clients = [await gateway.connect() for _ in range(3)]
    for client in clients:
        await receive(client)
    codes = asyncio.gather(*(close_code(client) for client in clients))
    assert await gateway.stop() < 5
    assert await codes == [1012, 1012, 1012]
    assert gateway.registry.taken == gateway.bus.subscriptions == 0


@pytest.mark.slow
async def test_the_gateway_ends_within_5_s_also_with_a_stalled_client(gateway: Gateway) -> None:
    await stalled(gateway)
    async with gateway.connect() as client:
        await receive(client)
        code = asyncio.create_task(close_code(client))
        assert await gateway.stop() < 5
        assert await code == 1012
    assert gateway.registry.taken == gateway.bus.subscriptions == 0


@pytest.mark.parametrize("how", ["close", "half-close", "reset", "vanish"])
async def test_a_disconnect_leaves_no_subscription_place_or_task(
    gateway: Gateway, how: str
) -> None:
    before = asyncio.all_tasks()
    if how == "close":
        async with gateway.connect() as client:
            await receive(client)
            await gateway.publish(10)
    else:
        raw, _ = await gateway.open_raw(GOOD)
        await until(lambda: gateway.bus.subscriptions == 1)
        await gateway.publish(10)
        if how == "half-close":
            raw.shutdown(socket.SHUT_WR)
        elif how == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        else:
            raw.close()
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    await until(lambda: asyncio.all_tasks() <= before)
    assert not gateway.server.server_state.connections


async def test_a_stalled_client_that_resets_leaves_nothing(gateway: Gateway) -> None:
    before = asyncio.all_tasks()
    raw = await stalled(gateway)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    await until(lambda: asyncio.all_tasks() <= before)


async def test_a_stalled_client_that_is_replaced_loses_its_place_at_once(start: Start) -> None:
    gateway = await start(max_clients=1)
    raw, _ = await gateway.open_raw(GOOD, path="/ws?client_id=me", receive_buffer=TINY)
    await until(lambda: gateway.bus.subscriptions == 1)
    await gateway.publish(20, BIG)
    async with gateway.connect("?client_id=me&types=git.*") as client:
        assert (await receive(client))["type"] == "connected"
        assert gateway.registry.taken == 1
    raw.close()
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


@pytest.mark.slow
async def test_a_slow_link_lives_while_it_drains_and_not_longer(start: Start) -> None:
    gateway = await start(heartbeat_interval_s=0.5, pong_timeout_s=0.5, queue_size=100)
    loop = asyncio.get_running_loop()
    raw = await stalled(gateway)  # its pongs are stuck behind what it has yet to read

    async def pump() -> None:
        async for _ in ticks(0.01):
            await gateway.publish(1, BIG)

    pumping = asyncio.create_task(pump())
    try:
        async for tick in ticks(0.02):  # the slow link, for two and a half seconds
            assert await loop.sock_recv(raw, 65536)
            if tick == 125:
                break
        assert gateway.registry.taken == 1
        await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0, 2.5)
    finally:
        pumping.cancel()


async def test_a_stalled_client_does_not_delay_another(gateway: Gateway) -> None:
    await stalled(gateway)
    head = gateway.bus.head
    async with gateway.connect() as client:
        await receive(client)
        async with asyncio.timeout(WATCHDOG_S):
            for number in range(head + 1, head + 101):
                await gateway.publish(1, "x" * 1000)
                assert (await receive(client))["sequence_number"] == number


async def test_publishing_after_the_end_is_refused_at_once_also_from_a_thread(
    gateway: Gateway,
) -> None:
    await gateway.stop()
    with pytest.raises(UnavailableError, match="shutting down"):
        await gateway.publish()
    with pytest.raises(UnavailableError, match="shutting down"):
        await asyncio.to_thread(gateway.publisher.publish_from_thread, "system.error")
