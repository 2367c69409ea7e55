"""`make bench`, or `python -m benchmarks [SCENARIO ...]`; `report` and `profile` come after it."""

import argparse
import resource
import sys

from benchmarks import profile, report
from benchmarks.peers import TITLES, missing
from benchmarks.results import Result, load, machine, save
from benchmarks.runner import measure
from benchmarks.scenarios import FULL, QUICK, SCENARIOS

COMMANDS = {"report": report.write, "profile": profile.write}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Parse `given`, or the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        choices=[*SCENARIOS, *COMMANDS, []],
        metavar="SCENARIO",
        help=f"any of {', '.join(SCENARIOS)} (default: all); or `profile`: where the gateway's"
        " time goes; or `report`: write what was found into docs/performance.md",
    )
    parser.add_argument("--quick", action="store_true", help="see that the suite works; no figures")
    parser.add_argument("--runs", type=int, help=f"runs of each contender (default {FULL.runs})")
    parser.add_argument("--peers", default=",".join(TITLES), help="default %(default)s")
    return parser.parse_args(given)


def present(names: list[str], may_install: bool) -> list[str]:
    """The peers that can be measured here; prints the reason for each of the others."""
    found = []
    for peer in names:
        if why := missing(peer, may_install):
            print(f"{peer}: skipped, {why}")
        else:
            found.append(peer)
    return found


def main() -> None:
    """Measure, print each comparison as it is done, keep it."""
    chosen = arguments()
    sys.stdout.reconfigure(line_buffering=True)
    for name, command in COMMANDS.items():
        if name in chosen.what:
            command()
            return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    scale = QUICK if chosen.quick else FULL
    peers = present(chosen.peers.split(","), may_install=not chosen.quick)
    results = load()
    results.machine = machine()
    for scenario in chosen.what or SCENARIOS:
        found = []
        for comparison in SCENARIOS[scenario](scale, peers):
            runs = measure(comparison, chosen.runs or scale.runs, scale.attempts)
            result = Result(scenario=scenario, label=comparison.label, runs=runs)
            report.show(result)
            found.append(result)
        if not chosen.quick:
            results.replace(scenario, found)
            save(results)


if __name__ == "__main__":
    main()
