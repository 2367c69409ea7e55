"""Whatever arrives, in whatever order, twice or not at all: the sessions say nothing that is not known."""

import copy
from typing import Any

from hypothesis import given, strategies as st

from tests.kit.agent_streams import EVENT, ODD, STREAM, numbered
from tests.recordings import HOOK_FILES
from tests.session_vectors import START, Step, reduced, steps_of, timestamp

NAMES = st.sampled_from(HOOK_FILES)


def calls_of(sessions: Any) -> dict[tuple[str, str], str]:
    return {
        (session["session_id"], call["tool_use_id"]): call["state"]
        for session in sessions
        for agent in session["agents"]
        for call in agent["calls"]
    }


@given(STREAM)
def test_any_stream_can_be_read_and_every_state_is_one_of_the_known(stream: list[Any]) -> None:
    for session in reduced(numbered(stream), START + 5000):
        states = {"working", "waiting", "idle", "failed", "finished", "silent"}
        assert {session["state"], *(agent["state"] for agent in session["agents"])} <= states
        for agent in session["agents"]:
            known = {"running", "ok", "failed", "denied", "interrupted", "unknown"}
            assert set(agent["counts"]) <= known
            assert all(call["why"] for call in agent["calls"])
        if session["ended"] is not None:
            assert "running" not in calls_of([session]).values()
            assert session["state"] in ("finished", "failed")


@given(STREAM, st.data())
def test_events_that_come_again_change_nothing(stream: list[Any], data: st.DataObject) -> None:
    steps = [step for step in numbered(stream) if not step.get("epoch_changed")]
    again: list[Step] = []
    for index, step in enumerate(steps):
        again.append(step)
        back = data.draw(st.integers(0, 3))
        again += [old for old in steps[max(0, index - back) : index + 1] if "type" in old]
    assert reduced(again, START + 60) == reduced(steps, START + 60)


@given(NAMES, st.dictionaries(st.text(min_size=9, max_size=12), ODD, min_size=1, max_size=3))
def test_fields_that_nobody_knows_change_nothing(name: str, more: dict[str, object]) -> None:
    steps = steps_of(name)
    grown = copy.deepcopy(steps)
    for step in grown:
        step["data"] = {**{f"x_{key}": value for key, value in more.items()}, **step["data"]}
        step["metadata"] = {**step["metadata"], **{f"x_{key}": 1 for key in more}}
    assert reduced(grown, START + 60) == reduced(steps, START + 60)


@given(NAMES, st.data())
def test_the_two_reports_of_a_call_may_come_in_either_order(name: str, data: st.DataObject) -> None:
    """Agents send them over connections of their own, so either may overtake the other."""
    steps = steps_of(name)
    pairs = [
        index
        for index in range(len(steps) - 1)
        if "tool_use_id" in steps[index]["data"]
        and steps[index]["data"]["tool_use_id"] == steps[index + 1]["data"].get("tool_use_id")
    ]
    for index in pairs:
        if data.draw(st.booleans()):
            first, second = steps[index], steps[index + 1]
            steps[index : index + 2] = [
                {**second, "sequence_number": first["sequence_number"]},
                {**first, "sequence_number": second["sequence_number"]},
            ]
    assert calls_of(reduced(steps, START + 60)) == calls_of(reduced(steps_of(name), START + 60))


@given(NAMES, st.data())
def test_a_loss_makes_no_call_end_otherwise_than_it_did_or_unknown(
    name: str, data: st.DataObject
) -> None:
    steps = steps_of(name)
    begin = data.draw(st.integers(0, len(steps)))
    end = data.draw(st.integers(begin, len(steps)))
    lossy = [*steps[:begin], {"epoch_changed": False}, *steps[end:]]
    full = calls_of(reduced(steps, START + 60))
    for call, state in calls_of(reduced(lossy, START + 60)).items():
        assert state in (full[call], "unknown", "running"), call


@given(NAMES, st.data())
def test_reading_in_between_changes_nothing_and_a_reported_outcome_stands(
    name: str, data: st.DataObject
) -> None:
    steps = steps_of(name)
    more = data.draw(st.lists(EVENT, max_size=5))
    session_id = steps[-1]["data"]["session_id"]
    kinds = ("turn_started", "turn_finished", "session_finished", "session_started", "error")
    for number, (type_, *_) in enumerate(one for one in more if one[0] in kinds):
        steps.append(
            {
                "type": f"agent.{type_}",
                "timestamp": timestamp(100 + number),
                "sequence_number": 1000 + number,
                "data": {"session_id": session_id},
                "metadata": {},
            }
        )
    reported = {
        (step["data"]["session_id"], step["data"]["tool_use_id"]): step["data"]["outcome"]
        for step in steps
        if step["type"] == "agent.tool_finished"
    }
    found = calls_of(reduced(steps, START + 200))
    assert {call: found[call] for call in reported} == reported
