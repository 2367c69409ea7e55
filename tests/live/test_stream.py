"""What a connected client sends and receives."""

import asyncio
import functools
import json
from typing import Any

import pytest

from app.errors import UnavailableError
from app.events import Position
from app.plugin import plugin_of
from app.server.websocket import SightlineWebSocketProtocol
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD
from tests.kit.messages import close_code, receive, receive_type
from tests.kit.waiting import WATCHDOG_S, ticks, until


async def numbers(client: Any, count: int) -> list[int]:
    return [(await receive(client))["sequence_number"] for _ in range(count)]


@pytest.fixture(params=[SightlineWebSocketProtocol, "websockets-sansio"], ids=["direct", "asgi"])
def start(start: Start, request: pytest.FixtureRequest) -> Start:
    """Every test here holds for the direct path, and for ordinary sends on a stock server."""
    return functools.partial(start, ws=request.param)


async def test_an_event_arrives_whole(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await receive(client)
        event = await gateway.publisher.publish(
            "chat.message_sent", {"role": "user", "content": "é\u2028", "more": [1]}, {"agent": "a"}
        )
        assert await receive(client) == {
            "type": "chat.message_sent",
            "timestamp": event.timestamp,
            "sequence_number": 1,
            "data": {"role": "user", "content": "é\u2028", "more": [1]},
            "metadata": {"agent": "a"},
        }


async def test_the_filter_of_the_upgrade_leaves_holes_in_the_numbers(start: Start) -> None:
    gateway = await start(extra_namespaces=("live",))
    async with gateway.connect("?types=live.*,*.message_sent") as client:
        assert (await receive(client))["types"] == ["live.*", "*.message_sent"]
        await gateway.publish()
        await gateway.publisher.publish("file.deleted", {"path": "p", "is_directory": False})
        await gateway.publisher.publish("live.any", {})
        assert await numbers(client, 2) == [1, 3]


async def test_an_empty_filter_gets_nothing_until_it_subscribes(gateway: Gateway) -> None:
    async with gateway.connect("?types=") as client:
        assert (await receive(client))["types"] == []
        await gateway.publish()
        await client.send('{"type":"subscribe","types":["chat.*"],"id":"s1"}')
        answer = {"type": "subscribed", "types": ["chat.*"], "sequence_number": 1, "id": "s1"}
        assert await receive(client) == answer
        await gateway.publish()
        assert await numbers(client, 1) == [2]
        await client.send('{"type":"unsubscribe","types":["chat.*","git.*"],"id":2}')
        answer = {"type": "subscribed", "types": [], "sequence_number": 2, "id": 2}
        assert await receive(client) == answer
        await gateway.publish()
        await client.send('{"type":"ping"}')
        assert (await receive(client))["type"] == "pong"


async def test_one_bad_pattern_changes_nothing(gateway: Gateway) -> None:
    async with gateway.connect("?types=git.*") as client:
        await receive(client)
        for verb in ("subscribe", "unsubscribe"):
            message = {"type": verb, "types": ["git.*", "chat.*", "Bad"], "id": 7}
            await client.send(json.dumps(message))
            error = await receive(client)
            assert (error["type"], error["code"], error["id"]) == ("error", "invalid_pattern", 7)
            assert "'Bad'" in error["message"]
        await client.send('{"type":"subscribe","types":[]}')
        assert (await receive(client))["types"] == ["git.*"]


async def test_at_most_256_patterns_fit_wherever_they_came_from(gateway: Gateway) -> None:
    async with gateway.connect("?types=" + ",".join(f"n.t{i}" for i in range(250))) as client:
        await receive(client)
        await client.send(json.dumps({"type": "subscribe", "types": [f"m.t{i}" for i in range(7)]}))
        assert (await receive(client))["code"] == "invalid_pattern"
        await client.send(json.dumps({"type": "subscribe", "types": [f"m.t{i}" for i in range(6)]}))
        assert len((await receive(client))["types"]) == 256


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        "{}",
        '{"type":"publish"}',
        '{"type":7}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","types":"git.*"}',
        '{"type":"subscribe","types":[1]}',
        '{"type":"ping","id":null}',
        '{"type":"ping","id":1.5}',
        '{"type":"ping","id":true}',
        json.dumps({"type": "ping", "id": "a" * 65}),
        '{"type":"ping","id":"\\ud800"}',
        '{"type":"subscribe","types":["\\ud800"]}',
        '{"type":"ping","x":' + "[" * 30000 + "]" * 30000 + "}",
        b"\x00\x01",
        b"",
        "",
    ],
)
async def test_a_wrong_message_is_answered_and_the_connection_lives(
    gateway: Gateway, text: str | bytes
) -> None:
    async with gateway.connect() as client:
        await receive(client)
        await client.send(text)
        error = await receive(client)
        assert error["type"] == "error"
        assert error["code"]
        assert error["message"]
        if isinstance(text, bytes):
            assert error["code"] == "binary_frame"
        await client.send('{"type":"ping","id":"after"}')
        assert (await receive(client))["id"] == "after"


