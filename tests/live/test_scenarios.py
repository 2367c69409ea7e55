"""What the gateway was asked for, scenario by scenario, over real sockets."""

import asyncio
import json
import re
import statistics
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.kit.gateway import Gateway, Start
from tests.kit.messages import receive
from tests.kit.waiting import until
from tests.support import FakeClock

STARTED = {"workflow_id": "w1", "workflow_name": "Create PRD"}


async def three_clients(gateway: Gateway) -> list[Any]:
    clients = [await gateway.connect() for _ in range(3)]
    for client in clients:
        assert (await receive(client))["type"] == "connected"
    return clients


async def test_a_client_with_the_token_in_its_header_gets_a_confirmation_and_then_heartbeats(
    start: Start,
) -> None:
    gateway = await start(heartbeat_interval_s=0.05)
    async with gateway.connect() as client:
        confirmation = await receive(client)
        assert (confirmation["type"], confirmation["heartbeat_interval_s"]) == ("connected", 0.05)
        for _ in range(2):
            assert (await receive(client))["type"] == "heartbeat"


async def test_all_three_clients_get_a_published_event_with_its_number_and_timestamp(
    gateway: Gateway,
) -> None:
    clients = await three_clients(gateway)
    await gateway.publisher.publish("workflow.started", STARTED)
    for client in clients:
        event = await receive(client)
        assert set(event) == {"type", "timestamp", "sequence_number", "data", "metadata"}
        assert (event["type"], event["data"]) == ("workflow.started", STARTED)
        assert event["sequence_number"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["timestamp"])
        await client.close()


@pytest.mark.attack
async def test_all_three_clients_get_a_published_event_within_10_ms(gateway: Gateway) -> None:
    clients = await three_clients(gateway)
    took_s = []
    now = asyncio.get_running_loop().time  # stands still while other processes have the processor
    for _ in range(100):
        began = now()
        await gateway.publisher.publish("workflow.started", STARTED)
        await asyncio.gather(*(receive(client) for client in clients))
        took_s.append(now() - began)
    assert statistics.median(took_s) < 0.01
    for client in clients:
        await client.close()


async def test_a_client_at_number_100_that_is_back_after_10_s_gets_101_to_110_and_then_the_stream(
    start: Start,
) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    async with gateway.connect() as client:
        epoch = (await receive(client))["epoch"]
        await gateway.publish(100)
        last = [(await receive(client))["sequence_number"] for _ in range(100)][-1]
    await until(lambda: gateway.bus.subscriptions == 0)
    await gateway.publish(10)
    clock.advance(10)
    headers = [("X-Last-Sequence", str(last)), ("X-Epoch", epoch)]
    async with gateway.connect(headers=headers) as client:
        connected = await receive(client)
        assert (last, connected["resumed"], connected["replayed"]) == (100, True, 10)
        missed = [(await receive(client))["sequence_number"] for _ in range(10)]
        assert missed == list(range(101, 111))
        await gateway.publish()
        assert (await receive(client))["sequence_number"] == 111


async def test_a_client_without_a_token_is_refused_with_401_and_the_refusal_is_logged(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    with pytest.raises(InvalidStatus) as caught:
        await gateway.connect(token=None)
    assert caught.value.response.status_code == 401
    assert (gateway.registry.taken, gateway.bus.subscriptions) == (0, 0)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (refused,) = [line for line in lines if line["event"] == "refused"]
    assert (refused["status"], refused["path"]) == (401, "/ws")


async def test_the_others_are_served_on_when_one_client_is_cut_off(gateway: Gateway) -> None:
    first, second, third = await three_clients(gateway)
    first.transport.abort()
    await until(lambda: gateway.bus.subscriptions == gateway.registry.taken == 2)
    await gateway.publish()
    for client in (second, third):
        assert (await receive(client))["sequence_number"] == 1
        await client.close()
