"""The hooks of Claude Code as events of the catalog, and its settings. Pure, and without a memory.

Recorded from version 2.1.332. Which calls never end, which sub-agent belongs to which call, and what
a missing end means, is for a reader of all events to decide: see `sightline_client.sessions`.
"""

import re

from .hook_settings import Gateway, Place, command_hook
from .hooks import AgentEvent, Fields, Hook, HookReader, one_line, read_hook, reported, tool_fields

SOURCE = "claude-code"
AGENT = "Claude Code"
SPAWNING_TOOLS = ("Agent", "Task")  # `Task` in versions before 2.1
_REFUSED = "<tool_use_error>"  # the result of a call that never ran
_NOTIFICATION = "<task-notification>"
_TASK = re.compile(r"<task-id>([^<]{1,200})</task-id>")
_ASKED_FOR = {"AskUserQuestion": "question", "ExitPlanMode": "plan"}  # else a permission


PLACE = Place("CLAUDE_CONFIG_DIR", ".claude", user="settings.json", project="settings.local.json")
_ANSWER_S = (
    1  # unset it is 600 s, which the agent would wait at every event of a gateway that hangs
)
_BY_COMMAND = ("SessionStart", "Setup")  # they never fire over HTTP
_BY_HTTP = (
    *("UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch"),
    *("PermissionRequest", "PermissionDenied", "Notification", "Elicitation", "ElicitationResult"),
    *("SubagentStart", "SubagentStop", "Stop", "StopFailure", "MessageDisplay", "PreCompact"),
    *("PostCompact", "TaskCreated", "TaskCompleted", "CwdChanged", "PostModelSwitch", "SessionEnd"),
)


def hooks(gateway: Gateway) -> dict[str, Fields]:
    """By the name of each event, the hook that posts it."""
    by_command = command_hook(gateway, timeout=5) | {"async": True}
    by_http: Fields = {
        "type": "http",
        "url": gateway.url,
        "headers": {"Authorization": f"Bearer {gateway.token}"},
        "timeout": _ANSWER_S,
    }
    return {name: by_command for name in _BY_COMMAND} | {name: by_http for name in _BY_HTTP}


def read(hook: Hook) -> list[AgentEvent]:
    """The events of one hook's body. Never raises; what is unknown is kept."""
    return read_hook(hook, _READINGS, SOURCE, AGENT)


def _session_started(hook: HookReader) -> tuple[str, Fields]:
    return "agent.session_started", {"reason": hook.text("source")}


def _session_finished(hook: HookReader) -> tuple[str, Fields]:
    return "agent.session_finished", {"reason": hook.text("reason")}


def _prompt(hook: HookReader) -> tuple[str, Fields]:
    prompt = hook.text("prompt") or ""
    fields: Fields = {"turn_id": hook.text("prompt_id"), "prompt": prompt}
    if prompt.startswith(_NOTIFICATION):  # not from a person: work in the background has ended
        fields["reason"] = "background_finished"
        if task := _TASK.search(prompt):
            fields["background_id"] = task[1]
    return "agent.turn_started", fields


def _tool_called(hook: HookReader) -> tuple[str, Fields]:
    fields = tool_fields(hook)
    if fields["tool_name"] in SPAWNING_TOOLS:
        fields["spawns_agent"] = True
    return "agent.tool_called", fields


def _tool_finished(hook: HookReader) -> tuple[str, Fields]:
    response = hook.look("tool_response")
    fields: Fields = {**tool_fields(hook), "duration_ms": hook.number("duration_ms")}
    stopped = isinstance(response, dict) and response.get("interrupted") is True
    fields |= {"outcome": "interrupted" if stopped else "ok", "success": not stopped}
    if isinstance(response, dict):
        child, task = response.get("agentId"), response.get("backgroundTaskId")
        if fields["tool_name"] in SPAWNING_TOOLS and isinstance(child, str):
            fields |= {"spawns_agent": True, "child_id": child}
        if isinstance(task, str):  # the call is done, and what it began runs on
            fields["background_id"] = task
    return "agent.tool_finished", fields


def _tool_failed(hook: HookReader) -> tuple[str, Fields]:
    outcome = "interrupted" if hook.look("is_interrupt") is True else "failed"
    fields = {**tool_fields(hook), "duration_ms": hook.number("duration_ms")}
    return "agent.tool_finished", {
        **fields,
        "outcome": outcome,
        "success": False,
        "error": hook.text("error"),
    }


