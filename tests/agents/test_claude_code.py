"""The real Claude Code with the gateway's hooks, and a script in place of the model.

`make test-agents` installs the program into `build/claude-code` and runs this.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.model_api import Scripts, model_api
from tests.kit.processes import PATIENCE_S, free_port
from tests.kit.readme import gateway
from tests.kit.waiting import lines_of_file
from tests.snippets import ROOT

CLAUDE = ROOT / "build/claude-code/node_modules/.bin/claude"
RECORDINGS = ROOT / "tests/recordings"
SIGHTLINE = ROOT / ".venv/bin/sightline"
pytestmark = pytest.mark.skipif(
    not CLAUDE.exists(), reason="needs Claude Code: run `make test-agents`"
)
# A call that runs until the agent is interrupted, and says which process it is.
WAITS = 'import os, time; print(os.getpid(), file=open("runs", "w"), flush=True); time.sleep(90)'
AGENT = {"subagent_type": "general-purpose", "description": "look", "run_in_background": False}
SCRIPTS: Scripts = {
    "simple": [("Bash", {"command": "echo hello", "description": "greet"}), "All is well."],
    "failing": [("Bash", {"command": "echo no; exit 3", "description": "fail"}), "It failed."],
    "denied": [("Bash", {"command": "touch made", "description": "make"}), "I may not."],
    "nested": [("Agent", {**AGENT, "prompt": "script lead"}), "All is reviewed."],
    "lead": [("Agent", {**AGENT, "prompt": "script reader"}), "The reader is done."],
    "reader": [("Bash", {"command": "echo found", "description": "look"}), "One bug."],
    "long": [("Bash", {"command": f"python3 -c '{WAITS}'", "description": "wait"}), "Never said."],
    "helped": [("Agent", {**AGENT, "prompt": "script long"}), "Never said."],
}


class Done(NamedTuple):
    """The end of an agent."""

    returncode: int
    stdout: str
    stderr: str


def ended(agent: "subprocess.Popen[str]") -> Done:
    """Wait for the end of an agent."""
    try:
        said, complained = agent.communicate(timeout=2 * PATIENCE_S)
    finally:
        agent.kill()
    return Done(agent.returncode, said, complained)


class Place(NamedTuple):
    """A project and a home of its own for the agent, and the model's address."""

    project: Path
    home: Path
    api: str

    def start(self, script: str) -> "subprocess.Popen[str]":
        """Have the agent follow a script."""
        allowed = "Bash(echo:*),Bash(exit:*),Bash(python3:*),Agent,Task"
        return subprocess.Popen(
            [CLAUDE, "-p", f"script {script}", "--model", "sonnet", "--allowedTools", allowed],
            cwd=self.project,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "ANTHROPIC_BASE_URL": self.api,
                "ANTHROPIC_API_KEY": "not-a-key",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
                "NO_PROXY": "127.0.0.1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str) -> tuple[Done, float]:
        """Have the agent follow a script to its end; and the seconds that it took."""
        began = time.monotonic()
        with self.start(script) as agent:
            done = ended(agent)
        return done, time.monotonic() - began

    def install(self, where: str, **environ: str) -> None:
        """Add the hooks of the gateway in a folder, or at an address."""
        command = [SIGHTLINE, "hooks", "install", "claude-code", "--project", "--yes"]
        subprocess.run(
            [*command, "--gateway", where],
            cwd=self.project,
            env={**os.environ, **environ},
            check=True,
            capture_output=True,
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    with model_api(SCRIPTS) as api:
        yield Place(project, home, api)


def shown(folder: Path) -> dict[str, Any]:
    """The one session that `sightline events sessions` shows."""
    command = [SIGHTLINE, "events", "sessions", "--json"]
    (session,) = json.loads(subprocess.check_output(command, cwd=folder, timeout=PATIENCE_S))
    return dict(session)


def hooks_of(folder: Path) -> list[str]:
    """The hooks that the gateway got, in order, without those of texts."""
    command = [SIGHTLINE, "events", "history", "--json", "--type", "agent.*"]
    lines = subprocess.check_output(command, cwd=folder, timeout=PATIENCE_S).splitlines()
    found = [json.loads(line)["metadata"].get("hook") for line in lines]
    return [hook for hook in found if hook not in (None, "MessageDisplay")]


def calls_of(session: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """Type of the agent, tool and state of each call."""
    return [
        (agent["agent_type"], call["tool_name"], call["state"])
        for agent in session["agents"]
        for call in agent["calls"]
    ]


@pytest.mark.parametrize(
    ("script", "said", "calls"),
    [
        ("simple", "All is well.", [(None, "Bash", "ok")]),
        ("failing", "It failed.", [(None, "Bash", "failed")]),
        ("denied", "I may not.", [(None, "Bash", "denied")]),
        (
            "nested",
            "All is reviewed.",
            [
                (None, "Agent", "ok"),
                ("general-purpose", "Agent", "ok"),
                ("general-purpose", "Bash", "ok"),
            ],
        ),
    ],
)
def test_a_session_is_shown_as_it_was(
    place: Place, tmp_path: Path, script: str, said: str, calls: list[Any]
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    with gateway(folder):
        place.install(str(folder))
        done, _ = place.run(script)
        assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
        session = shown(folder)
    assert session["state"] == "finished"
    assert calls_of(session) == calls
    assert not (place.project / "made").exists()
    if script == "nested":
        lead, reader = session["agents"][1:]
        assert (lead["parent_id"], lead["parent"]) == (None, "reported")
        assert (reader["parent_id"], reader["parent"]) == (lead["agent_id"], "reported")


@pytest.mark.parametrize(
    ("script", "hooks", "calls"),
    [
        ("long", "interrupted_sigint", [(None, "Bash", "interrupted")]),
        (
            "helped",
            "interrupted_sigint_subagent",
            [(None, "Agent", "interrupted"), ("general-purpose", "Bash", "interrupted")],
        ),
    ],
)
def test_an_interrupt_amid_a_call_ends_the_session_as_recorded(
    place: Place, tmp_path: Path, script: str, hooks: str, calls: list[Any]
) -> None:
    """Nothing reports the end of the call: only `SessionEnd` comes, and no `Stop`."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    with gateway(folder):
        place.install(str(folder))
        with place.start(script) as agent:
            (call,) = lines_of_file(place.project / "runs", 1)
            agent.send_signal(signal.SIGINT)
            done = ended(agent)
        reported, session = hooks_of(folder), shown(folder)
    with suppress(ProcessLookupError):  # the agent may have ended its call
        os.kill(int(call), signal.SIGKILL)
    assert "Never said." not in done.stdout
    lines = (RECORDINGS / f"{hooks}.jsonl").read_text().splitlines()
    recorded = [json.loads(line)["body"]["hook_event_name"] for line in lines]
    assert reported == [hook for hook in recorded if hook != "MessageDisplay"]
    assert (session["state"], session["reason"]) == ("finished", "other")
    assert calls_of(session) == calls
    assert {agent["outcome"] for agent in session["agents"]} == {"interrupted"}


def test_a_gateway_that_hangs_or_is_down_costs_the_agent_time_and_nothing_else(
    place: Place, tmp_path: Path, record_property: Any
) -> None:
    """Decided by the outcome; the times are figures for docs/agents.md."""
    times = {}
    place.run("simple")  # the first start of the program takes longer
    done, times["without hooks"] = place.run("simple")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "gateway"
    folder.mkdir()
    with gateway(folder):
        place.install(str(folder))
        _, times["answers"] = place.run("simple")
    token = {"SIGHTLINE_SESSION_TOKEN": "t" * 32}
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as silent:
        place.install(f"http://127.0.0.1:{silent.getsockname()[1]}", **token)
        hung, times["hangs"] = place.run("simple")
    place.install(f"http://127.0.0.1:{free_port()}", **token)
    down, times["down"] = place.run("simple")
    for done in (hung, down):
        assert (done.returncode, done.stdout.strip()) == (0, "All is well."), done.stderr
    for name, seconds in times.items():
        record_property(name, round(seconds, 1))
    print({name: f"{seconds:.1f} s" for name, seconds in times.items()})
