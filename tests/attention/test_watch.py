"""The watcher's state is that of the clients' reducer, and each transition is one alarm."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from sightline_client.sessions import Sessions
from sightline_client.sessions.state import SILENT_AFTER_S as SILENT_OF_CLIENTS

from app.attention.standing import SILENT_AFTER_S
from app.attention.watch import MAX_SESSIONS, Watch
from tests.kit.alarms import Step, encoded, watched
from tests.kit.examples import up_to
from tests.recordings import HOOK_FILES, OTLP_FILES, hooks_of, telemetry_of
from tests.session_vectors import START, steps_from, steps_of, timestamp

NEEDY = ("failed", "silent")


def step(second: int, name: str, session_id: str = "s", **data: Any) -> Step:
    return {
        "type": f"agent.{name}",
        "timestamp": timestamp(second),
        "sequence_number": second + 1,
        "data": {"session_id": session_id, **data},
        "metadata": {"agent": "Ada"},
    }


def take(watch: Watch, *steps: Step) -> Watch:
    for one in steps:
        number = one["sequence_number"]
        watch.take(one["type"], encoded(one), number, START + number - 1)
    return watch


def reasons(watch: Watch, second: float) -> list[tuple[str, str]]:
    return [(alarm.session_id, alarm.reason) for alarm in watch.due(START + second)]


def recorded() -> list[tuple[str, list[Step]]]:
    found = [(name, steps_of(name)) for name in HOOK_FILES]
    for name in OTLP_FILES:
        found.append((f"{name} alone", steps_from(telemetry_of(name, with_hooks=False))))
        if hooks_of(name):
            found.append((f"{name} with hooks", steps_from(telemetry_of(name, with_hooks=True))))
    return found


def differences(steps: list[Step]) -> list[tuple[int, str, str]]:
    """The steps after which the watcher's state of a session is not that of the reducer."""
    watch, sessions, found = Watch(), Sessions(), []
    for one in steps:
        number = one["sequence_number"]
        take(watch, one)
        sessions.apply(one["type"], one["data"], one["timestamp"], one["metadata"], number)
        for view in sessions.view(START + number - 1):
            state = watch.state(view.session_id)
            if state != view.state:
                found.append((number, str(state), view.state))
    return found


def test_the_threshold_of_silence_is_that_of_the_clients() -> None:
    assert SILENT_AFTER_S == SILENT_OF_CLIENTS


