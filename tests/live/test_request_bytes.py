"""Attacks without a credential on the bytes of one request: all are counted, and none changes its meaning."""

import asyncio
import gc
import socket

import pytest

from app.server import http as uvicorn_http
from app.server.strict import MAX_HEADER_LINES, MAX_PIPELINED
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN_LINE, UPGRADE, Answer, dial, hurl, request, rest
from tests.kit.waiting import until
from tests.live.attack import bystander, resident_bytes

MIB = 1024 * 1024
CHUNKED = b"Transfer-Encoding: chunked"
JSON = b"Content-Type: application/json"

LAST_CHUNK = b"0\r\n"


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_http, "LINGER_S", 0.2)


def login(*lines: bytes) -> bytes:
    return request(JSON, *lines, method=b"POST", path=b"/api/login")


ENDLESS = {
    "trailer lines": LAST_CHUNK + b"a:b\r\n" * 13_000,
    "one trailer line": LAST_CHUNK + b"a" * 65_000,
    "a trailer's value": LAST_CHUNK + b"a:" + b"b" * 65_000,
    "a chunk extension": b"1;" + b"a" * 65_000,
    "an extension's value": b'1;a="' + b"a" * 65_000,
    "zeros of a chunk size": b"0" * 65_000,
    "tiny chunks": b"1\r\nx\r\n" * 11_000,
    "chunks of blanks behind an extension": b"1;a=b;c=d;e=f\r\nx\r\n" * 4_000,
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
async def test_framing_that_outgrows_the_body_ends_the_connection_and_takes_no_memory(
    gateway: Gateway, body: bytes
) -> None:
    async with bystander(gateway, limit_s=5):
        gc.collect()
        before = resident_bytes()
        tail = body.removeprefix(LAST_CHUNK)
        raw = await dial(gateway, login(CHUNKED) + body)
        sending = asyncio.create_task(hurl(raw, tail, times=600))  # 40 MB
        answer = Answer(await rest(raw, 10))
        await sending
        assert answer.status in (400, 413)
        assert resident_bytes() - before < 10 * MIB
    await until(lambda: len(gateway.server.server_state.connections) == 0)


async def test_a_chunked_body_of_a_sensible_client_is_taken(gateway: Gateway) -> None:
    event = b'{"type":"chat.message_sent","data":{"role":"user","content":"%s"}}' % (b"x" * 50_000)
    chunks = b"".join(b"10\r\n%s\r\n" % event[i : i + 16] for i in range(0, len(event) - 16, 16))
    last = event[len(event) - len(event) % 16 - (0 if len(event) % 16 else 16) :]
    chunks += b"%x\r\n%s\r\n0\r\nX-Checksum: abc\r\n\r\n" % (len(last), last)
    head = request(JSON, CHUNKED, TOKEN_LINE, method=b"POST", path=b"/api/events")
    raw = await dial(gateway, head + chunks)
    assert Answer(await asyncio.get_running_loop().sock_recv(raw, 65536)).status == 201


@pytest.mark.parametrize(
    "trailer", [TOKEN_LINE, b"Host: evil.example", b"Content-Length: 3", b"Origin: null"]
)
@pytest.mark.parametrize("good", [True, False], ids=["with a token", "without"])
async def test_a_trailer_never_counts_as_a_header(
    gateway: Gateway, trailer: bytes, good: bool
) -> None:
    lines = [b"Transfer-Encoding: chunked", *([TOKEN_LINE] if good else [])]
    sent = request(*lines) + LAST_CHUNK + trailer + b"\r\n\r\n"
    raw = await dial(gateway, sent)  # in one write, so that it is all there before anything runs
    answer = Answer(await asyncio.get_running_loop().sock_recv(raw, 65536))
    if trailer.startswith(b"Content-Length"):
        assert answer.status == 400  # the parser itself refuses a second length
    else:
        assert answer.status == (200 if good else 401)


CODINGS = {
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked",),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked",),
    "identity": (b"Transfer-Encoding: identity",),
    "xchunked": (b"Transfer-Encoding: xchunked",),
    "empty": (b"Transfer-Encoding:",),
    "twice": (CHUNKED, CHUNKED),
    "twice, one empty": (b"Transfer-Encoding: ,", CHUNKED),
    "gzip before chunked": (b"Transfer-Encoding: gzip", CHUNKED),
    "with a length": (CHUNKED, b"Content-Length: 5"),
    "behind a length": (b"Content-Length: 5", CHUNKED),
    "two lengths": (b"Content-Length: 5", b"Content-Length: 5"),
    "lengths in one line": (b"Content-Length: 5, 5",),
    "a signed length": (b"Content-Length: +5",),
    "a folded line": (b"X-A: a\r\n b",),
    "a blank before the colon": (b"Content-Length : 5",),
    "a bare line feed": (b"X-A: a\nX-B: b",),
    "a null": (b"X-A: a\0b",),
}


