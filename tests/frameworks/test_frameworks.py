"""The recipes for frameworks in docs/agents.md, run with the real packages against a real gateway."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import PATIENCE_S
from tests.kit.readme import gateway
from tests.snippets import ROOT, snippets

PYTHON = ROOT / "build/frameworks/bin/python"
HERE = Path(__file__).parent
OPENAI_AGENTS, LANGCHAIN = snippets("docs/agents.md", "sh sh sh sh sh python python")[-2:]
Sessions = dict[str, dict[str, Any]]


def sessions_of(program: str, recipe: str, folder: Path) -> Sessions:
    """Run the program beside a gateway; what `sightline events sessions` then knows, by id."""
    with gateway(folder):
        done = subprocess.run(
            [PYTHON, HERE / program, recipe],
            cwd=folder,
            # Without a key the SDK sends its traces to nobody but the recipe's processor.
            env={**os.environ, "PYTHONPATH": str(ROOT / "clients/python"), "OPENAI_API_KEY": ""},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "lost" not in done.stderr
        command = [Path(sys.executable).with_name("sightline"), "events", "sessions", "--json"]
        shown = subprocess.check_output(command, cwd=folder, text=True, timeout=PATIENCE_S)
    return {view["session_id"]: view for view in json.loads(shown)}


@pytest.fixture(scope="module")
def openai(tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    folder = tmp_path_factory.mktemp("openai")
    return sessions_of("openai_agents_program.py", OPENAI_AGENTS, folder)


@pytest.fixture(scope="module")
def langchain(tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    folder = tmp_path_factory.mktemp("langchain")
    return sessions_of("langchain_program.py", LANGCHAIN, folder)


def calls_of(agent: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(call["tool_name"], call["state"], call["summary"]) for call in agent["calls"]]


def test_a_group_is_a_session_with_a_sub_agent_and_its_own_usage(openai: Sessions) -> None:
    view = openai["chat-1"]
    main, scout = view["agents"]
    assert (view["state"], view["source"], main["turns"]) == ("idle", "Ada", 2)
    assert calls_of(main) == [
        ("weather", "ok", "Rome"),
        ("nothing", "ok", None),
        ("ask_scout", "ok", "Look at Oslo"),
    ]
    assert (scout["agent_type"], scout["state"], scout["parent"]) == (
        "Scout",
        "finished",
        "reported",
    )
    assert main["calls"][2]["child_id"] == scout["agent_id"]
    assert calls_of(scout) == [("weather", "ok", "Oslo")]
    assert all(call["duration_ms"] is not None for call in main["calls"])
    usage = view["usage"]
    assert (usage["requests"], usage["input_tokens"], usage["output_tokens"]) == (6, 60, 30)


def test_a_run_that_fails_says_why_and_a_cancelled_one_is_interrupted(openai: Sessions) -> None:
    failing, down = openai["trace_failing"], openai["trace_down"]
    assert (failing["state"], down["state"]) == ("failed", "failed")
    (call,) = failing["agents"][0]["calls"]
    assert (call["state"], call["error"]) == ("failed", "no answer from the bank")
    assert "no answer from the bank" in failing["agents"][0]["summary"]
    assert down["agents"][0]["summary"] == "503"
    cancelled = openai["trace_cancelled"]
    assert (cancelled["state"], cancelled["reason"]) == ("finished", "interrupted")
    assert calls_of(cancelled["agents"][0]) == [("wait", "interrupted", None)]
    assert openai["trace_handoff"]["state"] == "finished"


def test_an_approval_is_waited_for_and_ends_as_it_was_answered(openai: Sessions) -> None:
    waiting = openai["trace_waiting"]
    assert waiting["state"] == "waiting"
    assert (waiting["attention"]["tool_name"], waiting["attention"]["summary"]) == (
        "remove",
        "/tmp/x",
    )
    for name in ("approved", "denied"):
        view = openai[f"trace_{name}"]
        assert (view["state"], view["reason"]) == ("finished", "completed")
    assert calls_of(openai["trace_approved"]["agents"][0]) == [("remove", "ok", "/tmp/x")]
    assert calls_of(openai["trace_denied"]["agents"][0]) == [("remove", "denied", None)]


def test_a_thread_is_a_session_with_a_sub_agent_usage_and_answer(langchain: Sessions) -> None:
    view = langchain["chat-7"]
    main, scout = view["agents"]
    assert (view["state"], view["source"]) == ("idle", "ada")
    assert (view["task"], main["summary"]) == ("What is the weather?", "done")
    assert calls_of(main) == [("weather", "ok", "Rome"), ("scout", "ok", "Oslo")]
    assert [call["tool_use_id"] for call in main["calls"]] == ["c-1", "c-2"]
    assert (scout["agent_type"], scout["state"], scout["parent"]) == (
        "scout_agent",
        "finished",
        "reported",
    )
    assert main["calls"][1]["child_id"] == scout["agent_id"]
    assert calls_of(scout) == [("weather", "ok", "Oslo")]
    usage = view["usage"]
    assert (usage["requests"], usage["input_tokens"], usage["output_tokens"]) == (5, 50, 25)
    assert usage["cache_read_tokens"] == 15


def test_an_interrupt_is_waited_for_until_the_run_goes_on(langchain: Sessions) -> None:
    waiting, answered = langchain["waiting"], langchain["answered"]
    assert (waiting["state"], waiting["attention"]["message"]) == ("waiting", "Really?")
    assert (answered["state"], calls_of(answered["agents"][0])) == (
        "idle",
        [("ask", "ok", "Really?")],
    )


def test_a_chain_that_fails_or_is_stopped_ends_its_session_so(langchain: Sessions) -> None:
    failed, stopped, ended = (langchain[f"00000000-0000-0000-0000-{n:012}"] for n in (1, 2, 3))
    assert (failed["state"], failed["agents"][0]["summary"]) == (
        "failed",
        "no answer from the bank",
    )
    (call,) = failed["agents"][0]["calls"]
    assert (call["state"], call["error"]) == ("failed", "no answer from the bank")
    assert (stopped["state"], stopped["reason"]) == ("finished", "interrupted")
    assert calls_of(stopped["agents"][0]) == [("stop", "interrupted", None)]
    assert (ended["state"], ended["agents"][0]["summary"]) == ("finished", "hello")