def _tool_denied(hook: HookReader) -> tuple[str, Fields]:
    fields = {**tool_fields(hook), "outcome": "denied", "success": False}
    return "agent.tool_finished", {**fields, "error": hook.text("reason")}


def _batch(hook: HookReader) -> tuple[str, Fields]:
    """All calls of one message have ended, also those that no other hook ends: the denied ones."""
    calls = hook.look("tool_calls")
    read = (
        [_of_batch(call) for call in calls if isinstance(call, dict)]
        if isinstance(calls, list)
        else []
    )
    if read:
        hook.drop("tool_calls")
    return "agent.batch_finished", {"calls": read}


def _of_batch(call: Hook) -> Fields:
    reader = HookReader(call)
    fields = tool_fields(reader)
    result = call.get("tool_response")
    text = result if isinstance(result, str) else ""
    called: Fields = {
        "tool_name": fields["tool_name"],
        "tool_use_id": fields["tool_use_id"],
        "summary": fields["summary"],
        "result": one_line(text) or None,
        "refused": True if text.startswith(_REFUSED) else None,
    }
    return {key: value for key, value in called.items() if value is not None}


def _permission(hook: HookReader) -> tuple[str, Fields]:
    fields = tool_fields(hook)
    reason = _ASKED_FOR.get(str(fields["tool_name"]), "permission")
    return "agent.attention_needed", {**fields, "reason": reason}


def _notification(hook: HookReader) -> tuple[str, Fields]:
    reasons = {
        "permission_prompt": "permission",
        "elicitation_dialog": "question",
        "idle_prompt": "idle",
    }
    reason = reasons.get(str(hook.look("notification_type")))
    if reason is None:
        return reported(hook)
    return "agent.attention_needed", {"reason": reason, "message": hook.text("message")}


def _elicitation(hook: HookReader) -> tuple[str, Fields]:
    return "agent.attention_needed", {"reason": "question", "message": hook.text("message")}


def _agent_started(hook: HookReader) -> tuple[str, Fields]:
    return ("agent.turn_started", {}) if hook.names_agent else reported(hook)


def _agent_stopped(hook: HookReader) -> tuple[str, Fields]:
    if not hook.names_agent or hook.look("agent_type") == "":
        # The summariser of a compaction: it is no sub-agent, and no start was reported.
        return reported(hook)
    return "agent.turn_finished", {"summary": _last_message(hook)}


def _stopped(hook: HookReader) -> tuple[str, Fields]:
    return "agent.turn_finished", {
        "turn_id": hook.text("prompt_id"),
        "summary": _last_message(hook),
        "background": _background(hook),
    }


def _background(hook: HookReader) -> list[Fields] | None:
    tasks = hook.look("background_tasks")
    if not isinstance(tasks, list):
        return None
    wanted = ("id", "type", "status", "description", "agent_type")
    return [
        {key: one_line(value) for key in wanted if isinstance(value := task.get(key), str)}
        for task in tasks
        if isinstance(task, dict)
    ]


def _last_message(hook: HookReader) -> str | None:
    message = hook.text("last_assistant_message")
    return one_line(message) if message else None


def _turn_failed(hook: HookReader) -> tuple[str, Fields]:
    fields = {"turn_id": hook.text("prompt_id"), "error": hook.text("error")}
    return "agent.error", {**fields, "message": hook.text("last_assistant_message")}


def _message(hook: HookReader) -> tuple[str, Fields]:
    fields = {"content": hook.text("delta") or "", "message_id": hook.text("message_id")}
    return "agent.message", {**fields, "role": "assistant", "turn_id": hook.text("prompt_id")}


def _model_switched(hook: HookReader) -> tuple[str, Fields]:
    return "agent.reported", {"kind": hook.name, "model": hook.text("to_model")}


_READINGS = {
    "SessionStart": _session_started,
    "SessionEnd": _session_finished,
    "UserPromptSubmit": _prompt,
    "PreToolUse": _tool_called,
    "PostToolUse": _tool_finished,
    "PostToolUseFailure": _tool_failed,
    "PostToolBatch": _batch,
    "PermissionRequest": _permission,
    "PermissionDenied": _tool_denied,
    "Notification": _notification,
    "Elicitation": _elicitation,
    "SubagentStart": _agent_started,
    "SubagentStop": _agent_stopped,
    "Stop": _stopped,
    "StopFailure": _turn_failed,
    "MessageDisplay": _message,
    "PostModelSwitch": _model_switched,
}
