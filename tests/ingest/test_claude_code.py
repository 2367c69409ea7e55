"""Each hook of Claude Code, as recorded, becomes the event that says the same."""

from collections import Counter
from typing import Any

import pytest

from app.ingest import claude_code
from app.ingest.hooks import AgentEvent
from tests.recordings import HOOK_FILES, events_of, hooks_of

CLAUDE_FILES = [name for name in HOOK_FILES if not name.startswith("codex")]
TYPES = {
    "SessionStart": "agent.session_started",
    "SessionEnd": "agent.session_finished",
    "UserPromptSubmit": "agent.turn_started",
    "PreToolUse": "agent.tool_called",
    "PostToolUse": "agent.tool_finished",
    "PostToolUseFailure": "agent.tool_finished",
    "PostToolBatch": "agent.batch_finished",
    "PermissionRequest": "agent.attention_needed",
    "Notification": "agent.attention_needed",
    "SubagentStart": "agent.turn_started",
    "SubagentStop": "agent.turn_finished",
    "Stop": "agent.turn_finished",
    "StopFailure": "agent.error",
    "MessageDisplay": "agent.message",
}


def of_type(name: str, type_: str) -> list[Any]:
    return [event for event in events_of(name) if event.type == type_]


@pytest.mark.parametrize("name", CLAUDE_FILES)
def test_each_recorded_hook_is_one_event_of_its_session(name: str) -> None:
    for _, body in hooks_of(name):
        (event,) = claude_code.read(body)
        summariser = body["hook_event_name"] == "SubagentStop" and body["agent_type"] == ""
        expected = TYPES.get(str(body["hook_event_name"]), "agent.reported")
        assert event.type == ("agent.reported" if summariser else expected)
        assert event.data["session_id"] == body["session_id"]
        assert event.metadata == {
            "source": "claude-code",
            "agent": "Claude Code",
            "hook": body["hook_event_name"],
        }


@pytest.mark.parametrize("name", CLAUDE_FILES)
def test_no_field_of_a_recorded_hook_is_lost(name: str) -> None:
    for _, body in hooks_of(name):
        (event,) = claude_code.read(body)
        kept = Counter(_leaves(event.data))
        # Said otherwise: the calls of a batch, tasks, long texts, and the name of the hook.
        said = {"tool_calls", "background_tasks", "hook_event_name", "last_assistant_message"}
        for field, value in body.items():
            if field not in said:
                missing = Counter(_leaves(value)) - kept
                assert not [leaf for leaf in missing if leaf not in kept], field


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for entry in value.values() for leaf in _leaves(entry)]
    if isinstance(value, list):
        return [leaf for entry in value for leaf in _leaves(entry)]
    return [repr(value)] if value not in ("", None) else []


def test_a_failed_call_ends_with_its_error() -> None:
    failed = of_type("tool_fails", "agent.tool_finished")[0].data
    assert (failed["outcome"], failed["success"], failed["duration_ms"]) == ("failed", False, 61)
    assert failed["error"].startswith("Exit code 1\n")
    assert failed["summary"] == "python3 test_prices.py"


def test_a_sub_agent_is_named_by_the_call_that_began_it() -> None:
    (call,) = of_type("subagent_background", "agent.tool_called")[:1]
    (began,) = [
        e for e in of_type("subagent_background", "agent.tool_finished") if "child_id" in e.data
    ]
    assert call.data["spawns_agent"] is True
    assert began.data["child_id"] == "a516ca931f3599d66"
    assert "agent_id" not in began.data


def test_a_batch_names_all_its_calls_and_which_were_refused() -> None:
    refused = of_type("tool_fails", "agent.batch_finished")[-1].data
    (call,) = refused["calls"]
    assert (call["tool_name"], call["refused"]) == ("Edit", True)
    assert "details" not in refused or "tool_calls" not in refused["details"]


def test_the_end_of_work_in_the_background_is_no_prompt_of_a_person() -> None:
    prompts = of_type("subagent_background", "agent.turn_started")
    last = prompts[-1].data
    assert (last["reason"], last["background_id"]) == ("background_finished", "a516ca931f3599d66")
    assert "reason" not in prompts[0].data


def test_a_stop_says_what_still_runs() -> None:
    (task,) = of_type("background_bash", "agent.turn_finished")[0].data["background"]
    assert (task["id"], task["type"]) == ("bnq3ihq1f", "shell")


def test_what_a_person_is_asked_has_its_kind() -> None:
    reasons = {
        name: [event.data["reason"] for event in of_type(name, "agent.attention_needed")]
        for name in ("permission_prompt", "ask_user_question", "plan_mode", "notification_idle")
    }
    assert reasons == {
        "permission_prompt": ["permission", "permission", "permission"],
        "ask_user_question": ["question", "permission", "question"],
        "plan_mode": ["plan", "permission"],
        "notification_idle": ["idle"],
    }


def test_a_denial_by_auto_mode_ends_its_call() -> None:
    body = {
        "session_id": "s",
        "hook_event_name": "PermissionDenied",
        "tool_name": "Bash",
        "tool_use_id": "t",
        "reason": "not now",
    }
    (event,) = claude_code.read(body)
    assert event.type == "agent.tool_finished"
    assert (event.data["outcome"], event.data["error"]) == ("denied", "not now")


def test_an_interrupted_call_is_interrupted() -> None:
    ends: list[AgentEvent] = []
    base = {"session_id": "s", "tool_name": "Bash", "tool_use_id": "t"}
    ends += claude_code.read(
        {**base, "hook_event_name": "PostToolUseFailure", "is_interrupt": True}
    )
    response = {"stdout": "", "interrupted": True}
    ends += claude_code.read({**base, "hook_event_name": "PostToolUse", "tool_response": response})
    assert [event.data["outcome"] for event in ends] == ["interrupted", "interrupted"]
