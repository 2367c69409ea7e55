"""The real Claude Code with the gateway's hooks, and a script in place of the model.

`make test-agents` installs the program into `build/claude-code` and runs this.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.model_api import Scripts, model_api
from tests.kit.processes import PATIENCE_S, free_port
from tests.kit.readme import gateway
from tests.snippets import ROOT

CLAUDE = ROOT / "build/claude-code/node_modules/.bin/claude"
SIGHTLINE = ROOT / ".venv/bin/sightline"
pytestmark = pytest.mark.skipif(
    not CLAUDE.exists(), reason="needs Claude Code: run `make test-agents`"
)
AGENT = {"subagent_type": "general-purpose", "description": "look", "run_in_background": False}
SCRIPTS: Scripts = {
    "simple": [("Bash", {"command": "echo hello", "description": "greet"}), "All is well."],
    "failing": [("Bash", {"command": "echo no; exit 3", "description": "fail"}), "It failed."],
    "denied": [("Bash", {"command": "touch made", "description": "make"}), "I may not."],
    "nested": [("Agent", {**AGENT, "prompt": "script lead"}), "All is reviewed."],
    "lead": [("Agent", {**AGENT, "prompt": "script reader"}), "The reader is done."],
    "reader": [("Bash", {"command": "echo found", "description": "look"}), "One bug."],
}


class Place(NamedTuple):
    """A project and a home of its own for the agent, and the model's address."""

    project: Path
    home: Path
    api: str

    def run(self, script: str) -> tuple[subprocess.CompletedProcess[str], float]:
        """Have the agent follow a script; its end, and the seconds that it took."""
        began = time.monotonic()
        allowed = "Bash(echo:*),Bash(exit:*),Agent,Task"
        done = subprocess.run(
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
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
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
