"""`GET /api/events/stream`, read byte by byte, by curl, and never read at all."""

import asyncio
import json
import shutil
import signal
import socket
import sqlite3
import struct
from typing import Any

import pytest

from app.api import stream
from app.server import http as uvicorn_http
from app.ws import sending
from tests.kit.event_stream import BLOCK, Reader, ask, listen
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, TOKEN
from tests.kit.messages import receive
from tests.kit.processes import litestar_run
from tests.kit.waiting import WATCHDOG_S, ticks, until

BIG = "x" * 200_000


async def stalled(gateway: Gateway) -> Reader:
    """A client that reads nothing, with buffers full on both sides."""
    reader = await ask(gateway, GOOD, receive_buffer=4096)
    await until(lambda: gateway.bus.subscriptions == 1)
    await gateway.publish(40, BIG)
    (protocol,) = gateway.server.server_state.connections
    await until(lambda: protocol.flow.write_paused)
    return reader


async def nothing_is_left(gateway: Gateway, timeout_s: float = WATCHDOG_S) -> None:
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0, timeout_s)
    await until(lambda: not gateway.server.server_state.connections, timeout_s)


# --- what comes ---


async def test_connected_comes_first_then_the_same_messages_as_over_a_websocket(
    gateway: Gateway,
) -> None:
    reader = await listen(gateway)
    assert reader.answer.headers["content-type"] == "text/event-stream"
    assert reader.answer.headers["cache-control"] == "no-store, no-transform"
    async with gateway.connect() as client:
        id_, connected = await reader.block()
        assert id_ == f"{gateway.bus.epoch}:0"
        other = await receive(client)
        assert connected.keys() == other.keys()
        same = connected.keys() - {"client_id", "heartbeat_interval_s"}
        assert {key: connected[key] for key in same} == {key: other[key] for key in same}
        assert connected["heartbeat_interval_s"] == stream.HEARTBEAT_INTERVAL_S == 15
        await gateway.publish(3, "a\r\nb\u2028\nc")
        for number in (1, 2, 3):
            assert await reader.block() == (
                f"{gateway.bus.epoch}:{number}",
                await receive(client),
            )


async def test_the_filter_leaves_holes_and_an_empty_one_receives_nothing(start: Start) -> None:
    gateway = await start(heartbeat_interval_s=0.2)
    some = await listen(gateway, "?types=system.*,git.*")
    none = await listen(gateway, "?types=")
    await some.block()
    assert (await none.block())[1]["types"] == []
    await gateway.publish(2)
    await gateway.publisher.publish("system.error", {"message": "m"})
    id_, event = await some.block()
    while event["type"] == "heartbeat":
        id_, event = await some.block()
    assert (id_, event["type"]) == (f"{gateway.bus.epoch}:3", "system.error")
    for _ in range(2):
        id_, beat = await none.block()
        assert beat["type"] == "heartbeat"
    assert id_ == f"{gateway.bus.epoch}:{beat['sequence_number']}" == f"{gateway.bus.epoch}:3"


async def test_heartbeats_come_at_their_pace_also_while_events_flood(start: Start) -> None:
    gateway = await start(heartbeat_interval_s=0.2)
    reader = await listen(gateway)

    async def pump() -> None:
        async for _ in ticks(0.001):
            await gateway.publish()

    pumping = asyncio.create_task(pump())
    beats = position = 0
    try:
        async with asyncio.timeout(WATCHDOG_S):
            while beats < 4:
                id_, message = await reader.block()
                assert int(id_.rpartition(":")[2]) == message["sequence_number"]
                if message["type"] == "heartbeat":
                    assert message["sequence_number"] == position
                    beats += 1
                position = message["sequence_number"]
    finally:
        pumping.cancel()


# --- resuming ---


async def test_every_id_resumes_exactly_behind_its_block(gateway: Gateway) -> None:
    await gateway.publish(3)
    first = await listen(gateway, last_event_id=f"{gateway.bus.epoch}:0")
    seen = await first.blocks(4)
    assert [id_ for id_, _ in seen] == [f"{gateway.bus.epoch}:{n}" for n in (0, 1, 2, 3)]
    assert (seen[0][1]["resumed"], seen[0][1]["replayed"]) == (True, 3)
    for id_, _ in seen:
        again = await listen(gateway, last_event_id=id_)
        behind = int(id_.rpartition(":")[2])
        _, connected = await again.block()
        assert (connected["resumed"], connected["replayed"]) == (True, 3 - behind)
        assert [event for _, event in await again.blocks(3 - behind)] == [
            message for _, message in seen[1 + behind :]
        ]
        again.raw.close()


async def test_a_client_cut_off_anywhere_loses_and_doubles_nothing(gateway: Gateway) -> None:
    reader = await listen(gateway)
    last, _ = await reader.block()
    expected = 1
    # Never so far ahead of the client that a resume would meet a `replay_limit` gap.
    pumping = asyncio.create_task(gateway.pump(lambda: expected))
    try:
        for reads in range(30):
            for _ in range(reads % 4):
                id_, event = await reader.block()
                if event["type"] != "connected":
                    assert event["sequence_number"] == expected
                    expected += 1
                last = id_
            reader.raw.close()
            reader = await listen(gateway, last_event_id=last)
    finally:
        pumping.cancel()
    assert expected > 20


