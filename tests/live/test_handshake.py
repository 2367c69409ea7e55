"""Attacks before the handshake is done: silence, drips, floods, too much of everything."""

import asyncio
import json
import resource
import socket
import struct

import pytest

from app.server import http as uvicorn_http, sockets
from tests.kit import gateway as kit_gateway
from tests.kit.frames import CLOSE, PING, PONG, TEXT, closed_with, frame, frames
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, TOKEN_LINE, UPGRADE, Answer, Connection, dial, drip, request, rest
from tests.kit.messages import receive
from tests.kit.waiting import WATCHDOG_S, ticks, until
from tests.live.attack import bystander, resident_bytes

UPGRADE_LINES = [b": ".join(header) for header in UPGRADE]
SHORT_S = 0.4


def upgrade(*more: bytes) -> bytes:
    return request(*UPGRADE_LINES, TOKEN_LINE, *more, path=b"/ws")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules in a twentieth of the time."""
    for name in ("HEAD_TIMEOUT_S", "BODY_TIMEOUT_S", "UNREAD_TIMEOUT_S"):
        monkeypatch.setattr(uvicorn_http, name, SHORT_S)
    monkeypatch.setattr(uvicorn_http, "LINGER_S", SHORT_S)


def test_the_times_in_force_close_a_silent_connection_within_ten_seconds() -> None:
    assert uvicorn_http.HEAD_TIMEOUT_S + uvicorn_http.LINGER_S < 10
    assert uvicorn_http.BODY_TIMEOUT_S + uvicorn_http.LINGER_S < 10


async def test_a_silent_connection_is_closed_without_a_word(
    impatient: None, gateway: Gateway
) -> None:
    began = asyncio.get_running_loop().time()
    assert await rest(await dial(gateway)) == b""
    assert SHORT_S * 0.9 < asyncio.get_running_loop().time() - began < SHORT_S + 1
    await until(lambda: not gateway.server.server_state.connections)


@pytest.mark.parametrize("sent", [b"G", b"GET /ws HTTP/1.1\r\nHost: x\r\n", upgrade()[:-2]])
async def test_half_a_handshake_is_a_408_and_the_end(
    impatient: None, gateway: Gateway, sent: bytes
) -> None:
    answer = Answer(await rest(await dial(gateway, sent)))
    assert (answer.status, answer.error["code"]) == (408, "too_slow")
    assert answer.headers["connection"] == "close"


async def test_one_byte_at_a_time_gains_no_time(impatient: None, gateway: Gateway) -> None:
    began = asyncio.get_running_loop().time()
    answer = await drip(await dial(gateway), upgrade(), every_s=0.02)
    assert Answer(answer).status == 408
    assert asyncio.get_running_loop().time() - began < SHORT_S + 1


async def test_the_second_head_of_a_connection_must_be_in_time_too(
    impatient: None, gateway: Gateway
) -> None:
    raw = await dial(gateway, request(TOKEN_LINE))
    first = await asyncio.get_running_loop().sock_recv(raw, 65536)
    assert Answer(first).status == 200
    assert Answer(await drip(raw, upgrade(), every_s=0.02)).status == 408


@pytest.mark.parametrize("line", [TOKEN_LINE, b"X-No: token"], ids=["authenticated", "stranger"])
@pytest.mark.parametrize("length", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_ends_in_bounded_time(
    impatient: None, gateway: Gateway, line: bytes, length: bytes
) -> None:
    head = request(
        line, length, b"Content-Type: application/json", method=b"POST", path=b"/api/events"
    )
    began = asyncio.get_running_loop().time()
    answer = Answer(await rest(await dial(gateway, head + b"3\r\n")))
    assert answer.status == (408 if line is TOKEN_LINE else 401)
    assert asyncio.get_running_loop().time() - began < 2 * SHORT_S + 1
    await until(lambda: not gateway.server.server_state.connections)


async def test_a_body_that_comes_steadily_may_take_longer(
    impatient: None, gateway: Gateway
) -> None:
    event = {"type": "chat.message_sent", "data": {"role": "user", "content": "x" * 60_000}}
    body = json.dumps(event).encode()
    headers = (TOKEN_LINE, b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    raw = await dial(gateway, request(*headers, method=b"POST", path=b"/api/events"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    async for number in ticks(0.05):  # about 80 kB/s
        await loop.sock_sendall(raw, body[number * 4096 : (number + 1) * 4096])
        if number * 4096 > len(body):
            break
    assert loop.time() - began > SHORT_S
    assert Answer(await loop.sock_recv(raw, 65536)).status == 201


@pytest.mark.parametrize("size", [8 * 1024, 60_000, 1_000_000])
async def test_a_head_over_8_kib_is_a_431_and_the_end(
    impatient: None, gateway: Gateway, size: int
) -> None:
    for head in (upgrade(b"X-Big: " + b"a" * size), request(b"X-Big: " + b"a" * size)):
        raw = await dial(gateway)
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(raw, head))
        answer = Answer(await rest(raw))
        await asyncio.gather(sending, return_exceptions=True)
        assert (answer.status, answer.error["code"]) == (431, "head_too_large")
    assert gateway.bus.counters.refusals["431"] == 2
    await until(lambda: not gateway.server.server_state.connections)
    assert gateway.registry.taken == 0


async def test_a_head_of_just_8_kib_is_let_in(gateway: Gateway) -> None:
    room = 8 * 1024 - len(upgrade(b"X-Big: "))
    raw = await dial(gateway, upgrade(b"X-Big: " + b"a" * room))
    assert Answer(await asyncio.get_running_loop().sock_recv(raw, 1024)).status == 101


async def test_an_endless_head_takes_no_memory(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    before = resident_bytes()
    for _ in range(20):
        raw = await dial(gateway, b"GET /" + b"a" * 4000)
        sending = asyncio.create_task(loop.sock_sendall(raw, b"a" * 10_000_000))
        assert Answer(await rest(raw)).status == 431
        await asyncio.gather(sending, return_exceptions=True)
    assert resident_bytes() - before < 30_000_000


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\nnot http\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
)
async def test_what_is_not_http_is_a_400_in_the_shape_of_all_refusals(
    gateway: Gateway, sent: bytes
) -> None:
    answer = Answer(await rest(await dial(gateway, sent)))
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "lines", [[b"A: b"] * 200, [b"X-Odd: \xff\x80"]], ids=["many headers", "odd bytes"]
)
async def test_an_upgrade_the_websocket_library_cannot_read_gets_an_answer(
    gateway: Gateway, lines: list[bytes]
) -> None:
    raw = await dial(gateway, upgrade(*lines))
    data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(raw, 65536), WATCHDOG_S)
    assert Answer(data).status == (101 if len(lines) == 1 else 431)


async def test_a_response_nobody_reads_is_not_kept(
    impatient: None, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    await gateway.publish(40, "x" * 100_000)
    raw = await dial(gateway)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, request(TOKEN_LINE, path=b"/api/events?limit=1000"))
    await until(lambda: gateway.server.server_state.connections)
    await until(lambda: not gateway.server.server_state.connections)
    assert "response_unread" in capfd.readouterr().err
    assert gateway.bus.counters.evictions["response_unread"] == 1


@pytest.mark.slow
async def test_a_response_that_is_read_slowly_comes_whole(
    impatient: None, gateway: Gateway
) -> None:
    await gateway.publish(40, "x" * 100_000)
    raw = await dial(gateway, request(TOKEN_LINE, b"Connection: close", path=b"/api/events"))
    loop = asyncio.get_running_loop()
    data, began = b"", loop.time()
    async for _ in ticks(0.01):  # the slow link
        if not (chunk := await loop.sock_recv(raw, 65536)):
            break
        data += chunk
    assert loop.time() - began > SHORT_S
    assert len(json.loads(Answer(data).body)["events"]) == 40


async def test_a_crowd_of_silent_connections_keeps_nobody_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_WAITING", 50)
    gateway = await start()
    loop = asyncio.get_running_loop()
    async with bystander(gateway):
        crowd = [await dial(gateway, b"GET /ws HTTP/1.1\r\n"[: i % 9]) for i in range(200)]
        for _ in range(5):
            began = loop.time()
            async with gateway.connect() as client:
                assert (await receive(client))["type"] == "connected"
            assert loop.time() - began < 1
        assert len(gateway.server.server_state.connections) <= 61
    answers = [await rest(raw) for raw in crowd[:100]]
    assert {Answer(answer).status for answer in answers} == {503}
    assert Answer(answers[0]).headers["retry-after"]


@pytest.mark.slow
async def test_of_1000_handshakes_at_once_exactly_ten_get_in_and_others_hardly_notice(
    start: Start,
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))  # both ends live here
    gateway = await start(max_clients=11)  # the bystander has one
    loop = asyncio.get_running_loop()
    async with bystander(gateway, limit_s=1):
        began = loop.time()
        opened = await asyncio.gather(*(gateway.open_raw(GOOD) for _ in range(1000)))
        print(f"1,000 handshakes took {loop.time() - began:.2f} s")
        statuses = [answer.status for _, answer in opened]
        assert (statuses.count(101), statuses.count(503)) == (10, 990)
        await until(lambda: gateway.bus.subscriptions == 11)
        assert gateway.registry.taken == 11
        for raw, _ in opened:
            raw.close()
        await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 1)


@pytest.mark.parametrize(
    "before", [b"", request(TOKEN_LINE)], ids=["a new connection", "an authenticated one"]
)
async def test_frames_that_do_not_wait_for_the_answer_are_read_after_it(
    gateway: Gateway, before: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = await dial(gateway)
    connection = Connection(raw)
    if before:
        await connection.ask(before)
    pings = frame(TEXT, b'{"type":"ping","id":1}') + frame(PING, b"x")
    await asyncio.get_running_loop().sock_sendall(raw, upgrade() + pings + frame(CLOSE))
    assert (await connection.head()).status == 101
    first, *others = frames(connection.data + await rest(raw))
    assert json.loads(first[1])["type"] == "connected"
    assert {opcode for opcode, _ in others} >= {PONG, CLOSE}
    await until(lambda: gateway.registry.taken == 0)
    assert '"level": "error"' not in capfd.readouterr().err


async def test_what_is_no_frame_ends_a_connection_only_after_the_answer(
    gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = await dial(gateway, upgrade() + b"\xff" * 100)
    connection = Connection(raw)
    assert (await connection.head()).status == 101
    assert closed_with(connection.data + await rest(raw)) == 1002
    await until(lambda: gateway.registry.taken == 0)
    assert '"level": "error"' not in capfd.readouterr().err


@pytest.mark.parametrize("how", ["vanish", "reset", "too slow"])
async def test_a_client_that_dies_in_mid_body_is_no_error_of_the_gateway(
    impatient: None, start: Start, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    gateway = await start()
    before = asyncio.all_tasks()
    lines = (TOKEN_LINE, b"Content-Type: application/json", b"Content-Length: 100")
    raw = await dial(gateway, request(*lines, method=b"POST", path=b"/api/events") + b"[{")
    await until(lambda: asyncio.all_tasks() > before)
    if how == "reset":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how != "too slow":
        raw.close()
    await until(lambda: not gateway.server.server_state.connections)
    await until(lambda: asyncio.all_tasks() <= before)
    log = capfd.readouterr().err
    assert "Traceback" not in log
    assert '"level": "error"' not in log


async def test_events_wait_for_no_acknowledgement_on_a_listener_that_was_handed_over(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # asyncio sets TCP_NODELAY itself, but only where the socket names its protocol
    handed_over = lambda host, port: [socket.create_server((host, port))]  # noqa: E731
    monkeypatch.setattr(kit_gateway, "bind", handed_over)
    gateway = await start()
    async with gateway.connect():
        (protocol,) = gateway.server.server_state.connections
        raw = protocol.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
