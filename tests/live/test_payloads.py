"""Payloads of an attacker: what they publish, and what they write into the log."""

import json
from typing import Any

import pytest

from app.api import events
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN_LINE, dial, request, rest
from tests.kit.messages import receive
from tests.live.attack import upgraded

JSON_LINE = b"Content-Type: application/json"
EVIL = 'x\r\n{"event":"forged"}\x1b[2J\x9b\u2028\u202e\x00'


def event(data: str) -> bytes:
    return b'{"type":"live.any","data":{"x":%s}}' % data.encode()


REFUSED = {
    "NaN": (event("NaN"), 400),
    "infinity": (event("1e999"), 400),
    "minus infinity": (event("-1e999"), 400),
    "a lone surrogate": (event('"\\ud800"'), 400),
    "a lone surrogate as a key": (event('{"\\udfff":1}'), 400),
    "nesting of 5,000": (event("[" * 5_000 + "]" * 5_000), 400),
    "nesting of a million": (event("[" * 1_000_000), 400),
    "a number of 5,000 digits": (event("9" * 5_000), 400),
    "10 MB": (event(json.dumps("x" * 10_000_000)), 413),
    "4 MB of small objects": (event("[" + '{"a":[true]},' * 300_000 + "1]"), 413),
    "4 MB of small objects, cut off": (event("[" + '{"a":[true]},' * 300_000 + "1]")[:-2], 400),
    "4 MB of escapes, cut off": (event('"' + r"\n" * 2_000_000 + '"')[:-2], 400),
    "4 MB of tiny events": (b"[%s1]" % ((event("1") + b",") * 90_000), 413),
    "a type with a line break": (b'{"type":"live.a\\r\\nb","data":{}}', 400),
    "a type with an escape": (b'{"type":"live.\\u001b[2J","data":{}}', 400),
    "a type over 64 characters": (b'{"type":"live.%s","data":{}}' % (b"a" * 60), 400),
    "UTF-16": (event('"x"').decode().encode("utf-16"), 400),
}


