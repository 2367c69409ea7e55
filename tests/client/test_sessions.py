"""Every recorded session ends as its row in `tests/recordings/README.md` says."""

import json
from typing import Any

import pytest

from tests.kit.sessions import ROWS, counts, step
from tests.recordings import FOLDER, HOOK_FILES
from tests.session_vectors import FILE, START, Step, reduced, steps_of, vectors


def ending(name: str, cut: int | None = None) -> Any:
    steps = steps_of(name)[:cut]
    return reduced(steps, START + len(steps))


def main_of(session: Any) -> Any:
    return session["agents"][0]


def only(steps: list[Step], now: float = START + 60) -> Any:
    (session,) = reduced(steps, now)
    return session


def test_there_is_a_row_for_each_recorded_file() -> None:
    assert sorted(ROWS) == HOOK_FILES


@pytest.mark.parametrize("name", HOOK_FILES)
def test_a_recorded_file_ends_in_the_state_that_its_row_describes(name: str) -> None:
    state, calls, sub_agents = ROWS[name]
    sessions = ending(name)
    assert {session["state"] for session in sessions} == {state}
    assert counts(sessions) == calls
    found = [a for session in sessions for a in session["agents"] if a["agent_id"]]
    assert [(a["agent_type"], a["outcome"], a["parent"]) for a in found] == sub_agents
    assert all(session["attention"] is None for session in sessions)


def test_the_vectors_are_those_of_this_reducer() -> None:
    assert FILE.read_text() == vectors(), "run python -m tests.session_vectors"


def test_a_resumed_session_goes_on_and_a_fork_is_another() -> None:
    fork, resumed = ending("resume")
    assert (main_of(resumed)["turns"], main_of(fork)["turns"]) == (2, 1)


def test_each_sub_agent_has_its_parent() -> None:
    for name in ("nested_two", "nested_background", "nested_interactive", "otlp_traces_nested"):
        _, lead, reader = ending(name)[0]["agents"]
        assert (lead["parent_id"], reader["parent_id"]) == (None, lead["agent_id"]), name


def test_until_a_call_names_its_sub_agent_the_parent_is_a_guess_and_the_guess_is_right() -> None:
    _, lead, reader = ending("nested_two", 9)[0]["agents"]
    assert (lead["parent"], reader["parent"]) == ("guessed", "guessed")
    assert (lead["parent_id"], reader["parent_id"]) == (None, lead["agent_id"])


def test_an_agent_that_starts_twice_is_one_agent_with_two_turns() -> None:
    assert [agent["turns"] for agent in ending("nested_interactive")[0]["agents"]] == [2, 2, 1]


def test_an_open_dialog_makes_the_session_wait_and_says_for_what() -> None:
    (session,) = ending("permission_prompt", 6)
    assert session["state"] == "waiting"
    assert session["attention"]["summary"] == "touch stamp.txt"
    assert session["attention"]["message"] == "Claude needs your permission"
    assert ending("permission_prompt", 7)[0]["attention"] is None


def test_a_question_of_a_sub_agent_is_that_agents() -> None:
    (session,) = ending("subagent_permission", 6)
    assert session["attention"]["agent_id"] == session["agents"][1]["agent_id"]
    assert [agent["state"] for agent in session["agents"]] == ["working", "waiting"]


def test_an_answer_with_work_behind_it_leaves_the_session_at_work() -> None:
    (session,) = ending("subagent_background", 16)
    assert (session["state"], main_of(session)["state"]) == ("working", "idle")
    assert session["current"]["summary"] == "sleep 2; grep -n percent src/prices.py"


def test_a_command_in_the_background_is_listed_until_its_end_is_reported() -> None:
    assert ending("background_bash", 7)[0]["background"][0]["id"] == "bnq3ihq1f"
    assert ending("background_bash", 8)[0]["background"] == []


def test_after_esc_the_next_prompt_ends_the_open_call() -> None:
    assert counts(ending("interrupt_esc", 3)) == {"running": 1}
    assert counts(ending("interrupt_esc", 4)) == {"interrupted": 1}


def test_a_killed_session_is_silent_after_ten_minutes_and_its_call_unknown() -> None:
    steps = steps_of("interrupted_sigkill")
    assert reduced(steps, START + 600)[0]["state"] == "working"
    (session,) = reduced(steps, START + 700)
    assert (session["state"], counts([session])) == ("silent", {"unknown": 1})


