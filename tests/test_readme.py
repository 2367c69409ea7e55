"""Every example of the README, run against a real gateway."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.kit.processes import line_with, running
from tests.kit.readme import ANSWER, FENCES, TRANSCRIPT, gateway


@pytest.mark.slow
def test_one_event_in_one_event_out_and_a_resume(tmp_path: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    note = tmp_path / "notes.txt"
    run("git", "init", "-q")
    with gateway(tmp_path, workspace=".") as server:
        line_with(server.process, "_watched")
        line_with(server.process, "_watched")
        with running(server.terminal(""), tmp_path) as tail:
            shown = [line_with(tail, "connected")]
            published = json.loads(server.publish())
            shown.append(line_with(tail, "workflow.started"))
            answered = json.loads(server.curl())
            shown.append(line_with(tail, "workflow.started"))
            note.write_text("Remember the milk\n")
            shown.append(line_with(tail, "file.created"))
            run("git", "add", ".")
            run("git", "-c", "user.name=Ada", "-c", "user.email=a@b", "commit", "-qm", "Add a note")
            shown.append(line_with(tail, "git.commit_created"))
        note.unlink()
        with running(server.terminal("--since 4"), tmp_path) as tail:
            shown += [line_with(tail, "connected"), line_with(tail, "file.deleted")]
        printed = [line for line in server.example(TRANSCRIPT).splitlines() if line[0] not in "$^"]
    assert [published["sequence_number"], answered["sequence_number"]] == [1, 2]
    assert published.keys() == answered.keys() == json.loads(FENCES[ANSWER]).keys()
    assert list(map(steady, shown)) == list(map(steady, printed))


def steady(line: str) -> str:
    """A printed line without what differs from run to run: the time and the commit's hash."""
    return re.sub(r"^[\d:.]{12}|(?<=hash=)[0-9a-f]+", "", line.rstrip())