@pytest.mark.parametrize("lines", CODINGS.values(), ids=CODINGS)
@pytest.mark.parametrize("path", [b"/api/login", b"/api/events"])
async def test_a_request_whose_length_is_in_doubt_is_refused_and_the_connection_ends(
    gateway: Gateway, lines: tuple[bytes, ...], path: bytes
) -> None:
    sent = request(JSON, TOKEN_LINE, *lines, method=b"POST", path=path)
    smuggled = request(TOKEN_LINE)
    data = await rest(await dial(gateway, sent + b"0\r\n\r\n" + smuggled))
    answer = Answer(data)
    assert answer.status in (400, 501)
    assert answer.error["code"] == "bad_request"
    assert answer.headers["connection"] == "close"
    assert data.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        (b"POST /api/login HTTP/1.0", (CHUNKED,), 400),
        (b"GET /api/session HTTP/2.0", (), 505),
        (b"GET /api/session", (), 505),
        (b"POST /api/login HTTP/1.1", (b"Expect: a miracle", b"Content-Length: 9"), 417),
    ],
)
async def test_what_this_server_does_not_speak_is_named(
    gateway: Gateway, line: bytes, headers: tuple[bytes, ...], status: int
) -> None:
    lines = [line] if line.count(b" ") == 1 else [line, b"Host: localhost", TOKEN_LINE, *headers]
    answer = Answer(await rest(await dial(gateway, b"\r\n".join(lines) + b"\r\n\r\n")))
    assert (answer.status, answer.error["code"]) == (status, "bad_request")


async def test_a_client_that_waits_for_100_continue_and_is_refused_sends_no_body(
    gateway: Gateway,
) -> None:
    headers = (b"Expect: 100-continue", b"Content-Length: 5", JSON)
    sent = request(*headers, method=b"POST", path=b"/api/events")
    data = await rest(await dial(gateway, sent))
    answer = Answer(data)
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    assert b"100 Continue" not in data


async def test_too_many_header_lines_are_a_431(gateway: Gateway) -> None:
    few = request(TOKEN_LINE, b"Connection: close", *[b"A: b"] * (MAX_HEADER_LINES - 3))
    assert Answer(await rest(await dial(gateway, few))).status == 200
    many = request(TOKEN_LINE, *[b"A: b"] * MAX_HEADER_LINES)
    answer = Answer(await rest(await dial(gateway, many)))
    assert (answer.status, answer.error["code"]) == (431, "head_too_large")


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"POST", b"DELETE"])
@pytest.mark.parametrize("length", [CHUNKED, b"Content-Length: 99999999999"])
async def test_a_body_that_nobody_takes_is_cut_off_once_the_answer_is_out(
    gateway: Gateway, method: bytes, length: bytes
) -> None:
    head = request(length, method=method, path=b"/api/events")
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    raw = await dial(gateway, head)
    before = resident_bytes()
    sending = asyncio.create_task(hurl(raw, chunk, times=100_000))  # until it is cut off
    answer = Answer(await rest(raw, 10))
    await until(lambda: not gateway.server.server_state.connections)
    await sending
    assert answer.status in (204, 400, 401)
    assert resident_bytes() - before < 10 * MIB


async def test_a_large_body_without_a_credential_is_answered_before_the_end(
    gateway: Gateway,
) -> None:
    async with gateway.http(headers={}) as http:
        answer = await http.post("/api/events", content=b"x" * 3 * MIB)
    assert answer.status_code == 401


async def test_an_upgrade_with_a_body_is_a_400_and_the_body_is_no_request(
    gateway: Gateway,
) -> None:
    lines = [b": ".join(header) for header in UPGRADE]
    smuggled = request(TOKEN_LINE)
    for length in (b"Content-Length: %d" % len(smuggled), CHUNKED):
        sent = request(*lines, TOKEN_LINE, length, path=b"/ws")
        data = await rest(await dial(gateway, sent + smuggled))
        assert Answer(data).status == 400
        assert data.count(b"HTTP/1.1 ") == 1


async def test_requests_that_do_not_wait_for_their_answers_are_bounded(
    gateway: Gateway,
) -> None:
    async with bystander(gateway, limit_s=5):
        before = resident_bytes()
        raw = await dial(gateway, request(TOKEN_LINE, path=b"/api/events/stream"))
        await until(lambda: gateway.registry.taken == 2)
        await hurl(raw, b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n" * 1500, times=200)
        await until(lambda: gateway.registry.taken == 1)  # the flood ended the stream, too
        assert resident_bytes() - before < 10 * MIB


async def test_a_few_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    paths = [b"/api/health", b"/api/session", b"/nowhere"] * (MAX_PIPELINED // 3)
    sent = b"".join(request(TOKEN_LINE, path=path) for path in paths)
    end = request(TOKEN_LINE, b"Connection: close", path=b"/api/catalog")
    data = await rest(await dial(gateway, sent + end))
    statuses = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 200, 404] * (len(paths) // 3) + [200]


async def test_a_head_behind_another_request_is_as_bounded_as_the_first(
    gateway: Gateway,
) -> None:
    body = b'{"ticket":"none"}'
    first = login(b"Content-Length: %d" % len(body)) + body
    data = await rest(await dial(gateway, first + request(b"X-Big: " + b"a" * 40_000)))
    statuses = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
    assert statuses[-1] == 431 or statuses == [401]  # closed: the first answer was still due
    assert not any(status < 400 for status in statuses)


@pytest.mark.parametrize("path", [b"/api/login", b"/ws", b"/api/events/stream", b"/"])
async def test_an_unread_rest_of_a_request_frees_its_connection_in_bounded_time(
    start: Start, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    monkeypatch.setattr(uvicorn_http, "BODY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(uvicorn_http, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(uvicorn_http, "LINGER_S", 0.1)
    gateway = await start()
    raw = await dial(gateway, request(CHUNKED, JSON, method=b"POST", path=path) + b"5\r\nab")
    await until(lambda: gateway.server.server_state.connections)
    await until(lambda: not gateway.server.server_state.connections)
    raw.setblocking(True)
    raw.settimeout(5)
    with raw:
        assert raw.recv(65536)[:5] == b"HTTP/"
        raw.shutdown(socket.SHUT_WR)