def test_a_loss_makes_an_open_call_unknown_where_it_would_have_been_denied() -> None:
    steps = steps_of("permission_rule_denied")
    loss = {"epoch_changed": False}
    assert counts([only([*steps[:3], loss, *steps[3:]])]) == {"unknown": 1}


def test_a_session_that_is_joined_late_has_calls_that_are_unknown() -> None:
    session = only(steps_of("tool_fails")[8:])
    assert counts([session]) == {"unknown": 1, "failed": 1}


def test_a_result_that_comes_late_corrects_what_was_concluded() -> None:
    called = step(1, "tool_called", tool_name="Bash", tool_use_id="t")
    prompt, late = step(2, "turn_started"), step(3, "tool_finished", tool_use_id="t", outcome="ok")
    assert counts([only([called, prompt])]) == {"interrupted": 1}
    assert counts([only([called, prompt, late])]) == {"ok": 1}


def test_a_batch_that_overtakes_the_start_of_a_denied_call_changes_nothing() -> None:
    started = step(1, "turn_started")
    called = step(2, "tool_called", tool_name="Bash", tool_use_id="t")
    batch = step(3, "batch_finished", calls=[{"tool_use_id": "t", "tool_name": "Bash"}])
    swapped = [started, {**batch, "sequence_number": 2}, {**called, "sequence_number": 3}]
    assert counts([only([started, called, batch])]) == {"denied": 1}
    assert counts([only(swapped)]) == {"denied": 1}


def test_a_question_that_overtakes_its_call_is_still_asked() -> None:
    asked = step(1, "attention_needed", reason="permission", tool_name="Bash", summary="make")
    called = step(2, "tool_called", tool_name="Bash", tool_use_id="t", summary="make")
    session = only([asked, called])
    assert (session["state"], session["attention"]["summary"]) == ("waiting", "make")
    assert only([asked, called, step(3, "tool_finished", tool_use_id="t")])["state"] == "working"


def test_the_report_of_a_start_may_come_late() -> None:
    late = [
        step(1, "turn_started"),
        step(2, "tool_called", tool_name="Bash", tool_use_id="t"),
        step(3, "session_started", reason="resume", model="small"),
    ]
    session = only(late)
    assert (session["state"], counts([session]), session["model"]) == (
        "working",
        {"running": 1},
        "small",
    )


def test_a_session_that_starts_again_after_a_kill_leaves_no_call_running() -> None:
    killed = [step(1, "turn_started"), step(2, "tool_called", tool_name="Bash", tool_use_id="t")]
    session = only([*killed, step(50, "session_started", reason="resume")])
    assert (session["state"], counts([session])) == ("idle", {"interrupted": 1})


def test_a_prompt_that_waits_for_a_person_ends_what_no_hook_ended() -> None:
    killed = [step(1, "turn_started"), step(2, "tool_called", tool_name="Bash", tool_use_id="t")]
    session = only([*killed, step(50, "attention_needed", reason="idle")])
    assert (session["state"], counts([session])) == ("idle", {"interrupted": 1})


def test_calls_without_an_id_end_in_the_order_of_their_start() -> None:
    calls = [step(1, "tool_called", tool_name="Bash"), step(2, "tool_called", tool_name="Bash")]
    end = step(3, "tool_finished", tool_name="Bash", success=False)
    first, second = main_of(only([*calls, end]))["calls"]
    assert (first["state"], second["state"]) == ("failed", "running")


def test_an_interrupted_agent_takes_the_sub_agents_along_that_it_waited_for() -> None:
    steps = [
        step(1, "turn_started"),
        step(2, "tool_called", tool_name="Agent", tool_use_id="a", spawns_agent=True),
        step(3, "turn_started", agent_id="x"),
        step(4, "tool_called", tool_name="Agent", tool_use_id="b", spawns_agent=True, agent_id="x"),
        step(5, "turn_started", agent_id="y"),
        step(6, "tool_called", tool_name="Bash", tool_use_id="c", agent_id="y"),
        step(7, "turn_started"),
    ]
    session = only(steps)
    assert counts([session]) == {"interrupted": 3}
    assert [agent["outcome"] for agent in session["agents"]] == [None, "interrupted", "interrupted"]


