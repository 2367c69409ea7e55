"""What was found: kept as JSON in `build/`, a scenario at a time, and summed up."""

import math
import os
import platform
import statistics
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.peers import BUN, BUN_VERSION, ROOT
from benchmarks.reader import Figures

FILE = ROOT / "build" / "benchmarks.json"
PACKAGES = ("litestar", "uvicorn", "websockets", "msgspec", "fastapi")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison's runs."""

    scenario: str
    label: str
    runs: dict[str, list[Figures]]

    @property
    def first(self) -> str:
        return next(iter(self.runs))

    def values(self, contender: str, figure: str) -> list[float]:
        return [run[figure] for run in self.runs[contender]]

    def median(self, contender: str, figure: str) -> float:
        return statistics.median(self.values(contender, figure))

    def ratio(self, contender: str, figure: str) -> float:
        """The first contender's figure over this one's: the median of the ratios run by run."""
        ours, theirs = self.values(self.first, figure), self.values(contender, figure)
        # nothing can be measured of a few idle connections
        return statistics.median(
            a / b if b else math.inf for a, b in zip(ours, theirs, strict=True)
        )


class Results(msgspec.Struct, kw_only=True):
    """All results, with the machine that they were measured on."""

    machine: dict[str, str]
    results: list[Result] = []
    profile: dict[str, dict[str, float]] = {}  # clients, function: share of the CPU time

    def of(self, scenario: str) -> list[Result]:
        return [result for result in self.results if result.scenario == scenario]

    def replace(self, scenario: str, found: list[Result]) -> None:
        """Keep `found` in place of what was known of its scenario."""
        self.results = [result for result in self.results if result.scenario != scenario] + found


def load(path: Path = FILE) -> Results:
    """What earlier runs found, or nothing yet."""
    if not path.exists():
        return Results(machine=machine())
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path = FILE) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)))


def machine() -> dict[str, str]:
    """What figures depend on: processor, kernel, versions."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if BUN.exists():
        found["Bun"] = BUN_VERSION
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
