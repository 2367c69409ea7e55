"""docs/agents.md, step by step: an agent in another folder is connected, seen, and taken off again."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.processes import PATIENCE_S
from tests.kit.readme import Gateway, gateway
from tests.recordings import hooks_of
from tests.snippets import snippets

SEND = Path(__file__).parent / "otlp" / "send.py"
# the recipes of frameworks are run in tests/frameworks, which has their packages
INSTALL, LOOK, UNINSTALL, CODEX, OTLP, *_ = snippets(
    "docs/agents.md", "sh sh sh sh sh python python"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path) as server:
        yield server


def run(server: Gateway, code: str, folder: Path, home: Path) -> str:
    done = subprocess.run(
        ["bash", "-ec", code.replace("/path/to/gateway", str(server.folder))],
        cwd=folder,
        input="y\n",
        env={
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("SIGHTLINE")
            },
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_session_in_another_folder_is_seen_and_uninstall_leaves_nothing(
    server: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    run(server, INSTALL, project, home)
    hooks = json.loads((project / ".claude/settings.local.json").read_text())["hooks"]
    for _, body in hooks_of("subagent_permission"):  # as the agent does it
        ((hook,),) = (group["hooks"] for group in hooks[body["hook_event_name"]])
        if hook["type"] == "command":
            subprocess.run(
                ["sh", "-c", hook["command"]], input=json.dumps(body).encode(), check=True
            )
        else:
            answer = httpx.post(hook["url"], headers=hook["headers"], json=body, trust_env=False)
            assert (answer.status_code, answer.content) == (204, b"")
    first, child = run(server, LOOK, server.folder, home).splitlines()
    assert first.startswith("finished Claude Code ccba")
    assert "3 calls, 1 failed, 1 denied" in first
    assert child.startswith("  - general-purpose a6119818  finished")
    run(server, UNINSTALL, project, home)
    assert list(project.iterdir()) == []


@pytest.mark.slow
def test_codex_is_connected_in_its_own_settings(
    server: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    run(server, CODEX, home, home)
    hooks = json.loads((home / ".codex/hooks.json").read_text())["hooks"]
    for _, body in hooks_of("codex_permission")[:8]:
        ((hook,),) = (group["hooks"] for group in hooks[body["hook_event_name"]])
        subprocess.run(["sh", "-c", hook["command"]], input=json.dumps(body).encode(), check=True)
    (line,) = run(server, LOOK, server.folder, home).splitlines()
    assert line.startswith("idle     Codex")
    assert "2 calls, 1 interrupted" in line


@pytest.mark.slow
def test_a_program_with_opentelemetry_needs_two_variables(
    server: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    here = OTLP.replace("127.0.0.1:3000", f"127.0.0.1:{server.port}")
    run(server, f"{here}\nSESSION=s-1 python {SEND}", home, home)
    lines = run(server, LOOK, server.folder, home).splitlines()
    (main,) = (line for line in lines if "s-1 " in line)
    assert main.startswith("idle")
    assert any(line.startswith("  - reader") and "1 failed" in line for line in lines), lines
