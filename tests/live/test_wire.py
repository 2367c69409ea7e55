"""What the wire does to clients and requests: links that die or crawl, old versions, odd upgrades."""

import asyncio
import json

import pytest

from app.server import http as uvicorn_http
from tests.kit.event_stream import ask, listen
from tests.kit.frames import CLOSE, PING, PONG, TEXT, closed_with, frame
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, TOKEN_LINE, UPGRADE, Answer, dial, hurl, request, rest
from tests.kit.messages import receive
from tests.kit.waiting import ticks, until
from tests.live.attack import bystander, upgraded as upgraded_client

STREAM = request(TOKEN_LINE, path=b"/api/events/stream")
SOME = "x" * 30_000  # times five: more than the client's window, less than our socket's buffer


def nothing_in_user_space(gateway: Gateway) -> bool:
    return all(c.transport.get_write_buffer_size() == 0 for c in connections(gateway))


def connections(gateway: Gateway) -> list:
    return list(gateway.server.server_state.connections)


# --- links that die, and links that crawl ---


async def test_a_stream_whose_bytes_lie_unacknowledged_in_the_kernel_loses_its_place(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_http, "UNREAD_TIMEOUT_S", 0.1)
    gateway = await start(max_clients=1)
    await ask(gateway, GOOD, receive_buffer=4096)
    await until(lambda: gateway.registry.taken == 1)
    await gateway.publish(5, SOME)
    await until(lambda: nothing_in_user_space(gateway))
    await until(lambda: gateway.registry.taken == 0)
    assert gateway.bus.counters.evictions == {"response_unread": 1}


@pytest.mark.slow
@pytest.mark.parametrize("outlet", ["stream", "websocket"])
async def test_a_slow_link_keeps_its_place_while_its_backlog_in_the_kernel_drains(
    start: Start, monkeypatch: pytest.MonkeyPatch, outlet: str
) -> None:
    monkeypatch.setattr(uvicorn_http, "UNREAD_TIMEOUT_S", 0.2)
    gateway = await start(heartbeat_interval_s=0.2, pong_timeout_s=0.2)
    if outlet == "stream":
        raw = (await ask(gateway, GOOD, receive_buffer=4096)).raw
    else:
        raw = await upgraded_client(gateway, receive_buffer=4096)
    await until(lambda: gateway.registry.taken == 1)
    await gateway.publish(5, SOME)
    await until(lambda: nothing_in_user_space(gateway))
    loop, read = asyncio.get_running_loop(), 0
    async for _ in ticks(0.02):  # the pace of the link: it takes over a second
        read += len(chunk := await loop.sock_recv(raw, 2000))
        assert chunk
        if read > 5 * len(SOME):
            break
    assert gateway.registry.taken == 1
    assert not gateway.bus.counters.evictions


# --- requests behind a stream ---


