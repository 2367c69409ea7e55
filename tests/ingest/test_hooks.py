"""What the hooks of all agents have in common: nothing is refused, and nothing is too large."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from app.ingest import claude_code, codex
from app.ingest.hooks import MAX_DATA_BYTES, AgentEvent, cut
from tests.kit.examples import up_to
from tests.recordings import HOOK_FILES, hooks_of

READERS = {"claude-code": claude_code.read, "codex": codex.read}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({str(body["hook_event_name"]) for name in HOOK_FILES for _, body in hooks_of(name)})
FIELDS = sorted({field for name in HOOK_FILES for _, body in hooks_of(name) for field in body})
ANYTHING = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=8)


def only(events: list[AgentEvent]) -> Any:
    (event,) = events
    return event


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=up_to(100))
@given(st.sampled_from(NAMES), st.booleans(), ANYTHING)
def test_a_hook_of_any_shape_becomes_one_event_that_json_can_hold(
    reader: str, name: str, in_session: bool, body: dict[str, object]
) -> None:
    session = {"session_id": "s"} if in_session else {}
    event = only(READERS[reader]({**body, **session, "hook_event_name": name}))
    assert event.type.startswith("agent.")
    assert len(msgspec.json.encode(event.data)) <= MAX_DATA_BYTES


@pytest.mark.parametrize("reader", READERS)
def test_an_unknown_hook_is_kept_whole(reader: str) -> None:
    body = {"session_id": "s", "hook_event_name": "Dreamt", "of": {"electric": ["sheep"]}}
    event = only(READERS[reader](body))
    assert event.type == "agent.reported"
    assert event.data == {
        "session_id": "s",
        "kind": "Dreamt",
        "details": {"of": {"electric": ["sheep"]}},
    }
    assert event.metadata["hook"] == "Dreamt"


@pytest.mark.parametrize("reader", READERS)
def test_an_unknown_field_is_kept_beside_those_that_are_known(reader: str) -> None:
    body = {"session_id": "s", "hook_event_name": "Stop", "mood": "fine"}
    event = only(READERS[reader](body))
    assert event.type == "agent.turn_finished"
    assert event.data["details"] == {"mood": "fine"}


@pytest.mark.parametrize("reader", READERS)
def test_a_known_field_of_another_kind_counts_as_unknown(reader: str) -> None:
    body = {
        "session_id": "s",
        "hook_event_name": "PreToolUse",
        "tool_name": ["Bash"],
        "tool_input": 3,
    }
    event = only(READERS[reader](body))
    assert event.data["tool_name"] == "unknown"
    assert event.data["details"] == {"tool_name": ["Bash"], "tool_input": 3}


@pytest.mark.parametrize("reader", READERS)
def test_a_hook_without_a_session_changes_no_session(reader: str) -> None:
    assert only(READERS[reader]({"hook_event_name": "SessionEnd"})).type == "agent.reported"


def test_a_hook_of_two_megabytes_is_cut_and_says_where() -> None:
    text = "x" * 400_000
    body = {
        "session_id": "s",
        "hook_event_name": "PostToolUse",
        "tool_name": "Write",
        "tool_use_id": "t",
        "tool_input": {"file_path": "/a", "content": text},
        "tool_response": {
            "content": text,
            "originalFile": text,
            "structuredPatch": [{"lines": [text]}],
        },
        "duration_ms": 9,
    }
    event = only(claude_code.read(body))
    assert len(msgspec.json.encode(event.data)) <= MAX_DATA_BYTES
    assert event.data["truncated"]["tool_input.content"] == 400_000
    assert event.data["tool_input"]["file_path"] == "/a"
    assert (event.data["outcome"], event.data["tool_use_id"]) == ("ok", "t")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("half \ud800 a character", "half ? a character"),
        (float("nan"), None),
        (2**70, str(2**70)),
        ([1] * 201, [1] * 200),
    ],
)
def test_what_json_or_a_reader_cannot_hold_is_replaced(value: object, kept: object) -> None:
    assert cut({"a": value})["a"] == kept


def test_ten_thousand_fields_leave_the_call_recognizable() -> None:
    data = {"session_id": "s", "tool_name": "Bash"} | {
        f"field {i}": "x" * 90 for i in range(10_000)
    }
    small = cut(data)
    assert small == {"session_id": "s", "tool_name": "Bash", "truncated": {"data": 10_002}}
