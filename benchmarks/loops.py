"""`make bench-loops`, or `python -m benchmarks.loops`: event loops, Pythons, compiled modules.

Fan-out is measured on this Python, what a publish costs on each newer one that is found too. The
tables go to docs/performance.md.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import report
from benchmarks.events import Order
from benchmarks.peers import COMPILED, LOOPS, ROOT, UVLOOP, wheel_of
from benchmarks.reader import Figures, Setup
from benchmarks.results import Result, load, save
from benchmarks.runner import Runs, measure
from benchmarks.scenarios import FULL, QUICK, Comparison

LOCKS = ("requirements.lock", "requirements-compile.lock")
NEWER = range(12, 20)


def pythons() -> Iterator[tuple[str, str]]:
    """This Python, and the newest patch of each newer minor release: version, and path."""
    yield "{}.{}".format(*sys.version_info), sys.executable
    for minor in NEWER:
        found = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        path = shutil.which(f"python3.{minor}")
        if minor > sys.version_info.minor and (found or path):
            yield f"3.{minor}", str(found[-1] if found else path)


def prepared(version: str, python: str) -> str:
    """The Python of an environment that has what the gateway and its compiler need."""
    if python == sys.executable:
        return python
    home = LOOPS / f"python{version}"
    own = str(home / "bin/python")
    if not (home / ".ready").exists():
        print(f"{version}: making {home.relative_to(ROOT)}, about 30 s")
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
        for lock in LOCKS:
            install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock]
            subprocess.run([own, *install], cwd=ROOT, check=True)
        (home / ".ready").touch()
    return own


def compiled(version: str, python: str) -> bool:
    """Compile the wheel for a Python; False, and why, where that cannot be done."""
    if shutil.which("cc") is None:
        print(f"{version}, compiled: skipped, there is no C compiler")
        return False
    folder = wheel_of(version)
    shutil.rmtree(folder, ignore_errors=True)
    build = [python, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder.parent)]
    environ = {"HATCH_BUILD_HOOKS_ENABLE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(build, cwd=ROOT, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"benchmarks: {version} cannot compile the wheel:\n{done.stderr[-2000:]}")
    (wheel,) = folder.parent.glob(f"*-cp{version.replace('.', '')}-*.whl")
    target = ["--quiet", "--no-index", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run([python, "-m", "pip", "install", *target], check=True)
    wheel.unlink()
    return True


def publish_cost(command: list[str], rounds: int) -> Figures:
    """Microseconds of CPU time of a publish to one direct client, in a process of its own."""
    command = [*command, "benchmarks.publish", "--rounds", str(rounds)]
    return json.loads(subprocess.check_output(command, cwd=ROOT))


def publishes(runs: int, rounds: int, quick: bool) -> list[Result]:
    """The cost of a publish on each Python, pure and compiled in turns."""
    results = []
    for version, path in list(pythons())[: 1 if quick else None]:
        python = prepared(version, path)
        ways = {"pure": [python, "-m"]}
        if compiled(version, python):
            runner = str(ROOT / "tests/kit/installed.py")
            ways["compiled"] = [python, runner, str(wheel_of(version))]
        found: Runs = {name: [] for name in ways}
        for _ in range(runs):
            for name, command in ways.items():
                found[name].append(publish_cost(command, rounds))
        results.append(Result(scenario="pythons", label=version, runs=found))
        for name in ways:
            figures = {one: results[-1].median(name, one) for one in ("nested_us", "flat_us")}
            print(f"{version} {name}: {json.dumps(figures)}")
    return results


def fan_outs(runs: int, seconds: float) -> list[Result]:
    """Fan-out of nested events to 10 and to 100 clients, on each loop, pure and compiled."""
    peers = {"asyncio": "gateway"}
    has_wheel = wheel_of("{}.{}".format(*sys.version_info)).exists()
    if has_wheel:
        peers["asyncio, compiled"] = f"gateway {COMPILED}"
    if importlib.util.find_spec("uvloop") is None:
        print("uvloop: skipped, it is not installed; `make bench-loops` installs it")
    else:
        peers["uvloop"] = f"gateway {UVLOOP}"
        if has_wheel:
            peers["uvloop, compiled"] = f"gateway {UVLOOP} {COMPILED}"
    results = []
    for clients in (10, 100):
        setups = {name: Setup(peer=peer, clients=clients) for name, peer in peers.items()}
        comparison = Comparison(
            scenario="loops",
            label=str(clients),
            kind="flat_out",
            order=Order(seconds=seconds),
            contenders=setups,
        )
        found = measure(comparison, runs, 3)
        results.append(Result(scenario="loops", label=str(clients), runs=found))
        report.show(results[-1])
    return results


def main() -> None:
    """Measure, print, keep, and write the two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it works; no figures")
    quick = parser.parse_args().quick
    sys.stdout.reconfigure(line_buffering=True)
    scale = QUICK if quick else FULL
    found = {
        "pythons": publishes(scale.runs, 2 if quick else 40, quick),
        "loops": fan_outs(scale.runs, scale.seconds),
    }
    if quick:
        return
    results = load()
    text = report.PAGE.read_text()
    for name, comparisons in found.items():
        results.replace(name, comparisons)
        text = report.fill(text, name, report.TABLES[name](results))
    save(results)
    report.PAGE.write_text(text)


if __name__ == "__main__":
    main()
