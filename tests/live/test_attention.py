"""One `agent.attention_needed` for each thing that needs a person, from a real gateway."""

import asyncio
from typing import Any

import pytest

from app.attention.watcher import AttentionWatcher
from app.errors import UnavailableError
from app.journal.mark import take_mark
from app.plugin import plugin_of
from tests.kit.gateway import Gateway, Start
from tests.kit.tokens import add_token
from tests.kit.waiting import until
from tests.recordings import hooks_of
from tests.support import FakeClock

Event = dict[str, Any]
OF = {"session_id": "s-1"}
WORKING = (("agent.turn_started", OF), ("agent.tool_called", {**OF, "tool_name": "Bash"}))
ERROR = ("agent.error", {**OF, "error": "rate_limit", "message": "The model is busy."})


async def stream(gateway: Gateway, types: str = "agent.attention_needed") -> list[Event]:
    async with gateway.http() as http:
        page = await http.get("/api/events", params={"limit": 1000, "types": types})
    return list(page.json()["events"])


async def reasons(gateway: Gateway) -> list[str]:
    return [event["data"]["reason"] for event in await stream(gateway)]


async def settled(gateway: Gateway) -> None:
    """Every event of the stream has reached the watcher, and what follows from it is published."""
    watcher = plugin_of(gateway.app).gateway.outbound.attention
    await until(lambda: watcher.idle)


async def post_hooks(gateway: Gateway, name: str) -> None:
    async with gateway.http() as http:
        for _, body in hooks_of(name):
            assert (await http.post("/api/hooks/claude-code", json=body)).status_code == 204


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("permission_prompt", ["permission", "permission"]),
        ("ask_user_question", ["question", "question"]),
        ("plan_mode", ["plan"]),
        ("notification_idle", ["idle"]),
        ("api_error_401", ["failed"]),
    ],
)
async def test_each_thing_that_a_recorded_agent_needs_is_one_event(
    gateway: Gateway, name: str, expected: list[str]
) -> None:
    await post_hooks(gateway, name)
    await settled(gateway)
    assert await reasons(gateway) == expected
    hooks = [event["metadata"]["hook"] for event in await stream(gateway, "agent.reported")]
    notified = sum(body["hook_event_name"] == "Notification" for _, body in hooks_of(name))
    announced = expected.count("idle")
    assert hooks.count("Notification") == notified - announced  # it is kept, under another type


async def test_a_failure_is_raised_once_with_its_cause_and_again_after_the_next_turn(
    gateway: Gateway,
) -> None:
    about = {"agent": "Ada", "source": "mine"}
    failed = await gateway.publisher.publish(*ERROR, about)
    await settled(gateway)
    await gateway.publisher.publish(*ERROR, about)
    await settled(gateway)
    (event,) = await stream(gateway)
    assert event["data"] == {**OF, "reason": "failed", "message": "The model is busy."}
    cause = f"{gateway.bus.epoch}:{failed.sequence_number}"
    assert event["metadata"] == {**about, "cause": cause}
    await gateway.publisher.publish("agent.turn_started", OF)
    await gateway.publisher.publish(*ERROR)
    await settled(gateway)
    assert await reasons(gateway) == ["failed", "failed"]


async def test_an_alarm_is_signed_with_the_publisher_of_its_cause(start: Start) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    for name, type_ in (("fails", "agent.error"), ("begins", "agent.turn_started")):
        secret = await asyncio.to_thread(
            add_token, gateway.settings.state_dir, name, "publish", publish=(type_,)
        )
        await gateway.app.state.keyring.token_store.refresh()
        event = {"type": type_, "data": {"session_id": name}}
        if type_ == "agent.error":
            event["data"] |= {"error": "e", "message": "text of the token"}
        async with gateway.http(headers={"Authorization": f"Bearer {secret}"}) as http:
            assert (await http.post("/api/events", json=event)).status_code == 201
        await settled(gateway)
    head = gateway.bus.head
    clock.advance(600)
    await until(lambda: gateway.bus.head == head + 1)
    alarms = [(event["data"]["reason"], event["metadata"]) for event in await stream(gateway)]
    assert [(reason, about.get("publisher")) for reason, about in alarms] == [
        ("failed", "fails"),
        ("silent", "begins"),
    ]


