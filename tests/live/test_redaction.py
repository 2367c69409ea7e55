"""Secrets that come in on every way are nowhere: not in what clients read, on disk, or in the log."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.kit.event_stream import listen
from tests.kit.gateway import Gateway, Start
from tests.kit.messages import receive
from tests.kit.waiting import WATCHDOG_S, until
from tests.redaction.secrets import forms, pieces
from tests.sources.repositories import commit, create

SAID = {"role": "user"}
CLOUD = {"specversion": "1.0", "id": "1", "source": "s", "type": "org.x.chat.message_sent"}


def encoded(received: object) -> str:
    """What a client received: a frame as it came, or a block of the event stream."""
    if isinstance(received, str):
        return received
    return msgspec.json.encode(received).decode()


async def post(http: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    kind = headers.pop("content_type", "application/json")
    return await http.post(
        "/api/events", content=json.dumps(body), headers={"content-type": kind, **headers}
    )


async def publish_every_way(gateway: Gateway, texts: list[str], workspace: Path) -> int:
    """How many events it published."""

    def said(index: int, **more: object) -> dict[str, Any]:
        return {"type": "chat.message_sent", "data": {**SAID, "content": texts[index]}, **more}

    async with gateway.http() as http:
        assert (await post(http, said(0))).status_code == 201
        several = [said(1), said(2, metadata={"note": texts[3]})]
        assert (await post(http, several, **{"idempotency-key": texts[0][:60]})).status_code == 201
        data = {**SAID, "content": texts[4], "metadata": {texts[5]: [{"deep": texts[6]}]}}
        structured = {**CLOUD, "subject": texts[0], "data": data}
        kind = "application/cloudevents+json"
        assert (await post(http, structured, content_type=kind)).status_code == 201
        binary = {f"ce-{name}": value for name, value in CLOUD.items()} | {"ce-subject": texts[0]}
        answer = await post(http, {**SAID, "content": texts[7]}, **binary)
        assert answer.status_code == 201
        hook = {
            "session_id": "s",
            "hook_event_name": "PreToolUse",
            "tool_name": "Bash",
            "tool_input": {"command": "x" * (3998 - len(texts[8])) + " " + texts[8] * 2},
            "other": texts[9],
        }
        for agent in ("claude-code", "codex"):
            assert (await http.post(f"/api/hooks/{agent}", json=hook)).status_code == 204
        refused = [
            said(0, type=texts[0]),
            {"type": "chat.message_sent", "data": {"role": {texts[0]: 1}, "content": texts[1]}},
            {"type": "chat.message_sent", "data": {"role": "user", "content": [texts[1]]}},
            said(0, metadata=texts[2]),
        ]
        for body in refused:
            answer = await post(http, body)
            assert answer.status_code == 400
            assert not any(piece in answer.content for text in texts for piece in pieces(text))
    await gateway.publisher.publish("chat.message_sent", {**SAID, "content": texts[10]})
    gateway.publisher.emit("chat.message_sent", {**SAID, "content": texts[11]})
    gateway.publisher.emit(texts[0], {})
    gateway.publisher.emit("chat.message_sent", {**SAID, "content": {texts[1]: texts[2]}})
    commit(workspace, f"Add {texts[0]}", f"{texts[0]}.txt")
    return 9


async def test_planted_secrets_are_in_no_frame_page_file_log_metric_or_error(
    start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = forms(7)
    texts = [form.text for form in found]
    workspace = create(tmp_path / "workspace")
    commit(workspace, "empty")
    gateway = await start(workspace=workspace)
    seen = b""

    def log() -> bytes:
        nonlocal logged
        logged += "".join(capfd.readouterr()).encode()
        return logged

    logged = b""
    await until(lambda: b"files_watched" in log())
    async with gateway.connect() as client:
        await receive(client)
        stream = await listen(gateway)
        published = await publish_every_way(gateway, texts, workspace)
        kinds = {form.kind for form in found}
        for form in found:  # and every form once
            await gateway.publisher.publish("chat.message_sent", {**SAID, "content": form.text})
        await until(lambda: gateway.bus.head >= published + len(found) + 2, 8)  # file and commit
        last = gateway.bus.head
        for read in (client.recv, stream.block):
            async with asyncio.timeout(WATCHDOG_S):
                while f'"sequence_number":{last},' not in (text := encoded(await read())):
                    seen += text.encode()
    async with gateway.http() as http:
        for path in (f"/api/events?limit={last}", "/metrics", "/api/health", "/api/sessions"):
            seen += (await http.get(path)).content
    await gateway.stop()
    seen += log()
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            seen += file.read_bytes()
    for form in found:
        for piece in pieces(form.secret):
            assert piece not in seen, form
    assert kinds == {kind for kind in kinds if f"[redacted:{kind}".encode() in seen}
    assert b"git.commit_created" in seen
    assert b"emit_failed" in seen


@pytest.mark.slow
async def test_no_beginning_of_a_secret_stays_where_a_text_of_a_hook_is_cut(start: Start) -> None:
    gateway = await start()
    for form in forms(8)[:5]:
        hook = {"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Bash"}
        # The summary is cut after 200 characters, and a text after 4,000.
        command = f"{'x' * 180} {form.text} {'x' * 3785} {form.text}"
        async with gateway.http() as http:
            body = {**hook, "tool_input": {"command": command}}
            await http.post("/api/hooks/claude-code", json=body)
            seen = (await http.get("/api/events")).content
        assert seen.count(b"[redacted:token]") >= 2
        assert form.secret[:10].encode() not in seen


async def test_an_empty_setting_ends_redaction_and_a_kind_narrows_it(
    start: Start, tmp_path: Path
) -> None:
    token, env = forms(1)[0], next(form for form in forms(1) if form.kind == "env")
    for redact, expected in (
        ((), [token.text, env.text]),
        (("token",), [token.redacted, env.text]),
        (("key:content",), ["[redacted:key]"] * 2),
    ):
        gateway = await start(redact=redact, state_dir=tmp_path / f"state{len(redact)}{redact[:1]}")
        for text in (token.text, env.text):
            await gateway.publish(content=text)
        async with gateway.http() as http:
            page = (await http.get("/api/events")).json()
        assert [event["data"]["content"] for event in page["events"]] == expected
        await gateway.stop()
