"""The journal over every log: memory, memory with a journal, NATS, NATS with a journal.

Where a journal is, history and search are answered; elsewhere a 400 says so.
"""

from typing import Any

import httpx
import pytest

from tests.kit.gateway import Gateway, Start
from tests.live.conftest import start as start  # the fixture

LOGS = ["memory", "memory+journal", "nats", "nats+journal"]


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest, stream_name: str) -> dict[str, Any]:
    """Settings of a gateway on each log."""
    chosen: dict[str, Any] = {"journal": "journal.db" if "journal" in request.param else ""}
    if "nats" in request.param:
        chosen |= {"nats_url": request.getfixturevalue("nats_url"), "nats_stream": stream_name}
    return chosen


async def say(http: httpx.AsyncClient, *texts: str) -> list[dict[str, Any]]:
    events = [
        {"type": "chat.message_sent", "data": {"role": "user", "content": text}} for text in texts
    ]
    posted = await http.post("/api/events", json=events)
    assert posted.status_code == 201, posted.text
    return posted.json()


def numbers(page: dict[str, Any]) -> list[int]:
    return [event["sequence_number"] for event in page["events"]]


async def test_what_was_published_is_read_again_in_order_with_the_same_position(
    start: Start, log: dict[str, Any]
) -> None:
    gateway: Gateway = await start(**log)
    async with gateway.http() as http:
        told = await say(http, "red", "green", "red green")
        page = (await http.get("/api/events")).json()
        assert (page["epoch"], numbers(page)) == (told[0]["epoch"], [1, 2, 3])
        assert [one["timestamp"] for one in page["events"]] == [one["timestamp"] for one in told]
        rest = (await http.get(f"/api/events?after={told[0]['epoch']}:1&limit=1")).json()
        assert (numbers(rest), rest["next"], rest["gap"]) == ([2], 2, None)
        strange = (await http.get("/api/events?after=nobody:1")).json()
        assert strange["gap"]["reason"] == "epoch_changed"
        assert numbers(strange) == [1, 2, 3]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=green", [2, 3]),
        ("order=desc&limit=2", [3, 2]),
        ("before=3", [1, 2]),
        ("since=2h", [1, 2, 3]),
        ("until=2h", []),
        ("agent=ada", []),
        ("session_id=s", []),
    ],
)
async def test_a_search_is_answered_by_a_journal_and_refused_without_one(
    start: Start, log: dict[str, Any], query: str, found: list[int]
) -> None:
    gateway: Gateway = await start(**log)
    async with gateway.http() as http:
        await say(http, "red", "green", "red green")
        answer = await http.get(f"/api/events?{query}")
        if log["journal"]:
            assert numbers(answer.json()) == found
        else:
            assert answer.status_code == 400
            assert query.split("=")[0] in answer.json()["message"]
            assert "SIGHTLINE_JOURNAL" in answer.json()["message"]
        session = (await http.get("/api/session")).json()
        assert (session["journal"] is not None) == bool(log["journal"])


async def test_after_a_restart_on_nats_the_journal_holds_each_event_of_the_stream_once(
    start: Start, nats_url: str, stream_name: str
) -> None:
    log = {"journal": "journal.db", "nats_url": nats_url, "nats_stream": stream_name}
    gateway: Gateway = await start(**log)
    async with gateway.http() as http:
        await say(http, "one", "two", "three")
    await gateway.stop()
    assert not (gateway.settings.state_dir / "journal.db.clean").exists()
    again: Gateway = await start(state_dir=gateway.settings.state_dir, **log)
    assert (again.bus.epoch, again.bus.head) == (gateway.bus.epoch, 3)
    async with again.http() as http:
        await say(http, "four")
        found, query = [], "order=desc&limit=3"
        for _ in range(10):
            page = (await http.get(f"/api/events?{query}")).json()
            found += numbers(page)
            if page["older"] is None:
                break
            query = f"order=desc&limit=3&before={page['older']}"
        assert found == [4, 3, 2, 1]
        page = (await http.get("/api/events?q=three")).json()
        assert (numbers(page), page["matches"]) == ([3], 1)


async def test_what_the_stream_got_while_the_gateway_was_away_is_stored_or_a_gap(
    start: Start, nats_url: str, stream_name: str, tmp_path: Any
) -> None:
    log = {"journal": "journal.db", "nats_url": nats_url, "nats_stream": stream_name}
    gateway: Gateway = await start(**log, replay_max_events=2)
    async with gateway.http() as http:
        await say(http, "one", "two")
    await gateway.stop()
    other: Gateway = await start(**{**log, "journal": ""}, state_dir=tmp_path / "other")
    async with other.http() as http:
        await say(http, *"345678")
    await other.stop()
    again: Gateway = await start(state_dir=gateway.settings.state_dir, **log, replay_max_events=2)
    async with again.http() as http:
        page = (await http.get("/api/events?order=asc")).json()
        assert (numbers(page), page["gap"]) == ([1, 2], None)
        page = (await http.get(f"/api/events?order=asc&after={page['newer']}")).json()
        gap = page["gap"]
        assert (gap["from_sequence_number"], gap["reason"]) == (3, "not_stored")
        assert numbers(page) == list(range(gap["to_sequence_number"] + 1, 9))
        assert numbers(page)[-1] == 8
