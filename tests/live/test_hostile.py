"""Attacks with the token, after the handshake: each costs only the attacker its connection."""

import asyncio
import json
import random
import socket
import struct
import zlib

import pytest

from tests.kit.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    closed_with,
    frame,
    frames,
)
from tests.kit.gateway import Gateway, Start
from tests.kit.http import hurl, rest
from tests.kit.waiting import until
from tests.live.attack import bystander, resident_bytes, upgraded

MIB = 1024 * 1024
BOMB = zlib.compressobj(wbits=-12).compress(bytes(50 * MIB))


def unmasked(data: bytes) -> bytes:
    return bytes([data[0], data[1] & 0x7F]) + data[2:6][:0] + data[6:]


WRONG_FRAMES = {
    "a message of 1 MB": (frame(TEXT, b"x" * MIB), 1009),
    "a message said to have 8 EB": (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4), 1009),
    "fragments of 1 MB": (
        frame(TEXT, b"x" * 60_000, fin=False) + frame(CONTINUATION, b"x" * 60_000, fin=False),
        1009,
    ),
    "bad UTF-8": (frame(TEXT, b'{"type":"\xff\xfe"}'), 1007),
    "half a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "reserved bit 1": (frame(TEXT, b"{}", reserved=4), 1002),
    "reserved bit 2": (frame(TEXT, b"{}", reserved=2), 1002),
    "reserved bit 3": (frame(PING, b"", reserved=1), 1002),
    "a compression bomb": (frame(TEXT, BOMB[:60_000], reserved=4), 1002),
    "an unknown opcode": (frame(3, b"x"), 1002),
    "an unknown control opcode": (frame(11, b"x"), 1002),
    "no mask": (unmasked(frame(TEXT, b"{}")), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a message within a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a fragmented ping": (frame(PING, b"x", fin=False), 1002),
    "a close with half a code": (frame(CLOSE, b"\x03"), 1002),
    "a close with a forbidden code": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "a close with bad UTF-8": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "noise": (random.Random(1).randbytes(4096), 1002),
}


@pytest.mark.parametrize(("sent", "code"), WRONG_FRAMES.values(), ids=WRONG_FRAMES)
async def test_a_wrong_frame_ends_the_connection_with_the_protocols_code(
    gateway: Gateway,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    code: int,
) -> None:
    async with bystander(gateway):
        raw = await upgraded(gateway)
        await hurl(raw, sent)
        assert closed_with(await rest(raw)) == code
        await until(lambda: gateway.registry.taken == 1)
    assert "Traceback" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("wrong", [frame(TEXT, b"\xff"), frame(PING, b"") * 300])
async def test_a_client_that_closes_behind_a_wrong_frame_names_no_eviction(
    gateway: Gateway, wrong: bytes
) -> None:
    raw = await upgraded(gateway)
    await hurl(raw, wrong + frame(CLOSE, struct.pack("!H", 4321)))
    assert closed_with(await rest(raw)) == 4321
    await until(lambda: gateway.registry.taken == 0)
    assert not gateway.bus.counters.evictions


WRONG_MESSAGES = {
    "10,000 nested brackets": b"[" * 10_000 + b"]" * 10_000,
    "10,000 nested objects": b'{"type":"ping","x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "1e999": b'{"type":"ping","id":1e999}',
    "a number of 60,000 digits": b'{"type":"ping","id":' + b"9" * 60_000 + b"}",
    "10,000 patterns": json.dumps(
        {"type": "subscribe", "types": ["a.b"] * 9_000 + ["c.D"]}
    ).encode(),
    "10,000 good patterns": json.dumps(
        {"type": "subscribe", "types": [f"a.b{i}" for i in range(6_000)]}
    ).encode(),
    "NaN": b'{"type":"ping","id":NaN}',
    "a lone surrogate": b'{"type":"ping","id":"\\udfff"}',
    "a null byte": b'{"type":"ping\\u0000"}',
    "a pattern to backtrack on": b'{"type":"subscribe","types":["' + b"a_" * 30_000 + b'!"]}',
}


