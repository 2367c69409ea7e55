"""Whatever arrives, in whatever order, twice or not at all: the sessions say nothing that is not known."""

import copy
from typing import Any

from hypothesis import given, strategies as st

from tests.recordings import HOOK_FILES
from tests.session_vectors import START, Step, reduced, steps_of, timestamp

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
NAMES = st.sampled_from(HOOK_FILES)


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
