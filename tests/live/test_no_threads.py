"""No request waits for a thread, which are for the journal and for telemetry, or for further tasks."""

import asyncio
import json
from typing import Any

import pytest

from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN_LINE, UPGRADE, Connection, dial, request
from tests.kit.messages import receive

EVENT = {"type": "chat.message_sent", "data": {"role": "user", "content": "x"}}
CLOUD = {"specversion": "1.0", "id": "1", "source": "s", **EVENT}
CLOUD_TYPE = {"Content-Type": "application/cloudevents+json"}
HOOK = {"hook_event_name": "SessionStart", "session_id": "s-1", "source": "startup"}


async def ask_every_route(gateway: Gateway) -> set[int]:
    """Send requests of every kind, with and without a credential; return the statuses."""
    async with gateway.http() as http, gateway.http(headers={}) as stranger:
        answers = [
            await http.post("/api/events", json=EVENT),
            await http.post("/api/events", json=[EVENT, EVENT]),
            await http.post("/api/events", json=CLOUD, headers=CLOUD_TYPE),
            await http.post("/api/events", json={"type": "no.such", "data": {}}),
            await http.post("/api/hooks/claude-code", json=HOOK),
            await http.post("/api/tickets"),
            await stranger.post("/api/login", json={"ticket": "wrong"}),
        ]
        paths = ("/", "/login", "/api/health", "/api/session", "/api/catalog", "/api/openapi.json")
        paths += (
            "/api/sessions",
            "/api/none",
            "/client/sightline.js",
            "/static/console.css",
            "/ws",
        )
        for path in (*paths, "/metrics"):
            answers += [await http.get(path), await stranger.get(path)]
        answers.append(await http.request("PUT", "/api/events"))
    async with gateway.connect() as client:
        await receive(client)
        await client.send('{"type":"ping"}')
        await receive(client)
    return {answer.status_code for answer in answers}


@pytest.mark.parametrize("journal", ["", "auto"])
async def test_no_request_waits_for_a_thread(
    start: Start, monkeypatch: pytest.MonkeyPatch, journal: str
) -> None:
    gateway = await start(journal=journal)
    loop, handed_over = asyncio.get_running_loop(), []

    def run_in_executor(executor: Any, function: Any, *args: Any) -> Any:
        handed_over.append(function)
        return type(loop).run_in_executor(loop, executor, function, *args)

    monkeypatch.setattr(loop, "run_in_executor", run_in_executor)
    statuses = await ask_every_route(gateway)
    if not journal:
        async with gateway.http() as http:
            statuses.add((await http.get("/api/events")).status_code)
    monkeypatch.undo()
    assert {200, 201, 400, 401, 404, 405, 426} <= statuses
    assert handed_over == []


async def test_an_event_a_hook_and_a_client_start_one_task_each(start: Start) -> None:
    gateway = await start(journal="")
    loop, started = asyncio.get_running_loop(), []

    def start_task(loop: Any, coroutine: Any, **given: Any) -> asyncio.Task[Any]:
        started.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **given)

    connection = Connection(await dial(gateway))
    await connection.ask(request(TOKEN_LINE))  # the connection is there
    loop.set_task_factory(start_task)
    for path, posted in ((b"/api/hooks/claude-code", HOOK), (b"/api/events", EVENT)):
        body = json.dumps(posted).encode()
        lines = (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
        answer = await connection.ask(request(TOKEN_LINE, *lines, method=b"POST", path=path) + body)
        assert answer.status in (201, 204)
    upgrade = [b": ".join(header) for header in UPGRADE]
    await connection.ask(request(TOKEN_LINE, *upgrade, path=b"/ws"))
    loop.set_task_factory(None)
    assert started == [
        "RequestResponseCycle.run_asgi",
        "RequestResponseCycle.run_asgi",
        "WebSocketsSansIOProtocol.run_asgi",
    ]
