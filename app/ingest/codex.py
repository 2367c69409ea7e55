"""The hooks of the Codex CLI as events of the catalog, and its settings. Pure, and without a memory.

Recorded from version 0.171.0. Codex says of no call whether it failed, and of no sub-agent who
began it; it does say when a turn was interrupted.
"""

from .hook_settings import Gateway, Place, command_hook
from .hooks import AgentEvent, Fields, Hook, HookReader, one_line, read_hook, reported, tool_fields

SOURCE = "codex"
AGENT = "Codex"
_SPAWNING = "spawn_agent"  # `collaborationspawn_agent`: the name ends in it


PLACE = Place("CODEX_HOME", ".codex", user="hooks.json", project="hooks.json")


def hooks(gateway: Gateway) -> dict[str, Fields]:
    """By the name of each event, the hook that posts it: Codex has commands alone."""
    return {name: command_hook(gateway, timeout=2) for name in _READINGS}


def read(hook: Hook) -> list[AgentEvent]:
    """The events of one hook's body. Never raises; what is unknown is kept."""
    return read_hook(hook, _READINGS, SOURCE, AGENT)


def _session_started(hook: HookReader) -> tuple[str, Fields]:
    return "agent.session_started", {"reason": hook.text("source")}


def _session_finished(hook: HookReader) -> tuple[str, Fields]:
    return "agent.session_finished", {"reason": hook.text("reason")}


def _prompt(hook: HookReader) -> tuple[str, Fields]:
    return "agent.turn_started", {"turn_id": hook.text("turn_id"), "prompt": hook.text("prompt")}


def _tool_called(hook: HookReader) -> tuple[str, Fields]:
    return "agent.tool_called", _call(hook)


def _call(hook: HookReader) -> Fields:
    fields = {**tool_fields(hook), "turn_id": hook.text("turn_id")}
    if str(fields["tool_name"]).endswith(_SPAWNING):
        fields["spawns_agent"] = True
    return fields


def _tool_finished(hook: HookReader) -> tuple[str, Fields]:
    return "agent.tool_finished", {
        **_call(hook),
        "outcome": "ok",
        "success": True,
        "reason": "Codex reports that the call ended, not whether it failed",
    }


def _tool_failed(hook: HookReader) -> tuple[str, Fields]:
    fields = {**_call(hook), "outcome": "failed", "success": False}
    return "agent.tool_finished", {**fields, "error": hook.text("error")}


def _permission(hook: HookReader) -> tuple[str, Fields]:
    fields = {**_call(hook), "spawns_agent": None, "reason": "permission"}
    question = (hook.mapping("tool_input") or {}).get("description")
    return "agent.attention_needed", {
        **fields,
        "message": one_line(question) if isinstance(question, str) else None,
    }


def _agent_started(hook: HookReader) -> tuple[str, Fields]:
    if not hook.names_agent:
        return reported(hook)
    return "agent.turn_started", {"turn_id": hook.text("turn_id")}


def _agent_stopped(hook: HookReader) -> tuple[str, Fields]:
    return _turn_finished(hook) if hook.names_agent else reported(hook)


def _turn_finished(hook: HookReader) -> tuple[str, Fields]:
    message = hook.text("last_assistant_message")
    return "agent.turn_finished", {
        "turn_id": hook.text("turn_id"),
        "summary": one_line(message) if message else None,
    }


def _interrupted(hook: HookReader) -> tuple[str, Fields]:
    return "agent.turn_finished", {"turn_id": hook.text("turn_id"), "outcome": "interrupted"}


_READINGS = {
    "SessionStart": _session_started,
    "SessionEnd": _session_finished,
    "UserPromptSubmit": _prompt,
    "PreToolUse": _tool_called,
    "PostToolUse": _tool_finished,
    "PostToolUseFailure": _tool_failed,
    "PermissionRequest": _permission,
    "SubagentStart": _agent_started,
    "SubagentStop": _agent_stopped,
    "Stop": _turn_finished,
    "Interrupt": _interrupted,
}