async def test_what_is_lost_is_a_gap_whose_id_is_its_end(start: Start) -> None:
    gateway = await start(replay_max_events=5, replay_limit=3)
    await gateway.publish(10)
    reader = await listen(gateway, last_event_id=f"{gateway.bus.epoch}:2")
    seen = await reader.blocks(6)
    assert [(id_.rpartition(":")[2], message.get("reason")) for id_, message in seen] == [
        ("2", None),
        ("5", "expired"),
        ("7", "replay_limit"),
        ("8", None),
        ("9", None),
        ("10", None),
    ]


async def test_a_changed_epoch_is_reported_until_the_client_has_received_it(
    gateway: Gateway,
) -> None:
    await gateway.publish(2)
    unknown = {"from_sequence_number": None, "to_sequence_number": None, "dropped": None}
    reader = await listen(gateway, last_event_id="another:7")
    (connected_id, _), (gap_id, gap), (event_id, _), _ = await reader.blocks(4)
    assert gap == {"type": "gap", **unknown, "reason": "epoch_changed"}
    assert (connected_id, gap_id) == ("another:7", f"{gateway.bus.epoch}:0")
    assert event_id == f"{gateway.bus.epoch}:1"
    again = await listen(gateway, last_event_id=connected_id)
    assert (await again.blocks(2))[1][1] == gap
    after_gap = await listen(gateway, last_event_id=gap_id)
    assert [id_.rpartition(":")[2] for id_, _ in await after_gap.blocks(3)] == ["0", "1", "2"]


async def test_a_number_that_was_never_given_does_not_come_back(gateway: Gateway) -> None:
    await gateway.publish(2)
    reader = await listen(gateway, last_event_id=f"{gateway.bus.epoch}:999")
    (connected_id, connected), (_, gap) = await reader.blocks(2)
    assert (connected_id, connected["resumed"]) == (f"{gateway.bus.epoch}:0", False)
    assert gap["reason"] == "epoch_changed"


async def test_a_slow_reader_of_the_event_stream_gets_exactly_the_gap_of_its_loss(
    start: Start,
) -> None:
    gateway = await start(queue_size=5)
    reader = await ask(gateway, GOOD, receive_buffer=4096)
    await until(lambda: gateway.bus.subscriptions == 1)
    await gateway.publish(60, BIG)
    assert (await reader.head()).status == 200
    _, connected = await reader.block()
    expected, lost = connected["sequence_number"] + 1, 0
    while expected <= 60:
        id_, message = await reader.block()
        if message["type"] == "gap":
            assert message["reason"] == "slow_consumer"
            assert message["from_sequence_number"] == expected
            assert id_.endswith(f":{message['to_sequence_number']}")
            expected = message["to_sequence_number"]
            lost += message["dropped"]
        expected += 1
    assert lost > 0


# --- access ---


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "7",
        ":7",
        "e:",
        "e:-1",
        "e:x",
        "e 1:7",
        "e:9007199254740992",
        "e:1:",
        "é:1",
        "x" * 65 + ":1",
    ],
)
async def test_a_malformed_last_event_id_is_a_400(gateway: Gateway, bad: str) -> None:
    reader = await ask(gateway, GOOD, (b"Last-Event-ID", bad.encode()))
    answer = await reader.head()
    assert answer.status == 400
    assert "Last-Event-ID" in answer.error["message"]


