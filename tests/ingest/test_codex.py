"""Each hook of the Codex CLI, as recorded, becomes the event that says the same."""

import pytest

from app.ingest import codex
from tests.recordings import HOOK_FILES, events_of, hooks_of

CODEX_FILES = [name for name in HOOK_FILES if name.startswith("codex")]


@pytest.mark.parametrize("name", CODEX_FILES)
def test_each_recorded_hook_is_one_event_that_changes_the_state(name: str) -> None:
    for _, body in hooks_of(name):
        (event,) = codex.read(body)
        assert event.type != "agent.reported"
        assert event.metadata["source"] == "codex"


def test_an_interruption_ends_the_turn_as_interrupted() -> None:
    (event,) = [e for e in events_of("codex_interrupted") if e.metadata["hook"] == "Interrupt"]
    assert event.type == "agent.turn_finished"
    assert event.data["outcome"] == "interrupted"


def test_a_finished_call_says_that_its_success_is_not_known() -> None:
    (event,) = [e for e in events_of("codex_simple") if e.type == "agent.tool_finished"]
    assert event.data["outcome"] == "ok"
    assert "not whether it failed" in str(event.data["reason"])


def test_a_question_has_the_words_that_the_person_reads() -> None:
    asked = [e for e in events_of("codex_permission") if e.type == "agent.attention_needed"]
    assert [event.data["message"] for event in asked] == [
        "May I create a stamp?",
        "May I delete the build folder?",
    ]


def test_the_call_that_begins_a_sub_agent_is_marked() -> None:
    called = [e for e in events_of("codex_subagent") if e.type == "agent.tool_called"]
    assert [event.data.get("spawns_agent", False) for event in called] == [True, False, False]