def test_sessions_that_need_a_person_come_first() -> None:
    def started(number: int, name: str, type_: str, **data: object) -> Step:
        one = step(number, type_, **data)
        return {**one, "data": {**one["data"], "session_id": name}}

    steps = [
        started(1, "idle", "session_started"),
        started(2, "working", "turn_started"),
        started(3, "finished", "session_finished"),
        started(4, "failed", "error", error="overloaded"),
        started(5, "waiting", "attention_needed", reason="permission", tool_name="Bash"),
    ]
    order = [session["session_id"] for session in reduced(steps, START + 10)]
    assert order == ["waiting", "failed", "working", "idle", "finished"]


@pytest.mark.parametrize(
    ("name", "requests", "totals"),
    [
        ("otlp_logs_json", 3, (15, 66, 3006, 606, 0.0025056)),
        ("otlp_logs_permission", 3, (15, 66, 3006, 606, 0.0025056)),
        ("otlp_logs_resent", 2, (9, 43, 2003, 403, 0.0016558)),
        ("otlp_logs_interactive", 2, (9, 43, 2003, 403, 0.0016558)),
        ("otlp_interrupted", 1, (4, 21, 1001, 201, 0.0008206)),
    ],
)
def test_requests_are_counted_once_by_their_id(
    name: str, requests: int, totals: tuple[float, ...]
) -> None:
    usage = only([step(i + 1, "usage_reported", **u) for i, u in enumerate(requests_of(name))])[
        "usage"
    ]
    assert tuple(usage.values()) == (requests, *totals)


def requests_of(name: str) -> list[dict[str, object]]:
    """What Claude Code's logs say of each request; a batch that was sent twice says it twice."""
    names = {
        "request_id": "request_id",
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_tokens": "cache_read_tokens",
        "cache_creation_tokens": "cache_creation_tokens",
        "cost_usd": "cost_usd",
    }
    found = []
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["at"] != "otlp_logs":
            continue
        for resource in record["body"]["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                for log in scope["logRecords"]:
                    values = {a["key"]: next(iter(a["value"].values())) for a in log["attributes"]}
                    if values.get("event.name") == "api_request":
                        usage = {ours: values[theirs] for theirs, ours in names.items()}
                        numbers = {k: float(v) for k, v in usage.items() if k != "request_id"}
                        found.append({**numbers, "request_id": usage["request_id"]})
    return found


def test_sources_that_report_the_same_requests_are_not_added() -> None:
    steps = [
        step(1, "usage_reported", usage_source="logs", request_id="r1", input_tokens=5),
        step(2, "usage_reported", usage_source="spans", request_id="r1", input_tokens=5),
        step(3, "usage_reported", usage_source="logs", request_id="r2", input_tokens=6),
    ]
    assert only(steps)["usage"]["input_tokens"] == 11


def test_a_call_that_came_after_a_sub_agent_did_not_begin_it() -> None:
    started = step(1, "turn_started", agent_id="x")
    called = step(2, "tool_called", tool_name="Agent", tool_use_id="a", spawns_agent=True)
    _, sub_agent = only([started, called])["agents"]
    assert (sub_agent["parent_id"], sub_agent["parent"]) == (None, "unknown")


@pytest.mark.parametrize("reason", ["compact", "startup"])
def test_a_start_that_begins_nothing_ends_no_call(reason: str) -> None:
    running = [step(1, "turn_started"), step(2, "tool_called", tool_name="Bash", tool_use_id="t")]
    session = only([*running, step(50, "session_started", reason=reason)])
    assert (session["state"], counts([session])) == ("working", {"running": 1})


def test_of_two_reported_outcomes_the_worse_counts_in_either_order() -> None:
    for outcomes in (("ok", "failed"), ("failed", "ok")):
        reports = [
            step(i, "tool_finished", tool_name="Bash", tool_use_id="t", outcome=outcome)
            for i, outcome in enumerate(outcomes, 1)
        ]
        assert counts([only(reports)]) == {"failed": 1}


def test_a_session_that_ends_in_the_middle_of_a_turn_was_interrupted() -> None:
    assert main_of(ending("interrupted_sigterm")[0])["outcome"] == "interrupted"
    assert main_of(ending("simple")[0])["outcome"] == "ok"


def test_after_another_epoch_numbers_begin_again() -> None:
    again = [*steps_of("simple"), {"epoch_changed": True}, *steps_of("prompt_stop")]
    assert len(reduced(again, START + 60)) == 2