@pytest.mark.parametrize("sent", WRONG_MESSAGES.values(), ids=WRONG_MESSAGES)
async def test_a_wrong_message_is_an_error_and_the_connection_lives(
    gateway: Gateway, sent: bytes
) -> None:
    async with bystander(gateway):
        raw = await upgraded(gateway, "/ws?types=")
        await hurl(raw, frame(TEXT, sent) + frame(BINARY, sent[:100]))
        await hurl(raw, frame(TEXT, b'{"type":"ping","id":"end"}'))
        data, loop = b"", asyncio.get_running_loop()
        while b"pong" not in data:
            data += await loop.sock_recv(raw, 65536)
    texts = [json.loads(payload) for opcode, payload in frames(data) if opcode == TEXT]
    wrong, binary, pong = texts[-3:]  # `connected` may have come with the handshake
    assert (wrong["type"], binary["code"]) == ("error", "binary_frame")
    assert len(json.dumps(wrong)) < 1000
    assert (pong["type"], pong["id"]) == ("pong", "end")


async def test_a_client_that_floods_pings_and_never_reads_takes_no_memory(start: Start) -> None:
    gateway = await start()
    async with bystander(gateway):
        raw = await upgraded(gateway, "/ws?types=", receive_buffer=4096)
        before = resident_bytes()
        await hurl(raw, frame(PING, b"x" * 125) * 100, times=5_000)
        assert resident_bytes() - before < 20 * MIB


@pytest.mark.parametrize("opcode", [PING, PONG], ids=["ping", "pong"])
async def test_a_flood_of_protocol_control_frames_holds_nobody_up(
    start: Start, opcode: int
) -> None:
    gateway = await start()
    async with bystander(gateway):
        raw = await upgraded(gateway, "/ws?types=")
        reading = asyncio.create_task(rest(raw, 30))
        await hurl(raw, frame(opcode) * 10_000, times=50)
        raw.shutdown(socket.SHUT_WR)
        await reading


async def test_a_flood_of_control_messages_is_closed_4429_and_holds_nobody_up(
    gateway: Gateway,
) -> None:
    async with bystander(gateway):
        raw = await upgraded(gateway, "/ws?types=")
        reading = asyncio.create_task(rest(raw))
        await hurl(raw, frame(TEXT, b'{"type":"ping"}') * 10_000, times=10)
        assert closed_with(await reading) == 4429
        await until(lambda: gateway.registry.taken == 1)


async def test_a_flood_from_a_client_that_never_reads_frees_its_place(gateway: Gateway) -> None:
    async with bystander(gateway):
        before = resident_bytes()
        raw = await upgraded(gateway, "/ws?types=", receive_buffer=4096)
        await hurl(raw, frame(TEXT, b'{"type":"subscribe","types":["a.b"]}') * 1_000, times=100)
        await until(lambda: gateway.registry.taken == 1)
        assert resident_bytes() - before < 20 * MIB


async def test_a_message_of_endless_empty_fragments_is_refused(gateway: Gateway) -> None:
    async with bystander(gateway):
        before = resident_bytes()
        raw = await upgraded(gateway, "/ws?types=")
        await hurl(raw, frame(TEXT, b"{", fin=False))
        reading = asyncio.create_task(rest(raw, 30))
        await hurl(raw, frame(CONTINUATION, b"", fin=False) * 10_000, times=50)
        assert closed_with(await reading) == 4429
        assert resident_bytes() - before < 20 * MIB


@pytest.mark.parametrize("how", ["reset", "vanish", "half-close"])
async def test_a_client_that_dies_within_a_frame_leaves_nothing(gateway: Gateway, how: str) -> None:
    before = asyncio.all_tasks()
    raw = await upgraded(gateway)
    await hurl(raw, frame(TEXT, b'{"type":"subscribe","types":["git.*"]}')[:20])
    if how == "reset":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half-close":
        raw.shutdown(socket.SHUT_WR)
    else:
        raw.close()
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    await until(lambda: asyncio.all_tasks() <= before)
    assert not gateway.server.server_state.connections
