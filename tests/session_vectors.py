"""Writes `session_vectors.json`: `python -m tests.session_vectors`.

Each vector is a stream of events, a moment, and the sessions as they stand then. Most are recorded
files of real agents, whose events are a second apart; `tests/client/test_sessions.py` says of each
what has to come out. Reducers in every language are held to the vectors.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sightline_client.sessions import Sessions

from app.ingest.hooks import AgentEvent
from tests.kit.alarms import watched
from tests.recordings import HOOK_FILES, OTLP_FILES, events_of, hooks_of, telemetry_of

FILE = Path(__file__).parent / "session_vectors.json"
START = 1767225600  # 2026-01-01T00:00:00Z
UNREAD = ("details", "tool_input")  # fields that no reducer reads
# Where a recorded file is cut, to see how things stand in the middle of it.
CUTS = {
    "permission_prompt": (5, 6, 10),
    "ask_user_question": (5, 10, 13),
    "interrupt_esc": (4, 5),
    "subagent_background": (16,),
    "nested_two": (9, 11),
    "nested_background": (15, 16),
    "exit_with_background_agent": (9,),
    "plan_mode": (8,),
    "api_error_401": (4,),
    "codex_permission": (4, 8),
    "background_bash": (7,),
    "notification_idle": (5,),
}
Step = dict[str, Any]


def steps_of(name: str) -> list[Step]:
    return steps_from(events_of(name))


def steps_from(events: list[AgentEvent]) -> list[Step]:
    return [
        {
            "type": event.type,
            "timestamp": timestamp(index),
            "sequence_number": index + 1,
            "data": {key: value for key, value in event.data.items() if key not in UNREAD},
            "metadata": event.metadata,
        }
        for index, event in enumerate(events)
    ]


def timestamp(second: int) -> str:
    moment = datetime.fromtimestamp(START + second, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reduced(steps: list[Step], now: float) -> list[Any]:
    """The sessions after these steps; a step without a type is a loss."""
    sessions = Sessions()
    for step in steps:
        if "type" in step:
            sessions.apply(
                step["type"],
                step["data"],
                step["timestamp"],
                step["metadata"],
                step["sequence_number"],
            )
        else:
            sessions.lost(step["epoch_changed"])
    views: list[Any] = msgspec.to_builtins(sessions.view(now))
    return views


def streams() -> list[tuple[str, list[Step], float]]:
    """Name, steps and moment of each vector."""
    found = []
    for name in HOOK_FILES:
        steps = steps_of(name)
        found.append((name, steps, float(START + len(steps))))
        for cut in CUTS.get(name, ()):
            found.append((f"{name}, its first {cut}", steps[:cut], float(START + cut)))
    killed = steps_of("interrupted_sigkill")
    found.append(("interrupted_sigkill, an hour later", killed, float(START + 3600)))
    found += alarms(killed)
    denied = steps_of("permission_rule_denied")
    loss = {"epoch_changed": False}
    found.append(
        ("permission_rule_denied, with a loss", [*denied[:3], loss, *denied[3:]], START + 9.0)
    )
    found.append(("tool_fails, from the middle", steps_of("tool_fails")[8:], START + 20.0))
    twice = steps_of("nested_two")
    found.append(("nested_two, each event twice", [s for s in twice for _ in (1, 2)], START + 30.0))
    again = [*steps_of("simple"), {"epoch_changed": True}, *steps_of("tool_fails")]
    found.append(("simple, then another epoch", again, START + 30.0))
    for name in OTLP_FILES:
        steps = steps_of_telemetry(name)
        found.append((f"{name}, without hooks", steps, float(START + len(steps))))
        if hooks_of(name):
            both = steps_from(telemetry_of(name, with_hooks=True))
            found.append((f"{name}, with hooks", both, float(START + len(both))))
    found.append(
        ("python_genai_json, its first 9", steps_of_telemetry("python_genai_json")[:9], START + 9.0)
    )
    return found


def alarms(killed: list[Step]) -> list[tuple[str, list[Step], float]]:
    """Streams with what a gateway adds: a failure, and silence for an hour."""
    failed = watched(steps_of("api_error_401"), START + 30.0)
    silent = watched(killed, START + 3600.0)
    again = {**killed[-1], "timestamp": timestamp(3700), "sequence_number": len(silent) + 1}
    session_id = killed[0]["data"]["session_id"]
    late = [
        {
            "type": "agent.attention_needed",
            "timestamp": timestamp(len(killed) + 1),
            "sequence_number": len(killed) + 1 + index,
            "data": {"session_id": session_id, "reason": reason, "message": "late"},
            "metadata": {},
        }
        for index, reason in enumerate(("failed", "silent"))
    ]
    return [
        ("api_error_401, with its alarm", failed[:-1], START + 40.0),
        ("interrupted_sigkill, with its alarm", silent, START + 3650.0),
        (
            "interrupted_sigkill, with its alarm and one more event",
            [*silent, again],
            START + 3701.0,
        ),
        ("interrupted_sigkill, with alarms that an event overtook", [*killed, *late], START + 60.0),
    ]


def steps_of_telemetry(name: str) -> list[Step]:
    return steps_from(telemetry_of(name, with_hooks=False))


def vectors() -> str:
    """The file's text: a vector a line, so that a change shows in a diff."""
    lines = [
        json.dumps(
            {"name": name, "steps": steps, "now": now, "sessions": reduced(steps, now)},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for name, steps, now in streams()
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(vectors())