async def test_the_cause_of_an_alarm_keeps_the_epoch_that_its_number_is_of(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start()
    with monkeypatch.context() as patched:
        patched.setattr(AttentionWatcher, "_publish_due", never)  # it stops before the alarm
        failed = await gateway.publisher.publish(*ERROR, durable=True)
        await settled(gateway)
        epoch = gateway.bus.epoch
        await gateway.stop()
    assert gateway.journal is not None
    assert take_mark(gateway.journal.path) is not None  # as if it had been killed
    again = await start(state_dir=gateway.settings.state_dir)
    await settled(again)
    assert again.bus.epoch != epoch
    (alarm,) = await stream(again)
    assert alarm["metadata"]["cause"] == f"{epoch}:{failed.sequence_number}"


async def never(watcher: AttentionWatcher) -> bool:
    return False


async def test_silence_is_raised_by_the_clock_and_ended_by_the_next_activity(start: Start) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    for event in WORKING:
        await gateway.publisher.publish(*event)
    await settled(gateway)
    clock.advance(599.9)
    await settled(gateway)
    assert await reasons(gateway) == []
    clock.advance(0.1)
    await until(lambda: gateway.bus.head == 3)
    clock.advance(5000)
    await settled(gateway)
    await gateway.publisher.publish("agent.message", {**OF, "content": "on it"})
    await settled(gateway)
    clock.advance(600)
    await until(lambda: gateway.bus.head == 5)
    assert await reasons(gateway) == ["silent", "silent"]


async def test_a_restart_says_nothing_twice_and_what_was_not_said(start: Start) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    await gateway.publisher.publish(*ERROR)
    await gateway.publisher.publish("agent.turn_started", {"session_id": "s-2"})
    await settled(gateway)
    await gateway.stop()
    clock.advance(400)
    again = await start(clock=clock, state_dir=gateway.settings.state_dir)
    assert again.bus.head == 3
    await settled(again)
    assert await reasons(again) == ["failed"]
    clock.advance(200)  # 600 s after the last event of s-2, which was before the restart
    await until(lambda: again.bus.head == 4)
    assert await reasons(again) == ["failed", "silent"]
    await again.stop()
    clock.advance(1000)
    third = await start(clock=clock, state_dir=gateway.settings.state_dir)
    await settled(third)
    assert await reasons(third) == ["failed", "silent"]


async def test_an_alarm_that_cannot_be_published_is_tried_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    publish, refusals = gateway.publisher.publish, []

    async def refuse(type_: str, *contents: Any, **options: Any) -> Any:
        if type_ == "agent.attention_needed" and len(refusals) < 2:
            refusals.append(type_)
            raise UnavailableError("NATS is away")
        return await publish(type_, *contents, **options)

    monkeypatch.setattr(gateway.publisher, "publish", refuse)
    await publish(*ERROR)
    await until(lambda: len(refusals) == 1)
    await asyncio.sleep(0)
    assert gateway.bus.head == 1
    clock.advance(5)
    await until(lambda: len(refusals) == 2)
    await asyncio.sleep(0)
    clock.advance(5)
    await until(lambda: gateway.bus.head == 2)
    assert await reasons(gateway) == ["failed"]


async def test_the_watcher_is_no_client_and_no_event_of_others_reaches_it(gateway: Gateway) -> None:
    await gateway.publish(3)
    assert (gateway.bus.subscriptions, gateway.bus.queued) == (0, 0)
    assert gateway.bus.counters.delivered == 0
    route = gateway.bus.groups.routes["chat.message_sent"]
    assert route.groups == ()  # publishing costs what it cost without a watcher
    await gateway.publisher.publish(*ERROR)
    await settled(gateway)
    assert (gateway.bus.subscriptions, gateway.bus.counters.delivered) == (0, 0)
