"""How each recorded session ends, and steps of a session of one's own."""

from collections import Counter
from typing import Any

from tests.session_vectors import Step, timestamp

# State of the session; calls by state; sub-agents as (type, outcome, how the parent is known).
ROWS: dict[str, tuple[str, dict[str, int], list[tuple[str, str, str]]]] = {
    "api_error_401": ("failed", {}, []),
    "ask_user_question": ("finished", {"ok": 1, "interrupted": 1}, []),
    "background_bash": ("finished", {"ok": 1}, []),
    "codex_interrupted": ("finished", {"interrupted": 1}, []),
    "codex_otlp_logs_json": ("finished", {"ok": 2}, []),
    "codex_otlp_logs_protobuf": ("finished", {"ok": 2}, []),
    "codex_permission": ("finished", {"ok": 1, "interrupted": 1}, []),
    "codex_simple": ("finished", {"ok": 1}, []),
    "codex_subagent": ("finished", {"ok": 3}, [("default", "ok", "guessed")]),
    "compact_auto": ("finished", {"ok": 1}, []),
    "compact_auto_without_compaction": ("finished", {"ok": 1}, []),
    "compact_manual": ("finished", {"ok": 1}, []),
    "exit_with_background_agent": (
        "finished",
        {"ok": 1, "interrupted": 1},
        [("general-purpose", "interrupted", "reported")],
    ),
    "files": ("finished", {"ok": 6}, []),
    "hook_denied": ("finished", {"denied": 1}, []),
    "interrupt_esc": ("finished", {"interrupted": 1}, []),
    "interrupted_sigint": ("finished", {"interrupted": 1}, []),
    "interrupted_sigint_subagent": (
        "finished",
        {"interrupted": 2},
        [("general-purpose", "interrupted", "guessed")],
    ),
    "interrupted_sigkill": ("working", {"running": 1}, []),
    "interrupted_sigterm": ("finished", {"interrupted": 1}, []),
    "mcp": ("finished", {"ok": 2, "failed": 1}, []),
    "misc_interactive": ("finished", {}, []),
    "nested_background": ("finished", {"ok": 4}, [("general-purpose", "ok", "reported")] * 2),
    "nested_interactive": ("finished", {"ok": 4}, [("general-purpose", "ok", "reported")] * 2),
    "nested_two": ("finished", {"ok": 4}, [("general-purpose", "ok", "reported")] * 2),
    "notification_idle": ("finished", {}, []),
    "otlp_logs_json": ("finished", {"ok": 1, "failed": 1}, []),
    "otlp_traces_nested": (
        "finished",
        {"ok": 3, "failed": 1},
        [("general-purpose", "ok", "reported")] * 2,
    ),
    "permission_denied": ("finished", {"denied": 1}, []),
    "permission_prompt": ("finished", {"ok": 1, "denied": 1}, []),
    "permission_rule_denied": ("finished", {"denied": 1}, []),
    "plan_mode": ("finished", {"ok": 2}, []),
    "prompt_stop": ("finished", {}, []),
    "resume": ("finished", {}, []),
    "sdk_interrupt": ("finished", {"interrupted": 1}, []),
    "sdk_permission": ("finished", {"ok": 1, "denied": 1}, []),
    "sessionstart_command": ("finished", {}, []),
    "sessionstart_http": ("finished", {}, []),
    "setup_init": ("finished", {}, []),
    "simple": ("finished", {"ok": 1}, []),
    "slash_command": ("finished", {"ok": 1}, []),
    "subagent_background": ("finished", {"ok": 4}, [("general-purpose", "ok", "reported")]),
    "subagent_foreground": ("finished", {"ok": 3}, [("general-purpose", "ok", "reported")]),
    "subagent_permission": (
        "finished",
        {"ok": 1, "denied": 1, "failed": 1},
        [("general-purpose", "ok", "reported")],
    ),
    "subagent_types": (
        "finished",
        {"ok": 4},
        [("reviewer", "ok", "reported"), ("Explore", "ok", "reported")],
    ),
    "tasks": ("finished", {"ok": 6}, []),
    "todowrite": ("finished", {"ok": 2}, []),
    "tool_fails": ("finished", {"failed": 3}, []),
    "tool_timeout": ("finished", {"ok": 1}, []),
    "two_sessions": ("finished", {"ok": 3, "failed": 1}, []),
    "worktree": ("finished", {"ok": 3}, []),
}


def counts(sessions: Any) -> Counter[str]:
    return sum((Counter(a["counts"]) for s in sessions for a in s["agents"]), Counter())


def step(number: int, type_: str, **data: object) -> Step:
    return {
        "type": f"agent.{type_}",
        "timestamp": timestamp(number),
        "sequence_number": number,
        "data": {"session_id": "s", **data},
        "metadata": {},
    }