async def test_it_refuses_in_the_common_order_and_shape(start: Start) -> None:
    gateway = await start(max_clients=1)
    bad_id = (b"Last-Event-ID", b"bad")
    for headers, query, status, code in (
        (((b"Origin", b"http://evil.example"),), "?types=,", 403, "forbidden"),
        ((bad_id,), "?types=,", 401, "unauthorized"),
        ((GOOD,), "?types=,", 400, "invalid_pattern"),
        ((GOOD, (b"Last-Event-ID", b"e:1"), (b"Last-Event-ID", b"e:2")), "", 400, "bad_request"),
    ):
        answer = await (await ask(gateway, *headers, query=query)).head()
        assert (answer.status, answer.error["code"]) == (status, code)
    async with gateway.http() as http:
        assert (await http.post("/api/events/stream")).status_code == 405
    async with gateway.connect() as client:
        await receive(client)
        assert (await (await ask(gateway, GOOD, bad_id)).head()).status == 400
        answer = await (await ask(gateway, GOOD)).head()
        assert (answer.status, answer.error["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    await until(lambda: gateway.registry.taken == 0)


async def test_a_stream_takes_one_place_and_a_position_in_the_query_counts_for_nothing(
    start: Start,
) -> None:
    gateway = await start(max_clients=1)
    await gateway.publish(2)
    reader = await listen(gateway, f"?last_sequence_number=0&epoch={gateway.bus.epoch}")
    id_, connected = await reader.block()
    assert (id_, connected["resumed"]) == (f"{gateway.bus.epoch}:2", False)
    assert gateway.registry.taken == 1
    assert (await gateway.refusal(GOOD)).status == 503
    reader.raw.close()
    await nothing_is_left(gateway)
    async with gateway.connect() as client:
        assert (await receive(client))["type"] == "connected"


# --- how it ends ---


@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
async def test_a_client_that_leaves_leaves_nothing(gateway: Gateway, how: str) -> None:
    before = asyncio.all_tasks()
    reader = await listen(gateway)
    await gateway.publish(10)
    if how == "half-close":
        reader.raw.shutdown(socket.SHUT_WR)
    else:
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            reader.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        reader.raw.close()
    await nothing_is_left(gateway)
    await until(lambda: asyncio.all_tasks() <= before)


async def test_a_reader_that_stalls_is_evicted_in_bounded_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "UNREAD_TIMEOUT_S", 0.3)
    gateway = await start(max_clients=1)
    loop = asyncio.get_running_loop()
    await stalled(gateway)
    began = loop.time()
    await nothing_is_left(gateway, 2)
    assert loop.time() - began < 0.3 + 0.7
    assert gateway.bus.counters.evictions == {"response_unread": 1}
    await listen(gateway)


@pytest.mark.slow
async def test_a_slow_link_is_no_stalled_reader(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "UNREAD_TIMEOUT_S", 0.5)
    reader = await stalled(gateway)
    loop = asyncio.get_running_loop()
    async for tick in ticks(0.02):  # for two and a half seconds
        assert await loop.sock_recv(reader.raw, 65536)
        if tick == 125:
            break
    assert gateway.registry.taken == 1


async def test_a_stalled_reader_delays_no_other_client_and_no_publisher(gateway: Gateway) -> None:
    await stalled(gateway)
    reader = await listen(gateway)
    await reader.block()
    async with asyncio.timeout(WATCHDOG_S):
        for _ in range(100):
            await gateway.publish()
            await reader.block()


async def test_shutting_down_ends_every_stream_at_once(gateway: Gateway) -> None:
    readers = [await listen(gateway) for _ in range(3)]
    assert (await readers[0].block())[1]["type"] == "connected"
    loop = asyncio.get_running_loop()
    began = loop.time()
    stopping = asyncio.create_task(gateway.stop())
    for reader in readers:
        await reader.end()
    assert loop.time() - began < 0.5
    assert await stopping < 2
    assert gateway.registry.taken == gateway.bus.subscriptions == 0


@pytest.mark.slow
async def test_the_gateway_ends_in_time_also_with_a_stalled_reader(
    gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    await stalled(gateway)
    assert await gateway.stop() < 4
    assert "Traceback" not in capfd.readouterr().err
    assert gateway.registry.taken == gateway.bus.subscriptions == 0


async def test_an_internal_error_is_logged_and_leaves_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("this encoder is broken")

    gateway = await start()
    reader = await listen(gateway)
    await reader.block()
    monkeypatch.setattr(sending, "take_blocks", fail)
    await gateway.publish()
    await nothing_is_left(gateway)
    assert "this encoder is broken" in capfd.readouterr().err


async def test_a_lasting_condition_is_a_notice_to_every_new_connection(start: Start) -> None:
    gateway = await start()
    gateway.bus.counters.blind = {"permission": 2}
    await gateway.publish()
    await gateway.journal.stored(1)
    other = sqlite3.connect(gateway.settings.state_dir / "journal.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await gateway.publish()
    await until(lambda: gateway.journal.failing)
    reader = await listen(gateway)
    async with gateway.connect() as client:
        over_sse = [message for _, message in await reader.blocks(3)]
        over_websocket = [await receive(client) for _ in range(3)]
    other.close()
    for messages in (over_sse, over_websocket):
        codes = [message.get("code", message["type"]) for message in messages]
        assert codes == ["connected", "workspace_blind", "journal_failing"]
        assert "locked" in messages[2]["message"]


@pytest.mark.slow
async def test_curl_reads_it_and_ends_with_the_gateway(tmp_path: Any) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    async with litestar_run(tmp_path) as run:
        await run.says("running on", "files_watched")
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-q", "-sSN", "--noproxy", "*", "-H", f"X-Session-Token: {TOKEN}"),
            f"http://127.0.0.1:{run.port}/api/events/stream?types=file.*",
            stdout=asyncio.subprocess.PIPE,
        )
        assert curl.stdout is not None

        async def message() -> dict[str, Any]:
            block = BLOCK.fullmatch((await curl.stdout.readuntil(b"\n\n")).rstrip())
            assert block
            return json.loads(block[3])

        async with asyncio.timeout(WATCHDOG_S):
            assert (await message())["type"] == "connected"
            (tmp_path / "note.txt").write_text("hello")
            # A slow machine gets a heartbeat first, one short of watches a notice.
            while (event := await message())["type"] in ("heartbeat", "notice"):
                pass
            assert event["data"]["path"] == "note.txt"
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            assert await curl.wait() == 0  # the end that HTTP says, not a lost connection
    assert "Traceback" not in run.said
