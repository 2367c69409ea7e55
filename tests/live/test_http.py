"""Publishing and reading over HTTP."""

import json
from typing import Any

import pytest

from tests.kit.gateway import Gateway, Start
from tests.kit.messages import receive

GOOD_EVENT = {"type": "chat.message_sent", "data": {"role": "user", "content": "x"}}


async def test_a_posted_event_is_numbered_and_reaches_clients(gateway: Gateway) -> None:
    async with gateway.connect() as client, gateway.http() as http:
        await receive(client)
        answer = await http.post("/api/events", json={**GOOD_EVENT, "metadata": {"agent": "a"}})
        assert answer.status_code == 201
        published = answer.json()
        assert set(published) == {"epoch", "sequence_number", "timestamp"}
        assert (published["epoch"], published["sequence_number"]) == (gateway.bus.epoch, 1)
        event = await receive(client)
        assert event["timestamp"] == published["timestamp"]
        assert (event["data"], event["metadata"]) == (GOOD_EVENT["data"], {"agent": "a"})


async def test_an_array_is_answered_by_a_list_in_order(gateway: Gateway) -> None:
    async with gateway.http() as http:
        answer = await http.post("/api/events", json=[GOOD_EVENT] * 1000)
        assert answer.status_code == 201
        assert [each["sequence_number"] for each in answer.json()] == list(range(1, 1001))
        empty = await http.post("/api/events", json=[])
        assert (empty.status_code, empty.json()) == (201, [])


@pytest.mark.parametrize(
    ("bad", "status", "names"),
    [
        ({"type": "chat.mesage_sent", "data": {}}, 400, "chat.message_sent"),
        ({"type": "chat.message_sent", "data": {"role": "user"}}, 400, "content"),
        ({"type": "chat.message_sent", "data": {"role": 1, "content": "x"}}, 400, "role"),
        ({"type": "chat.message_sent", "data": []}, 400, "data"),
        ({"type": "chat.message_sent"}, 400, "data"),
        ({"data": {}}, 400, "type"),
        ({**GOOD_EVENT, "metadata": []}, 400, "metadata"),
        ({**GOOD_EVENT, "metadata": None}, 400, "metadata"),
        (
            {"type": "chat.message_sent", "data": {"role": "user", "content": "x" * 262144}},
            413,
            "SIGHTLINE_MAX_EVENT_BYTES",
        ),
    ],
)
async def test_one_refused_event_refuses_the_array_and_takes_no_number(
    gateway: Gateway, bad: dict[str, Any], status: int, names: str
) -> None:
    async with gateway.http() as http:
        for body in ([GOOD_EVENT, bad], bad):
            answer = await http.post("/api/events", json=body)
            assert answer.status_code == status
            assert set(answer.json()) == {"type", "code", "message"}
            assert names in answer.json()["message"]
        assert gateway.bus.head == 0
        assert (await http.post("/api/events", json=GOOD_EVENT)).json()["sequence_number"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"7", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"type":"\xed\xa0\x80"}']
)
async def test_a_body_that_is_no_event_is_a_400(gateway: Gateway, body: bytes) -> None:
    async with gateway.http() as http:
        answer = await http.post(
            "/api/events", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 400
    assert set(answer.json()) == {"type", "code", "message"}


async def test_a_body_over_4_mib_is_a_413_and_over_1000_events_are_refused(
    gateway: Gateway,
) -> None:
    async with gateway.http() as http:
        body = json.dumps([GOOD_EVENT]).encode() + b" " * (4 * 1024 * 1024)
        headers = {"Content-Type": "application/json"}
        answer = await http.post("/api/events", content=body, headers=headers)
        assert answer.status_code == 413
        assert set(answer.json()) == {"type", "code", "message"}
        assert "send less at once" in answer.json()["message"]

        async def chunks() -> Any:
            for start in range(0, len(body), 65536):
                yield body[start : start + 65536]

        answer = await http.post("/api/events", content=chunks(), headers=headers)
        assert answer.status_code == 413
        answer = await http.post("/api/events", json=[GOOD_EVENT] * 1001)
        assert answer.status_code == 413
    assert gateway.bus.head == 0


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/cloudevents", None],
)
async def test_a_body_that_is_not_called_json_is_a_415(
    gateway: Gateway, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    async with gateway.http() as http:
        body = json.dumps(GOOD_EVENT).encode()
        answer = await http.post("/api/events", content=body, headers=headers)
        assert answer.status_code == 415
        named = {"Content-Type": "application/json; charset=utf-8"}
        assert (await http.post("/api/events", content=body, headers=named)).status_code == 201


async def test_cloudevents_are_published_one_by_one_or_as_a_batch(gateway: Gateway) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "org.x.chat.message_sent"}
    event["data"] = GOOD_EVENT["data"]
    one = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    async with gateway.connect() as client, gateway.http() as http:
        await receive(client)
        answer = await http.post("/api/events", content=json.dumps(event), headers=one)
        assert (answer.status_code, answer.json()["sequence_number"]) == (201, 1)
        received = await receive(client)
        assert (received["type"], received["data"]) == ("chat.message_sent", GOOD_EVENT["data"])
        assert received["metadata"]["source"] == "/s"
        assert received["metadata"]["cloudevent"]["id"] == "1"
        answer = await http.post("/api/events", content=json.dumps([event] * 2), headers=batch)
        assert [published["sequence_number"] for published in answer.json()] == [2, 3]
        alone = await http.post("/api/events", content=json.dumps([event]), headers=batch)
        assert len(alone.json()) == 1
        for bad, status, names in (
            ({**event, "specversion": "0.3"}, 400, "specversion"),
            ({**event, "type": "org.x.chat.mesage_sent"}, 400, "chat.message_sent"),
            ({**event, "data": {"role": "user"}}, 400, "content"),
        ):
            for body, headers in ((bad, one), ([event, bad], batch)):
                answer = await http.post("/api/events", content=json.dumps(body), headers=headers)
                assert (answer.status_code, names in answer.json()["message"]) == (status, True)
        many = await http.post("/api/events", content=json.dumps([event] * 1001), headers=batch)
        assert many.status_code == 413
    assert gateway.bus.head == 4


