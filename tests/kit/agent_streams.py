"""Streams of agents' events that nobody would send, for property tests."""

from typing import Any

from hypothesis import strategies as st

from tests.session_vectors import Step, timestamp

TYPES = (
    *("session_started", "turn_started", "turn_finished", "tool_called", "tool_finished"),
    *("batch_finished", "attention_needed", "error", "message", "session_finished"),
    *("reported", "usage_reported", "dreamt"),
)
FEW = st.sampled_from(["a", "b", ""])
ODD = st.none() | st.booleans() | st.integers() | st.lists(FEW, max_size=1) | st.text(max_size=3)
CALL = st.fixed_dictionaries(
    {},
    optional={"tool_use_id": FEW | ODD, "tool_name": FEW, "refused": st.booleans(), "result": FEW},
)
FIELDS = {
    "session_id": FEW | ODD,
    "agent_id": FEW | ODD,
    "parent_id": FEW | ODD,
    "tool_use_id": st.sampled_from(["t", "u", "v"]) | ODD,
    "tool_name": FEW | ODD,
    "child_id": FEW | ODD,
    "spawns_agent": st.booleans() | ODD,
    "summary": FEW,
    "outcome": st.sampled_from(["ok", "failed", "denied", "interrupted", "odd"]) | ODD,
    "success": st.booleans() | ODD,
    "reason": st.sampled_from(["resume", "startup", "permission", "idle", "plan"]) | ODD,
    "calls": st.lists(CALL | ODD, max_size=2) | ODD,
    "background": st.lists(st.fixed_dictionaries({"id": FEW}) | ODD, max_size=2) | ODD,
    "request_id": FEW | ODD,
    "input_tokens": st.integers(0, 9) | ODD,
    "duration_ms": st.integers(0, 9) | ODD,
    "span_id": FEW | ODD,
    "parent_span_id": FEW | ODD,
    "spans": st.dictionaries(FEW, FEW | ODD, max_size=2) | ODD,
}
METADATA = st.fixed_dictionaries({}, optional={"otlp": st.sampled_from(["logs", "traces"]) | ODD})
EVENT = st.tuples(st.sampled_from(TYPES), st.fixed_dictionaries({}, optional=FIELDS), METADATA)
STREAM = st.lists(EVENT | st.booleans(), max_size=25)


def numbered(stream: list[Any]) -> list[Step]:
    """Steps of a stream in which a boolean is a loss, and begins another epoch where it is true."""
    return [
        (
            {"epoch_changed": one}
            if isinstance(one, bool)
            else {
                "type": f"agent.{one[0]}",
                "timestamp": timestamp(index),
                "sequence_number": index + 1,
                "data": one[1],
                "metadata": one[2],
            }
        )
        for index, one in enumerate(stream)
    ]
