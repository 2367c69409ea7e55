"""The benchmark of all attacks at once, for some seconds: what it counts, not what it times."""

import re
import subprocess
import sys

import pytest

from tests.kit.processes import ROOT

PART = re.compile(r"^\d+ of 10: (\d+) MiB, (\d+) descriptors, (\d+) events", re.M)


@pytest.mark.attack
def test_all_attacks_at_once_leave_memory_flat_and_a_client_served() -> None:
    command = [sys.executable, "-m", "benchmarks.attacks", "--minutes", "0.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    parts = [tuple(map(int, part)) for part in PART.findall(done.stdout)]
    assert len(parts) == 10, done.stdout + done.stderr  # an event arrived in each part
    memory = [mib for mib, _, _ in parts]
    assert memory[-1] < max(1.2 * memory[4], memory[4] + 16)
    assert max(descriptors for _, descriptors, _ in parts) < 2300
    assert "Traceback" not in done.stderr
    assert len(re.findall(r"^.+: [1-9]\d* connections$", done.stdout, re.M)) == 16