async def test_a_cloudevent_in_binary_mode_is_published_as_its_headers_say(
    gateway: Gateway,
) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/s%20",
        "ce-type": "org.x.chat.message_sent",
    }
    # Its data could be taken for an event of ours.
    body = json.dumps({**GOOD_EVENT["data"], "type": "workflow.failed", "data": {}})
    async with gateway.connect() as client, gateway.http() as http:
        await receive(client)
        for sent, content_type, status in (
            (headers, {}, 400),
            (headers | {"ce-source": "/s"}, {}, 201),
            (headers | {"ce-source": "/s"}, {"Content-Type": "application/json"}, 201),
            ({"ce-type": "chat.message_sent"}, {"Content-Type": "application/json"}, 400),
            (headers | {"ce-source": "/s"}, {"Content-Type": "text/plain"}, 415),
        ):
            answer = await http.post("/api/events", content=body, headers=sent | content_type)
            assert answer.status_code == status
            if status == 201:
                assert answer.json()["sequence_number"] == gateway.bus.head
                received = await receive(client)
                assert (received["type"], received["metadata"]["source"]) == (
                    "chat.message_sent",
                    "/s",
                )
            elif status == 400:
                assert "source" in answer.json()["message"] or "specversion" in answer.text
    assert gateway.bus.head == 2


async def test_reading_pages_through_what_is_retained(gateway: Gateway) -> None:
    await gateway.publish(250)
    async with gateway.http() as http:
        read, after = [], None
        for expected in (100, 200, 250, 250):
            params = {} if after is None else {"after": after, "epoch": gateway.bus.epoch}
            page = (await http.get("/api/events", params=params)).json()
            assert {"epoch", "events", "next", "gap"} <= set(page)
            assert (page["next"], page["gap"]) == (expected, None)
            read += [event["sequence_number"] for event in page["events"]]
            after = page["next"]
    assert read == list(range(1, 251))


async def test_next_is_the_head_when_the_filter_has_no_more(start: Start) -> None:
    gateway = await start(extra_namespaces=("live",))
    for _ in range(3):
        await gateway.publisher.publish("live.a", {})
    await gateway.publish(2)
    async with gateway.http() as http:
        page = (await http.get("/api/events?types=live.*&limit=2")).json()
        assert ([e["sequence_number"] for e in page["events"]], page["next"]) == ([1, 2], 2)
        page = (await http.get("/api/events?types=live.*&after=2&limit=1")).json()
        assert ([e["sequence_number"] for e in page["events"]], page["next"]) == ([3], 5)


async def test_what_cannot_be_read_any_more_is_a_gap(start: Start) -> None:
    gateway = await start(replay_max_events=5, journal="")
    await gateway.publish(10)
    unknown = {"from_sequence_number": None, "to_sequence_number": None, "dropped": None}
    async with gateway.http() as http:
        page = (await http.get("/api/events?after=2")).json()
        gap = {"from_sequence_number": 3, "to_sequence_number": 5, "dropped": 3}
        assert page["gap"] == {"type": "gap", **gap, "reason": "expired"}
        assert [event["sequence_number"] for event in page["events"]] == [6, 7, 8, 9, 10]
        assert (await http.get("/api/events")).json()["gap"] is None
        for query in ("after=3&epoch=other", "after=11"):
            page = (await http.get(f"/api/events?{query}")).json()
            assert page["gap"] == {"type": "gap", **unknown, "reason": "epoch_changed"}
            assert page["next"] == 10
            assert len(page["events"]) == 5


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=-1",
        "after=1.0",
        "types=,",
        "types=Bad",
        "epoch=e",
    ],
)
async def test_a_malformed_read_is_a_400(gateway: Gateway, query: str) -> None:
    async with gateway.http() as http:
        answer = await http.get(f"/api/events?{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"type", "code", "message"}


async def test_session_catalog_and_health_say_what_they_should(gateway: Gateway) -> None:
    async with gateway.connect(), gateway.http() as http:
        session = (await http.get("/api/session")).json()
        assert session["limits"]["max_clients"] == 10
        assert session["places_taken"] == 1
        entries = (await http.get("/api/catalog")).json()["types"]
        assert all(set(e) == {"type", "description", "schema", "example", "kept"} for e in entries)
        assert [e["type"] for e in entries if not e["kept"]] == ["chat.streaming_chunk"]
    async with gateway.http(headers={"Host": "anything.example"}) as http:
        health = await http.get("/api/health")
        assert health.status_code == 200
        assert set(health.json()) == {"status", "version"}
        assert health.json()["status"] == "healthy"
