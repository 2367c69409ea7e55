"""`GET /metrics` over a real socket, read by Prometheus' own parser."""

import asyncio
import json

import pytest

from app.server.request_bytes import UNWANTED_BYTES
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, dial, hurl, request, rest
from tests.kit.messages import close_code, receive, receive_type
from tests.kit.metrics import scrape
from tests.kit.waiting import until


async def test_what_is_published_delivered_replayed_and_refused_is_counted(start: Start) -> None:
    gateway = await start(max_clients=3)
    async with gateway.connect() as client, gateway.connect("?types=git.*"):
        await receive(client)
        await gateway.publish(3)
        await receive_type(client, "chat.message_sent")
        async with gateway.connect("?last_sequence_number=1") as late:
            assert (await receive(late))["replayed"] == 2
            await receive(late)
            await receive(late)
            assert (await gateway.refusal(GOOD)).status == 503
            assert (await gateway.refusal()).status == 401
            found = await scrape(gateway)
    assert (found["connections"], found["places_free"]) == (3, 0)
    assert (found["sequence_number"], found["published_total{chat}"]) == (3, 3)
    assert (found["delivered_total"], found["replayed_total"]) == (5, 2)
    assert (found["refusals_total{401}"], found["refusals_total{503}"]) == (1, 1)
    assert found["publish_to_write_seconds_count"] == found["publish_to_write_seconds_bucket{+Inf}"]
    assert found["publish_to_write_seconds_count"] >= 1


async def test_every_gap_and_every_loss_is_counted_by_its_reason_and_logged(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start(replay_limit=1)
    await gateway.publish(3)
    async with gateway.connect(f"?last_sequence_number=0&epoch={gateway.bus.epoch}") as client:
        await receive_type(client, "gap")
    async with gateway.connect("?last_sequence_number=0&epoch=another") as client:
        await receive_type(client, "gap")
    found = await scrape(gateway)
    assert found["gaps_total{replay_limit}"] == 2
    assert found["dropped_total{replay_limit}"] == 4
    assert found["gaps_total{epoch_changed}"] == 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    reported = [line["reason"] for line in lines if line["event"] == "gap"]
    assert reported == ["replay_limit", "epoch_changed", "replay_limit"]


async def test_a_client_that_is_evicted_and_what_waits_for_one_behind_is_counted(
    start: Start,
) -> None:
    gateway = await start(heartbeat_interval_s=0.5, pong_timeout_s=0.3, queue_size=5)
    await gateway.open_raw(GOOD, receive_buffer=4096)
    await until(lambda: gateway.bus.subscriptions == 1)
    await gateway.publish(40, "x" * 200_000)
    found = await scrape(gateway)
    assert found["queued_events"] == 5
    assert found["dropped_total{slow_consumer}"] > 0
    await until(lambda: gateway.registry.taken == 0)
    assert (await scrape(gateway))["evictions_total{stalled}"] == 1


async def test_a_client_that_the_gateway_closes_is_counted_by_the_code_and_logged_once(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    async with gateway.connect("?client_id=me") as replaced:
        await receive(replaced)
        async with gateway.connect("?client_id=me") as talker:
            await receive(talker)
            assert await close_code(replaced) == 4409
            for _ in range(300):
                await talker.send('{"type":"ping"}')
            assert await close_code(talker) == 4429
    await until(lambda: gateway.bus.subscriptions == 0)
    found = await scrape(gateway)
    assert (found["evictions_total{close_4409}"], found["evictions_total{close_4429}"]) == (1, 1)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    reported = [line["evicted"] for line in lines if line["event"] == "client_gone"]
    assert reported == ["close_4409", "close_4429"]


async def test_a_client_that_cannot_be_answered_any_more_is_counted_and_logged_once(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    raw = await dial(gateway, request(b"X-Session-Token: " + GOOD[1], path=b"/api/events/stream"))
    await until(lambda: gateway.bus.subscriptions == 1)
    await hurl(raw, b"x" * (UNWANTED_BYTES + 1))  # behind a request whose answer is under way
    await rest(raw)
    await until(lambda: gateway.bus.subscriptions == 0)
    assert (await scrape(gateway))["evictions_total{bad_request}"] == 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["reason"] for line in lines if line["event"] == "evicted"] == ["bad_request"]


@pytest.mark.slow
async def test_a_blocked_event_loop_shows_as_lag(gateway: Gateway) -> None:
    lag = gateway.bus.counters.loop_lag
    await until(lambda: sum(lag.buckets) >= 1)
    assert lag.total_s < 0.5
    before = lag.total_s
    loop = asyncio.get_running_loop()
    blocked_until = loop.time() + 0.8
    while loop.time() < blocked_until:
        pass
    await until(lambda: sum(lag.buckets) >= 2)
    assert lag.total_s > before + 0.2