@pytest.mark.parametrize(
    ("name", "steps"), recorded(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_after_every_event_of_every_recorded_session_the_state_is_that_of_the_reducer(
    name: str, steps: list[Step]
) -> None:
    assert differences(steps) == []


@pytest.mark.parametrize(
    ("name", "steps"), recorded(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_time_that_a_recorded_session_fails_or_falls_silent_is_one_alarm(
    name: str, steps: list[Step]
) -> None:
    end = START + len(steps) + SILENT_AFTER_S + 1
    sessions, states, entered, alarms = Sessions(), {}, [], []
    for one in watched(steps, end):
        number = one["sequence_number"]
        if one["data"].get("reason") in NEEDY:
            alarms.append((one["data"]["session_id"], one["data"]["reason"]))
        sessions.apply(one["type"], one["data"], one["timestamp"], one["metadata"], number)
        for view in sessions.view(START + number):
            if view.state in NEEDY and states.get(view.session_id) != view.state:
                entered.append((view.session_id, view.state))
            states[view.session_id] = view.state
    for view in sessions.view(end):
        if view.state == "silent" and states.get(view.session_id) != "silent":
            # logs alone never say that a turn ended: that silence calls nobody
            assert "alone" in name
            assert "silent" not in dict(alarms).values()
        elif view.state in NEEDY and view.ended is None:
            assert view.attention is not None
            assert view.attention.reason == view.state
    assert alarms == entered


WORKING = (step(0, "turn_started"), step(1, "tool_called", tool_name="Bash", tool_use_id="t"))


def test_silence_is_raised_once_and_again_after_the_next_activity() -> None:
    watch = take(Watch(), *WORKING)
    assert watch.next_look() == START + 1 + SILENT_AFTER_S
    assert reasons(watch, SILENT_AFTER_S) == []
    (alarm,) = watch.due(START + 1 + SILENT_AFTER_S)
    assert (alarm.reason, alarm.number, alarm.metadata) == ("silent", 2, {"agent": "Ada"})
    assert watch.next_look() is None
    watch.settled(alarm)
    assert reasons(watch, 9000) == []
    take(watch, step(9000, "usage_reported"))  # a sign of life, which changes no state
    assert watch.next_look() == START + 9000 + SILENT_AFTER_S
    assert reasons(watch, 9000 + SILENT_AFTER_S) == [("s", "silent")]


def test_an_alarm_that_an_activity_ended_before_it_was_published_is_not_due() -> None:
    watch = take(Watch(), *WORKING)
    assert reasons(watch, 1 + SILENT_AFTER_S) == [("s", "silent")]
    assert reasons(take(watch, step(700, "message", content="on")), 701) == []
    take(watch, step(702, "error", error="rate_limit"))
    assert reasons(watch, 702) == [("s", "failed")]
    assert reasons(take(watch, step(703, "turn_started")), 703) == []


def test_errors_of_one_failure_are_one_alarm_and_the_next_failure_is_another() -> None:
    watch = take(Watch(), *WORKING, step(2, "error", error="e", message=" The  model\nis busy. "))
    (alarm,) = watch.due(START + 2)
    assert (alarm.message, alarm.number) == ("The model is busy.", 3)
    take(watch, step(3, "error", error="again"), step(4, "reported", kind="x"))
    assert watch.due(START + 4) == (alarm,)
    watch.settled(alarm)
    take(watch, step(5, "turn_started"), step(6, "error", error="e"))
    assert reasons(watch, 6) == [("s", "failed")]


def test_an_alarm_that_the_stream_has_is_not_due_and_is_no_sign_of_life() -> None:
    watch = take(Watch(), *WORKING, step(2, "attention_needed", reason="silent"))
    assert reasons(watch, 5000) == []
    watch = take(Watch(), step(0, "error", error="e"), step(1, "attention_needed", reason="failed"))
    assert reasons(watch, 1) == []
    take(watch, step(2, "attention_needed", "unknown", reason="silent"))
    assert len(watch) == 1


def test_an_agent_that_asks_is_idle_or_has_ended_is_not_silent() -> None:
    asks = step(2, "attention_needed", reason="permission", tool_name="Bash")
    assert reasons(take(Watch(), *WORKING, asks), 5000) == []
    assert reasons(take(Watch(), *WORKING, step(2, "turn_finished")), 5000) == []
    assert reasons(take(Watch(), *WORKING, step(2, "session_finished")), 5000) == []
    assert reasons(take(Watch(), *WORKING, step(2, "error", agent_id="sub")), 2) == []


def test_a_session_that_logs_alone_report_is_not_raised_as_silent() -> None:
    logged = [{**one, "metadata": {"otlp": "logs"}} for one in WORKING]
    assert reasons(take(Watch(), *logged), 5000) == []
    usage = {**step(2, "usage_reported"), "metadata": {"otlp": "logs"}}
    (alarm,) = take(Watch(), *WORKING, usage).due(START + 5000)
    assert alarm.metadata == {"agent": "Ada"}  # not marked as telemetry, which readers rank lower


def test_a_notification_repeats_what_is_asked_already() -> None:
    watch = take(Watch(), *WORKING)
    assert not watch.repeats("s", "permission")
    take(watch, step(2, "attention_needed", reason="permission", tool_name="Bash"))
    assert watch.repeats("s", "permission")
    assert not watch.repeats("s", "idle")
    take(watch, step(3, "tool_finished", tool_name="Bash", tool_use_id="t"))
    assert not watch.repeats("s", "permission")
    take(watch, step(4, "error", error="e"))
    assert watch.repeats("s", "idle")
    assert not watch.repeats("unknown", "permission")


def test_the_sessions_are_bounded_and_the_one_that_ended_goes_first() -> None:
    watch = Watch()
    for second in range(MAX_SESSIONS):
        take(watch, step(second, "turn_started", f"s{second}"))
    take(watch, step(600, "session_finished", "s7"), step(601, "turn_started", "new"))
    assert len(watch) == MAX_SESSIONS
    assert (watch.state("s7"), watch.state("s0")) == (None, "working")
    take(watch, step(602, "turn_started", "newer"))
    assert (len(watch), watch.state("s0")) == (MAX_SESSIONS, None)


def test_events_of_before_a_restart_of_the_numbering_are_told_apart() -> None:
    watch = take(Watch(), step(9, "turn_started"), step(3, "turn_finished"))
    assert watch.state("s") == "working"  # number 4 was before number 10
    watch.begin("next")
    assert take(watch, step(3, "turn_finished")).state("s") == "idle"


ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.lists(st.none(), max_size=1)
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "agent_id": st.sampled_from([None, "a"]) | ODD,
    "tool_use_id": st.sampled_from(["t", "u", "v"]) | ODD,
    "tool_name": st.sampled_from(["Bash", "Agent"]) | ODD,
    "summary": st.sampled_from(["make", "ls"]) | ODD,
    "outcome": st.sampled_from(["ok", "failed", "interrupted"]) | ODD,
    "reason": st.sampled_from(["permission", "idle", "failed", "silent", "resume"]) | ODD,
    "calls": st.lists(st.fixed_dictionaries({"tool_use_id": st.sampled_from(["t", "u"]) | ODD}))
    | ODD,
    "spawns_agent": st.booleans() | ODD,
    "child_id": st.sampled_from(["a", "b"]) | ODD,
    "message": ODD,
}
NAMES = (
    *("session_started", "turn_started", "turn_finished", "tool_called", "tool_finished", "dreamt"),
    *("batch_finished", "attention_needed", "error", "message", "session_finished", "reported"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.fixed_dictionaries({}, optional=FIELDS)), max_size=12
)


@settings(max_examples=up_to(150))
@given(STEPS)
def test_whatever_arrives_at_most_one_alarm_is_due_and_only_for_its_state(
    parts: list[tuple[str, dict[str, Any]]],
) -> None:
    watch = Watch()
    for second, (name, data) in enumerate(parts):
        take(watch, step(second, name, **data))
        alarms = list(watch.due(START + second))
        assert len(alarms) <= 1
        assert all(alarm.reason == watch.state("s") == "failed" for alarm in alarms)
    assert len(list(watch.due(START + 10_000))) <= 1
