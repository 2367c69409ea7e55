"""Every example of clients/python/README.md and docs/terminal.md, run against a real gateway."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.processes import PATIENCE_S, line_with, running
from tests.kit.readme import Gateway, gateway
from tests.kit.waiting import lines_of_file
from tests.snippets import ROOT, snippets

README = snippets("clients/python/README.md", "sh python python python python")
TERMINAL = snippets("docs/terminal.md", "bash bash bash bash bash")
INSTALL, LISTEN, PAST, PUBLISH, SYNC = range(5)
ENVIRON = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path) as server:
        yield server


def python(server: Gateway, example: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", README[example]],
        cwd=server.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def bash(server: Gateway, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-ec", line],
        cwd=server.folder,
        env={**os.environ, **ENVIRON},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.slow
def test_the_client_installs_from_its_folder_typed(tmp_path: Path) -> None:
    assert README[INSTALL] == "pip install ./clients/python\n"
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run(
        [sys.executable, "-m", "pip", *build, "./clients/python"], cwd=ROOT, check=True, timeout=120
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"sightline_client/py.typed", "sightline_client/events.py"} <= names


@pytest.mark.slow
def test_listening_and_publishing_from_python(server: Gateway) -> None:
    with running([sys.executable, "-c", README[LISTEN]], server.folder) as listener:
        line_with(server.process, "client_connected")
        printed = python(server, PUBLISH).splitlines()
        assert printed[0] == "1"
        assert "workflow_name" in printed[1]
        assert line_with(listener, "started") == "started: nightly-build\n"
        assert line_with(listener, "workflow.failed").startswith("2 workflow.failed {'workflow_id'")
        assert line_with(listener, "workflow.finished").startswith("3 ")


@pytest.mark.slow
def test_reading_the_past_and_going_on(server: Gateway) -> None:
    python(server, SYNC)
    with running([sys.executable, "-c", README[PAST]], server.folder) as reader:
        assert "Run the tests." in line_with(reader, "chat.message_sent")
        assert line_with(reader, "match") == "1 events match\n"
        line_with(server.process, "client_connected")
        python(server, SYNC)
        assert line_with(reader, "Event(").startswith("Event(data=ChatMessageSent(")


@pytest.mark.slow
def test_the_synchronous_flavour(server: Gateway) -> None:
    assert python(server, SYNC).startswith("chat.message_sent {'role': 'user'")


@pytest.mark.slow
def test_publishing_and_then_tailing_from_a_terminal(server: Gateway) -> None:
    everything, patterns, piped = TERMINAL[0].splitlines()
    with (
        running(["bash", "-c", f"exec {everything}"], server.folder, **ENVIRON) as all_events,
        running(["bash", "-c", f"exec {patterns}"], server.folder, **ENVIRON) as some,
    ):
        line_with(server.process, "client_connected")
        line_with(server.process, "client_connected")
        for command in (TERMINAL[1] + TERMINAL[2]).splitlines():
            done = bash(server, command)
            assert done.returncode == 0, (command, done.stderr)
        assert " #1 chat.message_sent " in line_with(all_events, "chat")
        assert " #5 file.created path=b.txt" in line_with(all_events, "b.txt")
        assert " #2 workflow.step_completed workflow_id=wf-42 " in line_with(some, "step")
    first = bash(server, piped)
    assert (first.returncode, '"sequence_number":1,' in first.stdout) == (0, True)


@pytest.mark.slow
def test_recording_and_replaying(server: Gateway) -> None:
    record, *replays = TERMINAL[3].splitlines()
    publish = TERMINAL[1].splitlines()[0]
    with running(["bash", "-c", f"exec {record}"], server.folder, **ENVIRON) as recorder:
        line_with(recorder, "recording to session.jsonl")
        bash(server, publish)
        lines_of_file(server.folder / "session.jsonl", 1)
        recorder.send_signal(signal.SIGINT)
        line_with(recorder, "recorded 1 events")
    for replay in replays:
        done = bash(server, replay)
        assert "replayed 1 of 1 events" in done.stderr, done.stderr
    for command in TERMINAL[4].splitlines():
        done = bash(server, command)
        assert done.returncode == 0, (command, done.stderr)
    assert len(lines_of_file(server.folder / "past.jsonl", 3)) == 3