async def test_a_long_body_is_refused_with_the_place_and_is_never_decoded_as_a_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start(extra_namespaces=("live",))
    monkeypatch.setattr(events, "_decode", None)
    good, headers = event('"%s"' % ("x" * 1000)), {"Content-Type": "application/json"}
    async with gateway.http() as http:
        for last, why in (
            (b'{"type":"live.any","data":[]}', "`$[90].data`: Expected `object`, got `array`"),
            (
                b'{"type":"live.any","data":{},"metadata":1}',
                "`$[90].metadata`: Expected `object`, got `int`",
            ),
            (b'{"type":"live.any"}', "Object missing required field `data` - at `$[90]`"),
            (b'{"type":"live.any","data":{', "JSON is malformed: "),
        ):
            body = b"[%s%s]" % ((good + b",") * 90, last)
            answer = await http.post("/api/events", content=body, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(why)
    assert gateway.bus.head == 0


def nested(levels: int) -> str:
    """Inside of `data` of `event`, which is one level, so many arrays."""
    return "[" * levels + "]" * levels


DEEP = {
    "data": b'{"type":"live.any","data":{"x":%s}}' % nested(5_000).encode(),
    "a level too many": event(nested(256)),
    "an array of events": b"[%s]" % event(nested(256)),
    "metadata": b'{"type":"live.any","data":{},"metadata":{"x":%s}}' % nested(5_000).encode(),
    "an unknown field": b'{"type":"live.any","data":{},"more":%s}' % nested(5_000).encode(),
    "a cloud event": b'{"specversion":"1.0","id":"1","source":"s","type":"live.any","data":{"x":%s}}'
    % nested(5_000).encode(),
}


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP)
async def test_json_nested_over_256_deep_is_refused_with_the_depth_named(
    start: Start, body: bytes
) -> None:
    gateway = await start(extra_namespaces=("live",))
    cloud = b"specversion" in body
    media_type = "application/cloudevents+json" if cloud else "application/json"
    async with gateway.http() as http:
        headers = {"Content-Type": media_type}
        answer = await http.post("/api/events", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["message"].endswith("nest arrays and objects at most 256 deep")
        fits = [event(nested(255)), b"[%s]" % event(nested(255))]
        for body in fits:
            answer = await http.post(
                "/api/events", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 201
    assert gateway.bus.head == 2


async def test_a_lone_surrogate_is_called_so_over_http_and_on_the_socket(gateway: Gateway) -> None:
    async with gateway.connect() as client, gateway.http() as http:
        await receive(client)
        headers = {"Content-Type": "application/json"}
        answer = await http.post("/api/events", content=event('"\\ud800"'), headers=headers)
        assert answer.status_code == 400
        assert "a lone surrogate, \\ud800, at byte 32" in answer.json()["message"]
        await client.send('{"type":"ping","id":"\\udfff"}')
        answer_ = await receive(client)
        assert (answer_["type"], "a lone surrogate, \\udfff" in answer_["message"]) == (
            "error",
            True,
        )


@pytest.mark.parametrize(("body", "status"), REFUSED.values(), ids=REFUSED)
async def test_a_payload_that_is_no_strict_json_is_refused_and_uses_up_no_number(
    start: Start, body: bytes, status: int
) -> None:
    gateway = await start(extra_namespaces=("live",))
    async with gateway.http() as http:
        headers = {"Content-Type": "application/json"}
        answer = await http.post("/api/events", content=body, headers=headers)
        assert answer.status_code == status
        assert set(answer.json()) == {"type", "code", "message"}
        assert len(answer.text) < 1000
    assert gateway.bus.head == 0


async def test_control_characters_in_data_arrive_as_valid_json_in_one_line(start: Start) -> None:
    gateway = await start(extra_namespaces=("live",))
    async with gateway.connect() as client, gateway.http() as http:
        await receive(client)
        sent = {"type": "live.any", "data": {EVIL: [EVIL]}, "metadata": {"agent": EVIL}}
        assert (await http.post("/api/events", json=sent)).status_code == 201
        text = await client.recv()
        assert not {"\r", "\n", "\x1b", "\0"} & set(text)
        assert json.loads(text)["data"] == sent["data"]
        assert json.loads(text)["metadata"] == sent["metadata"]


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_nothing_that_a_client_sends_forges_a_log_line_or_steers_a_terminal(
    start: Start, capfd: pytest.CaptureFixture[str], log_format: str
) -> None:
    gateway = await start(log_format=log_format, log_level="debug")
    forged = "%0d%0a%7B%22event%22:%22forged%22%7D%1b[2J%c2%9b%e2%80%a8"
    ways: list[tuple[bytes, ...]] = [
        (b"GET", f"/{forged}".encode()),
        (b"GET", f"/api/events?types={forged}".encode(), TOKEN_LINE),
        (b"GET", f"/ws?client_id={forged}".encode(), TOKEN_LINE),
        (b"GET", b"/api/session", b"X-Session-Token: \xc2\x9b[2J"),
        (b"GET", b"/api/session", b"Origin: http://x\xc2\x9b[2J\t"),
    ]
    for method, path, *lines in ways:
        await rest(
            await dial(gateway, request(*lines, b"Connection: close", method=method, path=path))
        )
    evil: dict[str, Any] = {"type": EVIL, "types": [EVIL], "id": EVIL}
    async with gateway.connect() as client:
        await receive(client)
        for verb in (EVIL, "subscribe", "unsubscribe"):
            await client.send(json.dumps({**evil, "type": verb}))
            assert (await receive(client))["type"] == "error"
    raw = await upgraded(gateway)
    raw.close()
    await gateway.stop()
    log = capfd.readouterr().err
    assert "refused" in log
    assert not {"\r", "\x1b", "\x9b", "\u2028", "\0"} & set(log)
    if log_format == "json":
        for line in log.splitlines():
            assert json.loads(line)["event"] != "forged"
    else:
        assert not [line for line in log.splitlines() if line.startswith("{")]


async def test_a_page_of_big_events_ends_early_and_the_next_goes_on(gateway: Gateway) -> None:
    await gateway.publish(100, "x" * 250_000)
    read: list[int] = []
    async with gateway.http() as http:
        while len(read) < 100:
            after = read[-1] if read else 0
            answer = await http.get(f"/api/events?after={after}&limit=1000")
            assert len(answer.content) < 17 * 1024 * 1024
            read += [each["sequence_number"] for each in answer.json()["events"]]
            assert answer.json()["next"] == read[-1]
    assert read == list(range(1, 101))
