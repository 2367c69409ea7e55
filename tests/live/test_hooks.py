"""Hooks of coding agents over HTTP, to a real gateway, and the sessions that a terminal then shows."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.auth.access import AUDIT
from app.auth.proof import hook_token
from app.ingest.hook_settings import Gateway as Installation, command_hook
from tests.kit.gateway import Gateway, Start, name as name_it
from tests.kit.hooks import ROUTES, retained
from tests.kit.http import TOKEN
from tests.kit.sessions import ROWS, counts
from tests.kit.terminal import PIPE, line, run, sightline
from tests.kit.tokens import add_token
from tests.kit.waiting import WATCHDOG_S
from tests.recordings import HOOK_FILES, hooks_of

BASE = {"session_id": "s", "hook_event_name": "PostToolUse", "tool_name": "Write"}


async def post(http: httpx.AsyncClient, name: str) -> None:
    for path, body in hooks_of(name):
        answer = await http.post(ROUTES[path], json=body)
        assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.slow
async def test_every_recorded_file_ends_in_the_terminal_as_its_row_describes(
    gateway: Gateway, folder: Path
) -> None:
    name_it(folder, gateway)
    async with gateway.http() as http:
        for name in HOOK_FILES:
            await post(http, name)
    status, out, err = await run(folder, "sessions", "--json")
    assert status == 0, err
    found = {session["session_id"]: session for session in json.loads(out)}
    for name in HOOK_FILES:
        ids = {str(body["session_id"]) for _, body in hooks_of(name)}
        state, calls, _ = ROWS[name]
        assert {found[id_]["state"] for id_ in ids} == {state}, name
        assert counts([found[id_] for id_ in ids]) == calls, name
    status, out, err = await run(folder, "sessions")
    assert status == 0, err
    assert "working  Claude Code ecd0" in out.splitlines()[1] + out.splitlines()[0]


@pytest.mark.parametrize("path", ["/api/hooks/claude-code", "/api/hooks/codex"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"session_id": 3}',
        b'{"hook_event_name": "Stop", "session_id": "\\ud800"}',
        b'{"session_id": "s", "hook_event_name": "Stop", "x": 1e999}',
    ],
)
async def test_whatever_arrives_the_answer_is_empty(
    gateway: Gateway, path: str, body: bytes
) -> None:
    async with gateway.http() as http:
        answer = await http.post(path, content=body)
        assert (answer.status_code, answer.content) == (204, b"")


async def test_a_hook_that_holds_half_a_character_is_kept(gateway: Gateway) -> None:
    body = b'{"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "a\\ud83d"}'
    async with gateway.http() as http:
        await http.post("/api/hooks/claude-code", content=body)
    (event,) = await retained(gateway)
    assert (event["type"], event["data"]["prompt"]) == ("agent.turn_started", "a?")


@pytest.mark.parametrize("max_event_bytes", [262_144, 8_192])
async def test_a_large_hook_is_cut_to_what_the_gateway_takes(
    start: Start, max_event_bytes: int
) -> None:
    gateway = await start(max_event_bytes=max_event_bytes)
    text = "x" * 500_000
    body = BASE | {"tool_use_id": "t", "tool_input": {"content": text}, "tool_response": [text] * 3}
    async with gateway.http() as http:
        await http.post("/api/hooks/claude-code", json=body)
    (event,) = await retained(gateway)
    assert event["data"]["tool_use_id"] == "t"
    assert event["data"]["truncated"]["tool_input.content"]


async def test_only_what_is_no_hook_of_ours_is_refused(gateway: Gateway) -> None:
    url = "/api/hooks/claude-code"
    async with gateway.http(headers={}) as http:
        assert (await http.post(url, json=BASE)).status_code == 401
        # What an agent sends for a variable that is not set.
        empty = await http.post(url, json=BASE, headers={"Authorization": ""})
        assert empty.status_code == 401
        assert not {"decision", "continue", "hookSpecificOutput"} & set(empty.json())
    async with gateway.http() as http:
        page = await http.post(url, json=BASE, headers={"Origin": "http://evil.example"})
        assert page.status_code == 403
        large = await http.post(url, content=b'"' + b"x" * (16 * 1024 * 1024) + b'"')
        assert large.status_code == 413
    assert await retained(gateway) == []


@pytest.mark.parametrize(
    ("allowed", "status"), [("agent.attention_needed", 204), ("agent.reported", 403)]
)
async def test_a_notification_tells_no_publisher_whether_a_session_waits(
    gateway: Gateway, allowed: str, status: int
) -> None:
    secret = await asyncio.to_thread(
        add_token, gateway.settings.state_dir, "publisher", "publish", publish=(allowed,)
    )
    await gateway.app.state.keyring.token_store.refresh()
    await gateway.publisher.publish(
        "agent.attention_needed", {"session_id": "waits", "reason": "permission"}
    )
    hook = {"hook_event_name": "Notification", "notification_type": "permission_prompt"}
    async with gateway.http(headers={"Authorization": f"Bearer {secret}"}) as http:
        for session_id in ("waits", "works"):
            answer = await http.post(
                "/api/hooks/claude-code", json={**hook, "session_id": session_id}
            )
            assert answer.status_code == status
    events = [event for event in await retained(gateway) if event["type"] != AUDIT]
    types = [event["type"] for event in events if event["metadata"].get("publisher") == "publisher"]
    assert types == (["agent.reported", "agent.attention_needed"] if status == 204 else [])


async def test_a_watched_session_is_printed_again_when_it_changes(
    gateway: Gateway, folder: Path
) -> None:
    name_it(folder, gateway)
    async with (
        gateway.http() as http,
        sightline(folder, "sessions", "--json", "--watch") as process,
    ):
        first = await line(process)
        assert first == "[]\n", await process.stderr.read()
        states = []
        for path, body in hooks_of("permission_prompt"):
            await http.post(ROUTES[path], json=body)
        while not states or states[-1] != "finished":
            states += [session["state"] for session in json.loads(await line(process))]


async def test_the_token_of_hooks_lets_in_hooks_alone(gateway: Gateway) -> None:
    async with gateway.http(headers={"Authorization": f"Bearer {hook_token(TOKEN)}"}) as http:
        for path in ("/api/hooks/claude-code", "/api/hooks/codex"):
            assert (await http.post(path, json=BASE)).status_code == 204
        assert (await http.get("/api/events")).status_code == 401
        event = {"type": "agent.message", "data": {"content": "x"}}
        assert (await http.post("/api/events", json=event)).status_code == 401
    with pytest.raises(InvalidStatus):
        await gateway.connect(token=hook_token(TOKEN))


async def test_the_installed_command_posts_what_it_is_given_and_never_fails(
    gateway: Gateway, tmp_path: Path
) -> None:
    header = tmp_path / "a header"
    header.write_text(f"Authorization: Bearer {hook_token(TOKEN)}\n")
    body = b'{"session_id": "s", "hook_event_name": "SessionStart", "source": "startup"}'
    url = f"http://127.0.0.1:{gateway.port}/api/hooks/claude-code"
    for address, events in ((url, 1), ("http://127.0.0.1:1/api/hooks/claude-code", 1)):
        hook = command_hook(Installation(address, "", str(header)), timeout=5)
        process = await asyncio.create_subprocess_shell(
            str(hook["command"]), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(body), WATCHDOG_S)
        assert (process.returncode, out, err) == (0, b"", b"")
        assert len(await retained(gateway)) == events
