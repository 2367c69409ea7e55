"""The benchmarks of many gateways: their sums are right, and they run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cluster import PAGE, TABLES, fill, publish_table
from benchmarks.million import Costs, Load, costs, plan, storm, tables
from benchmarks.results import Result, Results

ROOT = Path(__file__).parent.parent


def fan_out(clients: int, events_per_s: float) -> Result:
    runs = {"on NATS": [{"events_per_s": events_per_s}]}
    return Result(scenario="fan-out", label=str(clients), runs=runs)


@pytest.mark.slow
def test_the_page_of_scaling_has_a_place_for_every_table() -> None:
    marks = re.findall(r"^<!-- ([a-z-]+) -->$", PAGE.read_text(), re.M)
    names = [*TABLES, *tables(None, None)]
    assert sorted(marks) == sorted([*names, *["end"] * len(names)])


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = "a\n<!-- publish -->\nold\n<!-- end -->\nb\n"
    once = fill(page, {"publish": "| new |"})
    assert once == "a\n<!-- publish -->\n| new |\n<!-- end -->\nb\n"
    assert fill(once, {"publish": "| new |"}) == once


def test_the_ratio_to_nats_py_is_taken_run_by_run() -> None:
    runs = {
        "gateway": [{"publishes_per_s": 900.0}, {"publishes_per_s": 100.0}],
        "nats-py": [{"publishes_per_s": 1000.0}, {"publishes_per_s": 100.0}],
    }
    found = Results(machine={}, results=[Result(scenario="publish", label="1024", runs=runs)])
    assert publish_table(found).splitlines()[-1] == "| nats-py | 550 | 0.95x |"


def test_costs_are_those_that_were_measured_and_else_assumed() -> None:
    cluster = Results(machine={}, results=[fan_out(100, 1e6 / 130), fan_out(1000, 1e6 / 400)])
    found = costs(cluster, None)
    assert (found.batched_us, found.follow_us) == pytest.approx((0.3, 100))
    assert found.measured == {"batched_us", "follow_us"}
    assert costs(None, None) == Costs()


def test_a_plan_names_what_asks_for_the_most() -> None:
    quiet, busy = plan(Load(100, 0.01), Costs()), plan(Load(1000, 0.1), Costs())
    assert (quiet.gateways, quiet.bound) == (36, "ports")
    assert busy.bound == "sends"
    assert busy.gateways > quiet.gateways


@pytest.mark.slow
def test_after_a_storm_everybody_is_back_and_an_overload_takes_longer_than_its_work() -> None:
    easy, hard = storm(500, 1000.0), storm(30_000, 1000.0)
    assert easy.all_s < 1.5
    assert (easy.late, hard.late > 0) == (0, True)
    assert hard.all_s > 30


@pytest.mark.attack
def test_it_runs_on_a_real_nats_in_all_its_parts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", "--quick"],
        cwd=ROOT,
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    shown = [line.split()[0] for line in done.stdout.splitlines()]
    assert shown == ["publish"] * 2 + ["latency"] * 2 + ["fan-out"] * 3
