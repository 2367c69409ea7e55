"""`litestar` finds the gateway from any folder that holds no application of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.state import write_private


def litestar(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("LITESTAR_", "SIGHTLINE_"))}
    return subprocess.run(
        [sys.executable, "-m", "litestar", *words],
        cwd=folder,
        env=environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_an_empty_folder_runs_the_gateway_on_its_own_port(tmp_path: Path) -> None:
    assert "3000" in litestar(tmp_path, "run", "--help").stdout


@pytest.mark.slow
def test_a_bad_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    done = litestar(tmp_path, "run", SIGHTLINE_QUEUE_SIZE="many")
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "SIGHTLINE_QUEUE_SIZE" in lines[0]
    assert "'many'" in lines[0]


@pytest.mark.slow
def test_the_token_command_prints_the_token_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".sightline").mkdir()
    write_private(tmp_path / ".sightline" / "session.token", "a-token-of-this-folder")
    assert litestar(tmp_path, "token").stdout == "a-token-of-this-folder\n"


@pytest.mark.slow
def test_the_token_command_says_when_no_gateway_ran_here(tmp_path: Path) -> None:
    done = litestar(tmp_path, "token")
    assert done.returncode == 1
    assert "start the gateway in this folder first" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_several_workers_and_reload_are_refused_with_the_reason_and_the_remedy(
    tmp_path: Path,
) -> None:
    for option in (["--wc", "2"], ["--reload"]):
        done = litestar(tmp_path, "run", *option)
        assert done.returncode == 1
        said = " ".join(done.stderr.replace("│", " ").split())
        assert "a gateway is exactly one process" in said
        assert "omit" in said
