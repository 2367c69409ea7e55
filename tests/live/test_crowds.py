"""Crowds without a credential: each kind of waiting makes room, and no logged-in client goes."""

import asyncio
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from app.server import sockets, tls as uvicorn_tls
from app.server.strict import MAX_PIPELINED
from tests.kit.event_stream import listen
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, TOKEN, TOKEN_LINE, Answer, dial, request, rest
from tests.kit.messages import receive
from tests.kit.waiting import WATCHDOG_S, until
from tests.live.attack import bystander

JSON = b"Content-Type: application/json"
WAITING = 40
CROWDS = {
    "silent": b"",
    "unfinished heads": b"POST /api/login HTTP/1.1\r\nHost: loc",
    "unfinished bodies": request(JSON, b"Content-Length: 100", method=b"POST", path=b"/api/login"),
    "unfinished chunks": request(
        JSON, b"Transfer-Encoding: chunked", method=b"POST", path=b"/api/login"
    )
    + b"5\r\nab",
    "streams without a credential": request(path=b"/api/events/stream"),
    "streams with a body": request(b"Content-Length: 9", path=b"/api/events/stream"),
    "refused upgrades": request(
        b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 9", path=b"/ws"
    ),
    "refused and lingering": b"nonsense\r\n\r\n",
    "answered and idle": request(path=b"/api/health"),
}


@pytest.fixture
async def small(start: Start, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr(sockets, "MAX_WAITING", WAITING)
    return await start()


@pytest.mark.parametrize("sent", CROWDS.values(), ids=CROWDS)
async def test_a_crowd_without_a_credential_keeps_nobody_out_and_ends_nobody_logged_in(
    small: Gateway, sent: bytes
) -> None:
    async with bystander(small, limit_s=5), small.http() as http:
        stream = await listen(small)
        await stream.block()
        half = await dial(  # logged in, and in the middle of a body
            small,
            request(TOKEN_LINE, JSON, b"Content-Length: 2", method=b"POST", path=b"/api/events"),
        )
        idle = await dial(small, request(TOKEN_LINE))  # logged in, and between two requests
        loop = asyncio.get_running_loop()
        assert Answer(await loop.sock_recv(idle, 65536)).status == 200
        for _ in range(3 * WAITING):
            await dial(small, sent)
        for _ in range(5):
            assert (await http.get("/api/session", headers={"Connection": "close"})).is_success
            async with small.connect() as client:
                assert (await receive(client))["type"] == "connected"
        assert len(small.server.server_state.connections) <= WAITING + 11
        await loop.sock_sendall(half, b"[]")
        assert Answer(await loop.sock_recv(half, 65536)).status == 201
        await loop.sock_sendall(idle, request(TOKEN_LINE))
        assert Answer(await loop.sock_recv(idle, 65536)).status == 200
        assert (await stream.block())[1]["type"] == "chat.message_sent"


async def test_readers_of_open_pages_who_do_not_read_keep_nobody_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_WAITING", 5)
    gateway = await start()
    pages = request(path=b"/client/sightline.js") * MAX_PIPELINED
    for _ in range(15):  # a full house of those to whom an answer is owed
        await dial(gateway, pages, receive_buffer=4096)
    held = gateway.server.server_state.connections
    await until(lambda: len(held) == 15 and all(c.flow.write_paused for c in held))
    async with gateway.http() as http:
        assert (await http.get("/api/session")).is_success
    async with gateway.connect() as client:
        assert (await receive(client))["type"] == "connected"


async def test_a_connection_closed_to_make_room_gets_a_503(small: Gateway) -> None:
    crowd = [await dial(small, CROWDS["unfinished bodies"]) for _ in range(2 * WAITING)]
    answers = {Answer(await rest(raw)).status for raw in crowd[: WAITING // 2]}
    assert answers == {503}


async def test_another_address_keeps_its_share(small: Gateway) -> None:
    loop = asyncio.get_running_loop()
    other = socket.socket()
    small.raw.append(other)
    other.setblocking(False)
    other.bind(("127.0.0.2", 0))
    await loop.sock_connect(other, ("127.0.0.1", small.port))
    await loop.sock_sendall(other, b"GET /api/health HTTP/1.1\r\n")  # half a head, and the oldest
    for _ in range(3 * WAITING):
        await dial(small, CROWDS["unfinished bodies"])
    await loop.sock_sendall(other, b"Host: x\r\n\r\n")
    assert Answer(await loop.sock_recv(other, 65536)).status == 200


# --- TLS ---


async def test_tls_handshakes_that_do_not_end_keep_nobody_out(
    start: Start, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    monkeypatch.setattr(sockets, "MAX_WAITING", WAITING)
    gateway = await start(tls=certificate)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    url = f"https://localhost:{gateway.port}"
    headers = {"X-Session-Token": TOKEN}
    async with httpx.AsyncClient(verify=trusting, trust_env=False, headers=headers) as http:
        for number in range(3 * WAITING):
            await dial(gateway, b"\x16\x03\x01"[: number % 4])  # from nothing to half a hello
        for _ in range(3):
            answer = await http.get(f"{url}/api/session", headers={"Connection": "close"})
            assert answer.is_success
        assert len(gateway.server.server_state.connections) <= WAITING + 11


async def test_a_tls_handshake_ends_in_bounded_time(
    start: Start, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    assert uvicorn_tls.HANDSHAKE_TIMEOUT_S < 10
    monkeypatch.setattr(uvicorn_tls, "HANDSHAKE_TIMEOUT_S", 0.2)
    gateway = await start(tls=certificate)
    raw = await dial(gateway, b"\x16\x03\x01")
    assert await rest(raw) == b""
    await until(lambda: not gateway.server.server_state.connections)


async def test_over_tls_a_page_loaded_without_it_is_foreign(
    start: Start, certificate: Path
) -> None:
    gateway = await start(tls=certificate)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    host = f"localhost:{gateway.port}"
    async with httpx.AsyncClient(verify=trusting, trust_env=False) as http:
        for scheme, status in (("http", 403), ("https", 200), ("wss", 403)):
            headers = {"X-Session-Token": TOKEN, "Origin": f"{scheme}://{host}"}
            answer = await http.get(f"https://{host}/api/session", headers=headers)
            assert answer.status_code == status
            reader, writer = await asyncio.open_connection("localhost", gateway.port, ssl=trusting)
            lines = request(
                *(b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"),
                *(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b": ".join(GOOD)),
                f"Origin: {scheme}://{host}".encode(),
                path=b"/ws",
            )
            writer.write(lines.replace(b"Host: localhost", f"Host: {host}".encode()))
            line = await reader.readline()
            assert line.split()[1] == (b"101" if status == 200 else b"403")
            writer.close()


async def test_over_tls_everything_works_as_without_it(start: Start, certificate: Path) -> None:
    gateway = await start(tls=certificate)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    reader, writer = await asyncio.open_connection(
        "localhost", gateway.port, ssl=trusting, limit=2**20
    )
    writer.write(request(TOKEN_LINE, path=b"/api/events/stream"))
    assert (await reader.readline()).split()[1] == b"200"
    await reader.readuntil(b'"type":"connected"')
    await gateway.publish(20, "x" * 100_000)
    for number in range(1, 21):
        async with asyncio.timeout(WATCHDOG_S):
            while b'"sequence_number":%d,' % number not in await reader.readline():
                pass
    writer.close()
    await until(lambda: gateway.registry.taken == 0)
