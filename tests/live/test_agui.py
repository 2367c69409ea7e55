"""`GET /api/agui/{thread_id}` of a real gateway: from the journal into live, resumed wherever it was cut."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.kit.agui import Numbered, read, take, verified
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN
from tests.kit.waiting import WATCHDOG_S, until
from tests.recordings import HOOK_FILES, hooks_of

ROUTES = {"/hooks/codex": "/api/hooks/codex"}
SMALL = {"replay_max_events": 50, "replay_limit": 20, "queue_size": 40}


async def post(gateway: Gateway, name: str) -> list[str]:
    """Post the hooks of a recorded file; return its sessions."""
    sessions: dict[str, None] = {}
    async with gateway.http() as http:
        for path, body in hooks_of(name):
            await http.post(ROUTES.get(path, "/api/hooks/claude-code"), json=body)
            sessions[str(body["session_id"])] = None
    return list(sessions)


async def whole(gateway: Gateway, thread_id: str, behind: str | None = None) -> list[Numbered]:
    """All that a session has so far, behind an id: up to a mark that is published now."""
    event = await gateway.publisher.publish(
        "agent.reported", {"session_id": thread_id, "kind": "mark"}
    )
    last = f"{gateway.bus.epoch}:{event.sequence_number}"
    async with aclosing(read(gateway, thread_id, behind)) as coming:
        async with asyncio.timeout(WATCHDOG_S):
            return await take(coming, last)


def events_of(found: list[Numbered]) -> list[dict[str, Any]]:
    return [event for _, event in found]


@pytest.mark.slow
async def test_every_recorded_session_is_taken_by_the_client_and_resumes_where_it_was_cut(
    start: Start,
) -> None:
    gateway = await start(**SMALL)
    sessions = [one for name in HOOK_FILES for one in await post(gateway, name)]
    for thread_id in sessions:
        found = await whole(gateway, thread_id)
        verified(events_of(found))
        for index in range(3, len(found), 29):
            rest = await whole(gateway, thread_id, found[index][0])
            assert rest[: len(found) - index - 1] == found[index + 1 :]
            verified(events_of(found[: index + 1] + rest))


@pytest.mark.slow
async def test_history_and_live_are_one_stream_while_events_go_on_for_a_client_that_is_cut_often(
    start: Start,
) -> None:
    gateway = await start(**SMALL | {"replay_max_events": 2, "queue_size": 4})
    count = 300

    async def work() -> None:
        for number in range(count):
            fields = {"session_id": "s", "content": f"{number}", "message_id": f"{number // 7}"}
            await gateway.publisher.publish("agent.message", fields)
            await gateway.publish()  # another event, of no agent
            if number % 10 == 0:
                await until(lambda: gateway.bus.head - reached < 120)  # more than a queue holds

    found: list[Numbered] = []
    reached = 0
    working = asyncio.create_task(work())
    async with asyncio.timeout(WATCHDOG_S):
        texts: list[str] = []
        while len(texts) < count:
            behind = found[-1][0] if found else None
            async with aclosing(read(gateway, "s", behind)) as coming:
                async for one in coming:
                    found.append(one)
                    reached = int(one[0].split(":")[1].split(".")[0].rstrip("!"))
                    texts += [one[1]["delta"]] if "delta" in one[1] else []
                    if len(texts) == count or len(found) % 37 == 0:
                        break  # in the middle of what one event became, too
    await working
    assert texts == [f"{number}" for number in range(count)]
    verified(events_of(found))
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


async def test_a_client_that_reads_nothing_loses_nothing(start: Start) -> None:
    gateway = await start(queue_size=4, replay_max_events=4, replay_limit=4)
    async with aclosing(read(gateway, "s")) as coming:
        for number in range(200):
            fields = {"session_id": "s", "content": f"{number} " + "x" * 4000}
            await gateway.publisher.publish("agent.message", fields)
        async with asyncio.timeout(WATCHDOG_S):
            found = []
            async for one in coming:
                found.append(one)
                if sum("delta" in event for _, event in found) == 200:
                    break
    deltas = [event["delta"].split()[0] for _, event in found if "delta" in event]
    assert deltas == [f"{number}" for number in range(200)]


async def test_a_session_goes_on_over_a_crash_and_a_client_with_it(
    start: Start, tmp_path: Path
) -> None:
    first = await start()
    (thread_id,) = await post(first, "interrupted_sigkill")
    found = await whole(first, thread_id)
    await first.stop()
    (tmp_path / "state" / "journal.db.clean").unlink(missing_ok=True)
    second = await start()
    await post(second, "simple")
    async with second.http() as http:
        for _, body in hooks_of("interrupted_sigkill"):
            await http.post("/api/hooks/claude-code", json=body)
    rest = await whole(second, thread_id, found[-1][0])
    assert rest[0][1]["type"] != "RUN_ERROR"
    verified(events_of(found + rest))
    assert found[-1][0].split(":")[0] != rest[0][0].split(":")[0]
    assert (await whole(second, thread_id))[: len(found + rest)] == found + rest


async def test_an_id_of_a_journal_that_is_gone_ends_the_run_and_begins_again(
    gateway: Gateway,
) -> None:
    (thread_id,) = await post(gateway, "simple")
    found = await whole(gateway, thread_id, "another:7.2")
    assert (found[0][0], found[0][1]["type"]) == ("another:7!", "RUN_ERROR")
    assert (await whole(gateway, thread_id))[: len(found) - 1] == found[1:]


async def test_without_a_journal_what_is_retained_is_the_history(start: Start) -> None:
    gateway = await start(journal="")
    (thread_id,) = await post(gateway, "tool_fails")
    found = await whole(gateway, thread_id)
    rest = await whole(gateway, thread_id, found[5][0])
    assert rest[: len(found) - 6] == found[6:]
    verified(events_of(found))


async def test_the_stream_is_guarded_takes_a_place_and_ends_with_the_gateway(
    start: Start,
) -> None:
    gateway = await start(max_clients=1)
    async with gateway.http(headers={}) as http:
        assert (await http.get("/api/agui/s")).status_code == 401
    async with gateway.http() as http:
        refused = await http.get("/api/agui/s", headers={"Last-Event-ID": "x"})
        assert (refused.status_code, "Last-Event-ID" in refused.text) == (400, True)
        async with http.stream("GET", "/api/agui/s") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store, no-transform"
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith(":")
            headers = {"X-Session-Token": TOKEN}
            async with gateway.http(headers=headers) as other:
                assert (await other.get("/api/agui/s")).status_code == 503
            await gateway.stop()
            assert [line async for line in lines if line.startswith("data")] == []
