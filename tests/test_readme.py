"""Every example of the README, run against a real gateway."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.snippets import ROOT, snippets
from tests.waiting import WATCHDOG_S

FENCES = snippets("README.md", "sh bash console bash json json js python python")
PATIENCE_S = WATCHDOG_S
(
    COMMANDS,
    TERMINAL,
    TRANSCRIPT,
    CURL,
    CURL_OUTPUT,
    TERMINAL_OUTPUT,
    BROWSER,
    LISTEN,
    SERVICE,
) = range(9)


class Gateway:
    """A `litestar run` in a folder of its own."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.port = port
        self.process = process

    @property
    def token(self) -> str:
        return (self.folder / ".sightline/session.token").read_text().strip()

    def example(self, index: int) -> str:
        code = FENCES[index].replace("127.0.0.1:3000", f"127.0.0.1:{self.port}")
        return code.replace(".venv/bin/python", sys.executable)

    def terminal(self, query: str = "") -> list[str]:
        """The terminal's example, which ends by calling the function that it defines."""
        return ["bash", "-c", self.example(TERMINAL).rstrip() + f" '{query}'"]

    def curl(self) -> str:
        command = ["bash", "-c", self.example(CURL)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=PATIENCE_S)
        return done.stdout.decode()

    def post(self, path: str) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            b"",
            {"X-Session-Token": self.token},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()


@contextmanager
def running(command: list[str], folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended, and killed if the test hangs."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(4 * PATIENCE_S, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # also what a shell has started
        process.wait()
        watchdog.cancel()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def gateway(
    folder: Path, app: str = "sightline:create_app", workspace: str = ""
) -> Iterator[Gateway]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "litestar", "--app", app, "run", "--port", str(port)]
    environ = {"SIGHTLINE_WORKSPACE": workspace, "PYTHONPATH": str(ROOT)}
    with running(command, folder, **environ) as process:
        until(process, "Serving http")  # then the address stands in its file too
        yield Gateway(folder, port, process)


def until(process: subprocess.Popen[str], text: str) -> str:
    """The first line of output that holds `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"the example ended without {text!r}")


def shape(message: object) -> object:
    """The names in a message, without their values."""
    return {k: shape(v) for k, v in message.items()} if isinstance(message, dict) else None


def test_terminal_and_curl(tmp_path: Path) -> None:
    with gateway(tmp_path) as server, running(server.terminal(), tmp_path) as terminal:
        shown = [json.loads(until(terminal, "connected"))]
        answered = json.loads(server.curl())
        shown.append(json.loads(until(terminal, "workflow.started")))
    assert shown[1]["sequence_number"] == answered["sequence_number"] == 1
    assert shape(answered) == shape(json.loads(FENCES[CURL_OUTPUT]))
    printed = FENCES[TERMINAL_OUTPUT].splitlines()
    assert list(map(shape, shown)) == [shape(json.loads(line)) for line in printed]


def test_transcript(tmp_path: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def commit(message: str) -> None:
        run("git", "add", ".")
        run("git", "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-qm", message)

    note = tmp_path / "notes.txt"
    run("git", "init", "-q")
    with gateway(tmp_path, workspace=".") as server:
        until(server.process, "_watched")
        until(server.process, "_watched")
        with running(server.terminal(), tmp_path) as terminal:
            connected = json.loads(until(terminal, "connected"))
            note.write_text("Remember the milk\n")
            seen = [until(terminal, "file.created")]
            commit("Add a note")
            seen.append(until(terminal, "git.commit_created"))
        with running(server.terminal("?types=*"), tmp_path) as other:
            until(other, "connected")
            note.write_text("Remember the milk\nBuy bread, too\n")
            until(other, "file.modified")
            commit("Bread")
            until(other, "git.commit_created")
            note.unlink()
            until(other, "file.deleted")
        query = f"?epoch={connected['epoch']}&last_sequence_number=2"
        with running(server.terminal(query), tmp_path) as terminal:
            seen += [until(terminal, f'"sequence_number":{number},"data"') for number in (3, 4, 5)]
    printed = [line for line in FENCES[TRANSCRIPT].splitlines() if '"data":' in line]
    assert list(map(steady, seen)) == list(map(steady, printed))


def steady(line: str) -> dict[str, Any]:
    """An event without what differs from run to run."""
    event = json.loads(line)
    del event["timestamp"]
    event["data"].pop("commit_hash", None)
    return event


def test_python_listener(tmp_path: Path) -> None:
    with (
        gateway(tmp_path) as server,
        running([sys.executable, "-c", server.example(LISTEN)], tmp_path) as listener,
    ):
        until(server.process, "client_connected")
        server.curl()
        assert until(listener, "workflow.started").startswith("1 ")


def test_browser_page(tmp_path: Path) -> None:
    node = shutil.which("node")
    probe = ["--experimental-websocket", "-e", "process.exit(+(typeof WebSocket === 'undefined'))"]
    if node is None or subprocess.run([node, *probe], capture_output=True).returncode:
        pytest.skip("needs a node that has WebSocket")
    with gateway(tmp_path) as server:
        page = f"globalThis.prompt = () => '{server.token}';\n" + server.example(BROWSER)
        with running([node, "--experimental-websocket", "-e", page], tmp_path) as browser:
            until(browser, "connected")
            server.curl()
            until(browser, "workflow.started")


def test_service(tmp_path: Path) -> None:
    (tmp_path / "stories.py").write_text(FENCES[SERVICE])
    with (
        gateway(tmp_path, "stories:create_app") as server,
        running(server.terminal(), tmp_path) as terminal,
    ):
        until(terminal, "connected")
        server.post("/stories/s1/finish")
        event = json.loads(until(terminal, "state.story_transitioned"))
    assert event["data"] == {"story_id": "s1", "from_state": "todo", "to_state": "done"}