@pytest.mark.parametrize(
    "behind",
    [
        request(*(b": ".join(header) for header in (*UPGRADE, GOOD)), path=b"/ws"),
        request(TOKEN_LINE),
        STREAM,
        request(TOKEN_LINE) * 5,
    ],
    ids=["upgrade", "request", "stream", "requests"],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
async def test_what_comes_behind_a_stream_does_not_keep_its_place(
    gateway: Gateway, behind: bytes, at_once: bool
) -> None:
    raw = await dial(gateway, STREAM + behind if at_once else STREAM)
    await until(lambda: gateway.registry.taken == 1)
    if not at_once:
        await hurl(raw, behind)
    await until(lambda: any(c._held for c in connections(gateway)))
    raw.close()
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    await until(lambda: not connections(gateway))


async def test_an_upgrade_behind_a_request_has_its_turn_after_the_answer(gateway: Gateway) -> None:
    upgrade = request(*(b": ".join(header) for header in (*UPGRADE, GOOD)), path=b"/ws")
    raw = await dial(gateway, request(TOKEN_LINE) + upgrade)
    await until(lambda: gateway.registry.taken == 1)
    data = await asyncio.get_running_loop().sock_recv(raw, 65536)
    assert Answer(data).status == 200
    assert b"HTTP/1.1 101" in data


async def test_an_upgrade_behind_a_body_gets_an_error_to_send_it_after_the_answer(
    gateway: Gateway,
) -> None:
    upgrade = request(*(b": ".join(header) for header in (*UPGRADE, GOOD)), path=b"/ws")
    data = await rest(
        await dial(gateway, request(TOKEN_LINE, b"Content-Length: 1") + b"x" + upgrade)
    )
    first, _, second = data.partition(b"HTTP/1.1 400")
    assert Answer(first).status == 200
    assert "wait for the last response" in Answer(b"HTTP/1.1 400" + second).error["message"]


# --- HTTP/1.0 ---


async def test_http_1_0_gets_no_chunk_sizes_in_a_stream(gateway: Gateway) -> None:
    raw = await dial(gateway, STREAM.replace(b"HTTP/1.1", b"HTTP/1.0"))
    await until(lambda: gateway.registry.taken == 1)
    await gateway.publish(3)
    gateway.app.state.begin_drain()
    answer = Answer(await rest(raw))
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert "transfer-encoding" not in answer.headers
    blocks = answer.body.decode().removesuffix("\n\n").split("\n\n")
    types = [json.loads(block.partition("\ndata: ")[2])["type"] for block in blocks]
    assert types == ["connected", *["chat.message_sent"] * 3]
    assert all(block.startswith("id: ") for block in blocks)


@pytest.mark.parametrize("path", [b"/api/session", b"/", b"/metrics", b"/nowhere"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_http_1_0_gets_whole_answers(gateway: Gateway, path: bytes, method: bytes) -> None:
    sent = request(TOKEN_LINE, path=path, method=method)
    old = Answer(await rest(await dial(gateway, sent.replace(b"HTTP/1.1", b"HTTP/1.0"))))
    assert "transfer-encoding" not in old.headers
    if method == b"GET":
        assert len(old.body) == int(old.headers["content-length"])


# --- upgrades ---


@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: Upgrade", b"Connection: keep-alive"),
        (b"Connection: keep-alive", b"Connection: Upgrade"),
        (b"Connection: keep-alive, upgrade",),
        (b"Connection: close", b"connection: UPGRADE , foo"),
    ],
)
async def test_connection_may_take_several_lines(
    gateway: Gateway, lines: tuple[bytes, ...]
) -> None:
    others = [b": ".join(header) for header in UPGRADE if header[0] != b"Connection"]
    raw = await dial(gateway, request(*others, *lines, TOKEN_LINE, path=b"/ws"))
    data = await asyncio.get_running_loop().sock_recv(raw, 65536)
    assert Answer(data).status == 101


KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")


@pytest.mark.parametrize(
    ("left_out", "more", "status", "names"),
    [
        (b"", (KEY,), 400, "Sec-WebSocket-Key"),
        (b"Sec-WebSocket-Key", (), 400, "Sec-WebSocket-Key"),
        (b"Sec-WebSocket-Key", ((b"Sec-WebSocket-Key", b"AAAA"),), 400, "AAAA"),
        (b"Sec-WebSocket-Version", ((b"Sec-WebSocket-Version", b"8"),), 426, "8"),
        (b"Sec-WebSocket-Version", (), 400, "Sec-WebSocket-Version"),
        (b"", ((b"Sec-WebSocket-Version", b"13"),), 400, "Sec-WebSocket-Version"),
        (b"Upgrade", (), 426, "Upgrade"),
        (b"Upgrade", ((b"Upgrade", b"h2c, websocket"),), 426, "h2c"),
        (b"Connection", (), 426, "Connection"),
        (b"Connection", ((b"Connection", b"keep-alive"),), 426, "keep-alive"),
        (b"", ((b"Content-Length", b"3"),), 400, "body"),
    ],
)
async def test_a_malformed_handshake_gets_an_error_that_names_the_mistake(
    gateway: Gateway,
    left_out: bytes,
    more: tuple[tuple[bytes, bytes], ...],
    status: int,
    names: str,
) -> None:
    headers = [header for header in UPGRADE if header[0] != left_out]
    lines = [b": ".join(header) for header in (*headers, *more)]
    raw = await dial(gateway, request(*lines, TOKEN_LINE, b"Connection: close", path=b"/ws"))
    answer = Answer(await rest(raw))
    assert answer.status == status
    assert names in answer.error["message"]
    assert ("sec-websocket-version" in answer.headers) == (status == 426)
    assert answer.headers.get("sec-websocket-version", "13") == "13"


async def test_other_upgrades_are_plain_requests_whose_connection_ends(gateway: Gateway) -> None:
    lines = (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk")
    data = await rest(await dial(gateway, request(TOKEN_LINE, *lines) + request(TOKEN_LINE)))
    assert data.count(b"HTTP/1.1 200") == 1
    assert Answer(data).headers["connection"] == "close"


# --- after the close ---


@pytest.mark.parametrize(
    "flood", [frame(PING, b"x"), frame(PONG), frame(CLOSE), frame(TEXT, b"{}")], ids=str
)
async def test_a_flood_behind_the_close_writes_nothing_and_logs_no_error(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, flood: bytes
) -> None:
    async with bystander(gateway, limit_s=5):
        raw = await upgraded_client(gateway, "/ws?types=")
        reading = asyncio.create_task(rest(raw, 30))
        await hurl(raw, frame(PING, b"x") * 500 + flood * 10_000, times=20)
        assert closed_with(await reading) in (4429, 0)  # 0: the client's own close came first
        await until(lambda: gateway.registry.taken == 1)
    assert "asyncio" not in {record.name for record in caplog.records}


async def test_one_streams_cors_headers_do_not_go_to_the_next(start: Start) -> None:
    origin = (b"Origin", b"https://console.example")
    gateway = await start(allowed_origins=("https://console.example",))
    for _ in range(2):
        reader = await ask(gateway, GOOD, origin)
        head = await reader.head()
        assert head.headers["access-control-allow-origin"] == "https://console.example"
    plain = await listen(gateway)
    assert "access-control-allow-origin" not in plain.answer.headers
    async with gateway.connect() as client:
        await receive(client)
