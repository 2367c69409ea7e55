"""The benchmark suite works: its counting is right, and every scenario runs."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import arguments
from benchmarks.events import Order, feed
from benchmarks.readings import Check, Count, Drain, Reading, Time, frame_at
from benchmarks.report import PAGE, TABLES, fan_out, filters, loops, paced, pythons
from benchmarks.results import Result, Results
from benchmarks.scenarios import SCENARIOS
from benchmarks.shapes import file_of, file_of_tool_calls
from tests.snippets import snippets

ROOT = Path(__file__).parent.parent
Pair = tuple[socket.socket, socket.socket]


def frame(number: int, filler: str = "") -> bytes:
    """One unmasked text frame with an event in it."""
    data = {"sent": 1, "filler": filler}
    event = {"type": "bench.t0000", "sequence_number": number, "data": data, "metadata": {}}
    text = json.dumps(event, separators=(",", ":")).encode()
    size = len(text)
    if size < 126:
        return bytes([0x81, size]) + text
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + text
    return b"\x81\x7f" + size.to_bytes(8) + text


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A TCP connection: only that drops bytes at MSG_TRUNC."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


def feed_in_parts(
    pair: Pair, make: Callable[[socket.socket], Reading], parts: list[bytes]
) -> Reading:
    near, far = pair
    reading = make(far)
    for part in parts:
        near.sendall(part)
        left = len(part)
        while left:
            left -= reading.read()
    return reading


@pytest.mark.parametrize("make", [Count, Check, Time])
def test_events_are_counted_right_wherever_the_stream_is_cut(
    pair: Pair, make: Callable[[socket.socket], Count | Check | Time]
) -> None:
    stream = frame(9) + frame(10, "x" * 200) + frame(11)
    for cut in range(1, len(stream)):
        reading = feed_in_parts(pair, make, [stream[:cut], stream[cut:]])
        assert (reading.events, reading.bytes) == (3, len(stream))


def test_the_first_and_the_last_number_are_those_that_came(pair: Pair) -> None:
    stream = b"".join(frame(number) for number in range(98, 103))
    for cut in range(1, len(stream)):
        reading = feed_in_parts(pair, Count, [stream[:cut], stream[cut:]])
        assert (reading.first, reading.last, reading.gaps) == (98, 102, 0)


def test_what_came_with_the_greeting_counts(pair: Pair) -> None:
    near, far = pair
    reading = Count(far, frame(1) + frame(2)[:30])
    near.sendall(frame(2)[30:])
    reading.read()
    assert (reading.events, reading.first, reading.last) == (2, 1, 2)


def test_a_gap_is_seen(pair: Pair) -> None:
    gap = b'\x81\x10{"type":"gap" }'
    for cut in range(1, len(gap)):
        assert feed_in_parts(pair, Count, [frame(1), gap[:cut], gap[cut:]]).gaps == 1


def test_a_missing_number_fails_the_check(pair: Pair) -> None:
    with pytest.raises(SystemExit, match="number 3 came after 1"):
        feed_in_parts(pair, Check, [frame(1), frame(3)])


@pytest.mark.parametrize("make", [Drain, Count, Check, Time])
def test_a_server_that_closes_fails_the_run(
    pair: Pair, make: Callable[[socket.socket], Reading]
) -> None:
    near, far = pair
    near.close()
    with pytest.raises(ConnectionError):
        make(far).read()


def test_drained_bytes_are_counted(pair: Pair) -> None:
    assert feed_in_parts(pair, Drain, [frame(1), frame(2, "x" * 70_000)]).bytes == len(
        frame(1) + frame(2, "x" * 70_000)
    )


@pytest.mark.parametrize("size", [0, 125, 126, 70_000])
def test_a_frame_is_found_once_it_is_all_there(size: int) -> None:
    whole = frame(1, "x" * size)
    start, end = frame_at(whole, 0) or (0, 0)
    assert json.loads(whole[start:end])["sequence_number"] == 1
    assert end == len(whole)
    for cut in (0, 1, 2, 3, start, end - 1):
        assert frame_at(whole[:cut], 0) is None


@pytest.mark.parametrize("shape", ["flat", "nested"])
@pytest.mark.parametrize("size", [150, 1024, 65536])
def test_data_has_the_size_that_was_ordered_and_paced_data_the_time(shape: str, size: int) -> None:
    file = file_of(shape, size)
    _, data, _ = next(feed(Order(file=file)))
    assert len(json.dumps(data, separators=(",", ":"))) == size
    _, timed, _ = next(feed(Order(file=file, rate=1000)))
    assert isinstance(timed.pop("sent"), int)
    assert timed == data


def test_tool_calls_are_those_that_recorded_agents_sent() -> None:
    lines = Path(file_of_tool_calls()).read_text().splitlines()
    types = {json.loads(line)["type"] for line in lines}
    assert types == {"agent.tool_called", "agent.tool_finished"}


def test_recorded_events_go_round(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    line = '{"type":"file.created","timestamp":"","data":{"path":"%s"},"metadata":{}}\n'
    file.write_text(line % "a" + line % "b")
    events = feed(Order(file=str(file)))
    assert [next(events)[1]["path"] for _ in range(3)] == ["a", "b", "a"]


def test_ratios_are_taken_run_by_run() -> None:
    runs = {
        "Sightline": [
            {"deliveries_per_s": 1e6},
            {"deliveries_per_s": 2e6},
            {"deliveries_per_s": 9e6},
        ],
        "other": [{"deliveries_per_s": 1e5}, {"deliveries_per_s": 1e5}, {"deliveries_per_s": 3e5}],
    }
    results = Results(machine={}, results=[Result(scenario="fan-out", label="1000", runs=runs)])
    assert fan_out(results).splitlines()[-1] == "| 1,000 | 2,000 | 100 (20x) |"


def test_filters_show_what_more_of_them_cost() -> None:
    runs = {"1": [{"deliveries_per_s": 3e6}], "100": [{"deliveries_per_s": 2e6}]}
    results = Results(machine={}, results=[Result(scenario="filters", label="9", runs=runs)])
    assert filters(results).splitlines()[-1] == "| 100 | 2,000 | 1.5x |"


def test_paced_runs_show_latency_and_cpu() -> None:
    run = {"events_per_s": 1000.0, "p50_ms": 0.5, "p99_ms": 1.25, "server_cpu": 0.256}
    results = Results(
        machine={}, results=[Result(scenario="paced", label="10", runs={"Sightline": [run]})]
    )
    assert paced(results).splitlines()[-1] == "| 10 | Sightline | 1,000 | 0.5 | 1.25 | 26% |"


def test_the_commands_of_the_page_are_commands() -> None:
    (fence,) = snippets("docs/performance.md", "sh")
    commands = re.findall(r"^\.venv/bin/python -m benchmarks ([a-z -]+[a-z])", fence, re.M)
    assert [arguments(command.split()).what for command in commands] == [
        ["fan-out", "paced"],
        ["profile"],
        ["report"],
    ]


def test_the_page_has_a_place_for_every_table() -> None:
    marks = re.findall(r"^<!-- (.+) -->$", PAGE.read_text(), re.M)
    assert marks == [mark for name in TABLES for mark in (name, "end")]


@pytest.mark.attack
def test_every_scenario_runs_and_a_peer_that_is_not_here_is_named(tmp_path: Path) -> None:
    recorded = tmp_path / "events.jsonl"
    recorded.write_text('{"type":"file.deleted","data":{"path":"a"},"metadata":{}}\n' * 10)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--peers", "gateway,broadcast,bun"],
        cwd=ROOT,
        env={**os.environ, "SIGHTLINE_BENCH_EVENTS": str(recorded), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    shown = {line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert shown - {"bun:"} == set(SCENARIOS)


@pytest.mark.attack
def test_every_part_of_the_journals_benchmark_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.journal", "--quick", "publish", "file", "bounds"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert {line.split(":")[0] for line in done.stdout.splitlines() if line[0] != " "} == {
        "publish",
        "file",
        "bounds",
    }


def test_pythons_and_loops_have_a_row_for_each_build() -> None:
    pure, compiled = {"nested_us": 8.0, "flat_us": 6.0}, {"nested_us": 6.0, "flat_us": 4.0}
    cost = Result(scenario="pythons", label="3.11", runs={"pure": [pure], "compiled": [compiled]})
    runs = {"asyncio": [{"deliveries_per_s": 2e6}], "uvloop": [{"deliveries_per_s": 1e6}]}
    speeds = [Result(scenario="loops", label=label, runs=runs) for label in ("10", "100")]
    results = Results(machine={}, results=[cost, *speeds])
    assert pythons(results).splitlines()[-1] == "| 3.11, compiled | 6 | 4 | 0.75x |"
    assert loops(results).splitlines()[-1] == "| uvloop | 1,000 | 1,000 |"


@pytest.mark.attack
def test_the_benchmark_of_loops_measures_both_builds_and_changes_no_page() -> None:
    before = PAGE.read_text()
    command = [sys.executable, "-m", "benchmarks.loops", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stderr
    version = "{}.{}".format(*sys.version_info)
    assert done.stdout.count(f"{version} pure: ") == 1
    if shutil.which("cc"):
        assert done.stdout.count(f"{version} compiled: ") == 1
        assert done.stdout.count("asyncio, compiled: ") == 2
    assert done.stdout.count("asyncio: ") == 2
    assert PAGE.read_text() == before


@pytest.mark.slow
def test_the_benchmark_of_hooks_gets_every_answer_and_counts_every_event() -> None:
    command = [sys.executable, "-m", "benchmarks.hooks"]
    options = ["--seconds", "0.4", "--sessions", "5", "--rate", "50"]
    done = subprocess.run(command + options, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if "connections" in line]
    assert [re.search(r"connections +(\d+)", row)[1] for row in rows] == ["20"] * 4
    assert "missing" not in done.stdout


@pytest.mark.slow
def test_the_benchmark_of_posts_measures_all_three_servers() -> None:
    command = [sys.executable, "-m", "benchmarks.http_publish", "--runs", "1", "--seconds", "0.1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for server in ("bare route", "gateway  ", "gateway, journal"):
        assert done.stdout.count(server) == 3


@pytest.mark.slow
def test_the_benchmark_of_held_turns_gets_the_answer_that_each_request_deserves() -> None:
    command = [sys.executable, "-m", "benchmarks.held", "--runs", "1", "--retained", "500"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    statuses = [line.split()[-1] for line in done.stdout.splitlines()[1:]]
    assert statuses == [*["413"] * 4, "400", "413", "400", "201", "101", "200"]
