"""Every recipe of docs/integrations.md, run against a real gateway."""

import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import PATIENCE_S, line_with, running
from tests.kit.readme import Gateway, gateway
from tests.snippets import snippets

# the last one is run in a browser, by tests/live/test_event_source.py
TELL, TOLD, LOGGING, GIT, WEBHOOK, CLOUDEVENT, CLOUDEVENT_SDK, STREAM, EVENT_SOURCE = snippets(
    "docs/integrations.md", "sh sh python python python bash python bash js"
)
OPENAI_AGENTS, LANGCHAIN = snippets("docs/agents.md", "sh sh sh sh sh python python")[-2:]
FOLDER = "/path/to/gateway"
SECRET = "webhook-secret"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path) as server:
        (tmp_path / "tell.sh").write_text(TELL)
        yield server


def run(
    server: Gateway, *command: str, stdin: str = "", cwd: Path | None = None, **environ: str
) -> str:
    """What the command says on standard error; its end must be a good one."""
    done = subprocess.run(
        command,
        cwd=cwd or server.folder,
        input=stdin,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def events(server: Gateway) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/events", headers={"X-Session-Token": server.token}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)["events"]


def on_this_port(server: Gateway, code: str) -> str:
    return code.replace("127.0.0.1:3000", f"127.0.0.1:{server.port}")


@pytest.mark.slow
def test_tell_publishes_what_it_is_given_and_never_fails(server: Gateway) -> None:
    assert run(server, "sh", "-c", TOLD) == ""
    (event,) = events(server)
    assert event["type"] == "agent.tool_called"
    assert (event["data"]["summary"], event["metadata"]) == ("make test", {"agent": "Ada"})
    assert "400" in run(server, "sh", "tell.sh", "agent.nothing", stdin="{}")
    (server.folder / "elsewhere").mkdir()
    shutil.copy(server.folder / "tell.sh", server.folder / "elsewhere")
    command = ["sh", str(server.folder / "elsewhere/tell.sh"), "agent.message"]
    lost = subprocess.run(command, input="{}", capture_output=True, text=True, timeout=PATIENCE_S)
    assert (lost.returncode, "no .sightline in" in lost.stderr) == (1, True)
    shutil.copytree(server.folder / ".sightline", server.folder / "elsewhere/.sightline")
    left = server.folder / "elsewhere/.sightline/gateway.url"  # the other one would come back
    left.write_text("http://127.0.0.1:1")
    assert "curl" in run(server, *command, stdin='{"content":"x"}')
    left.unlink()
    assert "no gateway runs in" in run(server, *command, stdin='{"content":"x"}')
    assert len(events(server)) == 1


@pytest.mark.slow
def test_pythons_logging_publishes_errors_and_goes_on_without_a_gateway(server: Gateway) -> None:
    script = LOGGING + "logging.getLogger().warning('not told')\n"
    run(server, sys.executable, "-c", script)
    (event,) = events(server)
    assert (event["type"], event["metadata"]["source"]) == ("system.error", "logging")
    assert event["data"] == {
        "message": "no answer from the bank",
        "code": "ERROR",
        "component": "payments",
    }
    nowhere = run(server, sys.executable, "-c", script, SIGHTLINE_URL="http://127.0.0.1:1")
    assert "1 emitted events are lost" in nowhere
    assert len(events(server)) == 1


@pytest.mark.slow
def test_a_git_hook_publishes_a_commit_of_another_repository(
    server: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository = tmp_path_factory.mktemp("repository")

    def git(*arguments: str) -> str:
        identity = ["-c", 'user.name=Ada "L" B', "-c", "user.email=ada@example.org"]
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
        return done.stderr

    git("init", "-q")
    hook = repository / ".git/hooks/post-commit"
    hook.write_text(GIT)
    hook.chmod(0o755)
    (repository / "a.txt").write_text("a")
    git("add", ".")
    said = git("commit", "-qm", "before it was told where")
    assert "run git config sightline.gateway /path/to/gateway" in said
    assert "Traceback" not in said
    git("config", "sightline.gateway", str(server.folder))
    name = "b\u2028 \u00e9.txt"
    (repository / name).write_text("b")
    git("add", ".")
    git("commit", "-qm", 'Say "hello" \\ once\u2028now\n\nAnd more.')
    (event,) = events(server)
    data = event["data"]
    assert (data["message"], data["author"]) == ('Say "hello" \\ once\u2028now', 'Ada "L" B')
    assert data["files_changed"] == [name]
    assert re.fullmatch(r"[0-9a-f]{40}", data["commit_hash"])


@pytest.mark.slow
def test_a_webhook_turns_a_signed_push_into_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    (tmp_path / "hooks.py").write_text(WEBHOOK)
    commit = {"id": "9f1c2ab", "message": "m", "author": {"name": "Ada"}, "added": ["a"]}
    push = {
        "repository": {"full_name": "ada/engine"},
        "commits": [{**commit, "modified": ["b"], "removed": []}] * 2,
    }
    body = json.dumps(push).encode()
    digest = hmac.digest(SECRET.encode(), body, "sha256").hex()
    with gateway(tmp_path, "hooks:create_app") as server:

        def call(signature: str) -> int:
            request = urllib.request.Request(
                f"http://127.0.0.1:{server.port}/hooks/push",
                body,
                {"Content-Type": "application/json", "X-Hub-Signature-256": signature},
            )
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code

        assert [call(f"sha256={digest}"), call("sha256=00"), call("é")] == [201, 403, 403]
        told = events(server)
    assert [event["type"] for event in told] == ["git.commit_created"] * 2
    assert told[0]["data"]["files_changed"] == ["a", "b"]
    assert told[0]["metadata"] == {"source": "ada/engine"}


@pytest.mark.slow
def test_a_cloudevent_is_received_where_no_websocket_passes(server: Gateway) -> None:
    listen = ["bash", "-c", "exec " + on_this_port(server, STREAM)]
    with running(listen, server.folder) as listener:
        line_with(listener, "connected")
        done = subprocess.run(
            ["bash", "-c", on_this_port(server, CLOUDEVENT)],
            cwd=server.folder,
            capture_output=True,
            timeout=PATIENCE_S,
            check=True,
        )
        assert json.loads(done.stdout)["sequence_number"] == 1
        event = json.loads(line_with(listener, "workflow.failed").removeprefix("data: "))
    assert event["data"]["step_name"] == "compile"
    assert event["metadata"]["source"] == "/ci/nightly"


@pytest.mark.slow
def test_a_cloudevent_of_the_python_sdk_is_taken_as_it_is(server: Gateway) -> None:
    assert run(server, sys.executable, "-c", CLOUDEVENT_SDK) == ""
    (event,) = events(server)
    assert event["type"] == "workflow.started"
    assert event["metadata"]["cloudevent"]["id"] == "b-18"


def test_no_recipe_for_python_is_longer_than_ten_lines() -> None:
    for recipe in (LOGGING, CLOUDEVENT_SDK, OPENAI_AGENTS, LANGCHAIN):
        assert len([line for line in recipe.splitlines() if line.strip()]) <= 10