async def test_an_integer_of_any_size_is_an_id_or_an_error(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await receive(client)
        await client.send('{"type":"ping","id":' + "9" * 60 + "}")
        assert (await receive(client))["type"] in ("pong", "error")
        await client.send('{"type":"ping","id":1}')
        assert (await receive(client))["id"] == 1


async def test_a_pong_brings_the_id_back_and_unknown_fields_are_ignored(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await receive(client)
        await client.send('{"type":"ping","id":"p","colour":"red"}')
        pong = await receive(client)
        assert (pong["type"], pong["id"]) == ("pong", "p")
        assert pong["timestamp"].endswith("Z")
        await client.send('{"type":"ping"}')
        assert "id" not in await receive(client)


async def test_a_pong_comes_while_events_flood(gateway: Gateway) -> None:
    async def flood() -> None:
        while True:
            await gateway.publish(5)
            await asyncio.sleep(0)

    async with gateway.connect() as client:
        await receive(client)
        flooding = asyncio.create_task(flood())
        try:
            await receive_type(client, "chat.message_sent")
            await client.send('{"type":"ping","id":1}')
            async with asyncio.timeout(WATCHDOG_S):
                assert (await receive_type(client, "pong"))["id"] == 1
        finally:
            flooding.cancel()


async def test_behind_a_slow_reader_only_pong_overtakes_events(gateway: Gateway) -> None:
    async with gateway.connect(max_queue=1, max_size=None) as client:
        await receive(client)
        await gateway.publish(60, "x" * 200_000)
        await until(lambda: gateway.bus.queued)
        for message in ('"subscribe","types":["git.*"]', '"subscribe","types":["Bad"]', '"ping"'):
            await client.send(f'{{"type":{message}}}')
        heard = [await receive(client)]
        while heard[-1]["type"] != "pong":
            heard.append(await receive(client))
        assert len(heard) <= 60
        del heard[-1]
        await gateway.publish(2)
        heard += [await receive(client) for _ in range(64 - len(heard))]
    received = [message.get("sequence_number", message["type"]) for message in heard]
    assert received == [*range(1, 61), 60, "error", 61, 62]


async def test_a_heartbeat_names_the_last_number_also_when_it_was_filtered_out(
    start: Start,
) -> None:
    gateway = await start(heartbeat_interval_s=0.2)
    async with gateway.connect("?types=git.*") as client:
        assert (await receive(client))["heartbeat_interval_s"] == 0.2
        first = await receive(client)
        assert (first["type"], first["sequence_number"]) == ("heartbeat", 0)
        await gateway.publish(3)
        second = await receive(client)
        assert (second["type"], second["sequence_number"]) == ("heartbeat", 3)
        assert second["timestamp"].endswith("Z")


async def test_a_client_resumes_without_loss_or_double_while_publishing_goes_on(
    start: Start,
) -> None:
    gateway = await start()
    async with gateway.connect("?client_id=seam") as client:
        connected = await receive(client)
    epoch, position = connected["epoch"], connected["sequence_number"]

    pumping = asyncio.create_task(gateway.pump(lambda: position))
    try:
        for _ in range(10):
            query = f"?client_id=seam&epoch={epoch}&last_sequence_number={position}"
            async with gateway.connect(query) as client:
                connected = await receive(client)
                assert connected["resumed"] is True
                replayed = connected["replayed"]
                assert connected["sequence_number"] == position + replayed
                for _ in range(replayed + 20):
                    assert await numbers(client, 1) == [position + 1]
                    position += 1
    finally:
        pumping.cancel()


async def test_another_epoch_gets_the_gap_and_then_what_is_retained(gateway: Gateway) -> None:
    await gateway.publish(3)
    for query in ("epoch=other&last_sequence_number=2", "last_sequence_number=4"):
        async with gateway.connect(f"?{query}") as client:
            connected = await receive(client)
            assert (connected["resumed"], connected["replayed"]) == (False, 3)
            assert await receive(client) == {
                "type": "gap",
                "from_sequence_number": None,
                "to_sequence_number": None,
                "dropped": None,
                "reason": "epoch_changed",
            }
            assert await numbers(client, 3) == [1, 2, 3]


async def test_over_100_missed_events_are_a_replay_limit_gap_and_the_newest(
    gateway: Gateway,
) -> None:
    await gateway.publish(150)
    async with gateway.connect("?last_sequence_number=10") as client:
        connected = await receive(client)
        assert (connected["resumed"], connected["replayed"]) == (False, 100)
        assert await receive(client) == {
            "type": "gap",
            "from_sequence_number": 11,
            "to_sequence_number": 50,
            "dropped": 40,
            "reason": "replay_limit",
        }
        await gateway.publish()
        assert await numbers(client, 101) == list(range(51, 152))


async def test_a_headers_position_resumes_like_a_querys(gateway: Gateway) -> None:
    await gateway.publish(3)
    headers = [("X-Last-Sequence", "1"), ("X-Epoch", gateway.bus.epoch), ("X-Client-Id", "me")]
    async with gateway.connect(headers=headers) as client:
        connected = await receive(client)
        assert (connected["client_id"], connected["resumed"]) == ("me", True)
        assert await numbers(client, 2) == [2, 3]


async def test_the_same_client_id_takes_over_the_place_and_the_old_one_closes_4409(
    start: Start,
) -> None:
    gateway = await start(max_clients=1)
    async with gateway.connect("?client_id=me") as old:
        await receive(old)
        async with gateway.connect("?client_id=me") as new:
            await receive(new)
            assert await close_code(old) == 4409
            await until(lambda: gateway.bus.subscriptions == 1)
            assert gateway.registry.taken == 1
            await gateway.publish()
            assert await numbers(new, 1) == [1]
            assert (await gateway.refusal((b"X-Session-Token", b"x" * 20))).status == 401


async def test_a_takeover_that_cannot_be_served_takes_nothing_over(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(position: Position) -> None:
        raise UnavailableError("the log is away")

    async with gateway.connect("?client_id=a") as client:
        await receive(client)
        monkeypatch.setattr(plugin_of(gateway.app).gateway.backend, "catch_up", away)
        refused = await gateway.refusal(GOOD, path="/ws?client_id=a&last_sequence_number=0")
        assert (refused.status, gateway.registry.taken) == (503, 1)
        await gateway.publish()
        assert (await receive(client))["sequence_number"] == 1


async def test_too_many_control_messages_close_4429(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await receive(client)

        async def hammer() -> None:
            for _ in range(2000):
                await client.send('{"type":"ping"}')

        hammering = asyncio.create_task(hammer())
        assert await close_code(client) == 4429
        await asyncio.gather(hammering, return_exceptions=True)
    await until(lambda: gateway.registry.taken == 0)


async def test_a_burst_of_200_control_messages_is_fine(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await receive(client)
        for number in range(200):
            await client.send(json.dumps({"type": "ping", "id": number}))
        assert [(await receive(client))["id"] for _ in range(200)] == list(range(200))


async def test_a_message_over_64_kib_closes_1009(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await receive(client)
        await client.send("x" * 65537)
        assert await close_code(client) == 1009
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


@pytest.mark.slow
async def test_ten_clients_each_get_every_number_of_1000_events_a_second(
    gateway: Gateway,
) -> None:
    loop = asyncio.get_running_loop()
    clients = [await gateway.connect() for _ in range(10)]

    async def read(client: Any) -> list[int]:
        await receive(client)
        return await numbers(client, 2000)

    reading = asyncio.gather(*(read(client) for client in clients))
    began = loop.time()
    async for tick in ticks(0.01):
        await gateway.publish(10)
        if tick == 199:
            break
    published_in = loop.time() - began
    got = await asyncio.wait_for(reading, WATCHDOG_S)
    assert published_in < 3
    assert all(each == list(range(1, 2001)) for each in got)
    for client in clients:
        await client.close()


async def test_a_mistake_is_logged_with_the_clients_id_and_the_kind_of_error(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    async with gateway.connect("?client_id=clumsy") as client:
        await receive(client)
        await client.send("{")
        await receive(client)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (mistake,) = [line for line in lines if line["event"] == "client_mistake"]
    assert (mistake["client_id"], mistake["error_type"]) == ("clumsy", "invalid_message")
