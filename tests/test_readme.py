"""Every example of the README, run against a real gateway, and what tests of other pages share."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.waiting import WATCHDOG_S
from tests.snippets import ROOT, snippets

FENCES = snippets("README.md", "sh bash bash bash json console")
PATIENCE_S = WATCHDOG_S
COMMANDS, TAIL, PUBLISH, CURL, ANSWER, TRANSCRIPT = range(6)


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
        return code.replace(".venv/bin/", f"{Path(sys.executable).parent}/")

    def terminal(self, options: str = "--json") -> list[str]:
        """The README's listener, with options of `sightline events tail`."""
        return ["bash", "-c", f"exec {self.example(TAIL).rstrip()} {options}"]

    def publish(self) -> str:
        command = ["bash", "-c", self.example(PUBLISH)]
        return subprocess.check_output(command, cwd=self.folder, text=True, timeout=PATIENCE_S)

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


def test_one_event_in_one_event_out_and_a_resume(tmp_path: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    note = tmp_path / "notes.txt"
    run("git", "init", "-q")
    with gateway(tmp_path, workspace=".") as server:
        until(server.process, "_watched")
        until(server.process, "_watched")
        with running(server.terminal(""), tmp_path) as tail:
            shown = [until(tail, "connected")]
            published = json.loads(server.publish())
            shown.append(until(tail, "workflow.started"))
            answered = json.loads(server.curl())
            shown.append(until(tail, "workflow.started"))
            note.write_text("Remember the milk\n")
            shown.append(until(tail, "file.created"))
            run("git", "add", ".")
            run("git", "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-qm", "Add a note")
            shown.append(until(tail, "git.commit_created"))
        note.unlink()
        with running(server.terminal("--since 4"), tmp_path) as tail:
            shown += [until(tail, "connected"), until(tail, "file.deleted")]
        printed = [line for line in server.example(TRANSCRIPT).splitlines() if line[0] not in "$^"]
    assert [published["sequence_number"], answered["sequence_number"]] == [1, 2]
    assert published.keys() == answered.keys() == json.loads(FENCES[ANSWER]).keys()
    assert list(map(steady, shown)) == list(map(steady, printed))


def steady(line: str) -> str:
    """A printed line without what differs from run to run: the time and the commit's hash."""
    return re.sub(r"^[\d:.]{12}|(?<=hash=)[0-9a-f]+", "", line.rstrip())
