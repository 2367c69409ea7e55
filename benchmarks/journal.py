"""`make bench-journal`, or `python -m benchmarks.journal [PART ...]`: what the journal costs.

The figures are kept in `build/journal.json`; `report` writes them into docs/journal.md.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from app.journal.retention import size_on_disk
from benchmarks import journal_measures as measures
from benchmarks.events import Order
from benchmarks.peers import NO_JOURNAL, ROOT
from benchmarks.reader import Setup
from benchmarks.report import number, table
from benchmarks.results import machine
from benchmarks.runner import measure
from benchmarks.scenarios import Comparison

FILE = ROOT / "build" / "journal.json"
PAGE = ROOT / "docs" / "journal.md"
PLOT = ROOT / "docs" / "images" / "journal.svg"
Figures = dict[str, float]


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How large: all, or the quick look that its test takes."""

    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000, 5_000_000)
    clients: tuple[int, ...] = (10, 100, 1000)
    seconds: float = 3.0
    runs: int = 5
    publishes: int = 20_000
    peer_rows: int = 5000
    nats_rows: int = 50_000
    bounded_s: float = 60.0


FULL = Scale()
QUICK = Scale(
    sizes=(2000, 4000),
    clients=(2,),
    seconds=0.3,
    runs=1,
    publishes=1000,
    peer_rows=50,
    nats_rows=200,
    bounded_s=1.0,
)


def publish(scale: Scale) -> Figures:
    """One `publish` in the process."""
    return measures.publish(scale.publishes, scale.runs)


def fan_out(scale: Scale) -> Figures:
    """Deliveries and CPU of a gateway process with and without: 10,000 events/s, then flat out."""
    found: Figures = {}
    for clients in scale.clients:
        for kind, rate in (("paced", 10_000), ("flat_out", 0)):
            setups = {
                "with": Setup(peer="gateway", clients=clients),
                "without": Setup(peer=f"gateway {NO_JOURNAL}", clients=clients),
            }
            order = Order(seconds=scale.seconds, rate=rate, window=250 if rate else 128)
            runs = measure(
                Comparison(
                    scenario="journal",
                    label=str(clients),
                    kind=kind,
                    order=order,
                    contenders=setups,
                ),
                scale.runs,
                3,
            )
            pairs = zip(runs["with"], runs["without"], strict=True)
            ratios = [a["events_per_s"] / b["events_per_s"] for a, b in pairs]
            found[f"{kind} {clients} events_per_s"] = statistics.median(
                run["events_per_s"] for run in runs["with"]
            )
            found[f"{kind} {clients} ratio"] = statistics.median(ratios)
            for name in runs:
                found[f"{kind} {clients} cpu {name}"] = statistics.median(
                    run["server_cpu"] for run in runs[name]
                )
    return found


def file(scale: Scale) -> Figures:
    """One file that grows: rows a second, bytes, start-up, answers, and the live stream beside."""
    found: Figures = {}
    with measures.folder() as place:
        path, first, message_bytes = place / "journal.db", 1, 0.0
        for events in scale.sizes:
            grown = measures.grow(path, first, events)
            message_bytes += grown["message_bytes"]
            first = events + 1
            figures = {
                "rows_per_s": grown["rows_per_s"],
                "bytes_of_event": size_on_disk(path) / events,
                "of_message": size_on_disk(path) / message_bytes,
                **measures.start_up(path),
                **measures.answers(path, events, max(3, scale.runs)),
            }
            found |= {f"{events} {name}": value for name, value in figures.items()}
            print(f"  {events:,} events: " + shown(figures))
        found |= measures.live(path, 2 * scale.seconds, events)
    return found


def bounds(scale: Scale) -> Figures:
    """5,000 events a second into a journal of 16 MiB."""
    return measures.bounded(scale.bounded_s, 5000, 16 * 1024 * 1024)


def sqlalchemy(scale: Scale) -> Figures:
    """The rows of SQLAlchemy and aiosqlite, one commit an event."""
    return measures.sqlalchemy(scale.peer_rows)


def jetstream(scale: Scale) -> Figures:
    """The messages of NATS's file storage."""
    return measures.jetstream(scale.nats_rows)


PARTS: dict[str, Callable[[Scale], Figures]] = {
    "publish": publish,
    "fan-out": fan_out,
    "file": file,
    "bounds": bounds,
    "sqlalchemy": sqlalchemy,
    "jetstream": jetstream,
}


def shown(figures: Figures) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in figures.items())


def worst(figures: Figures, events: int, kind: str) -> float:
    """The slowest answer of a kind of question."""
    start = f"{events} {kind}"
    return max(value for name, value in figures.items() if name.startswith(start))


def by_size(found: dict[str, Figures]) -> str:
    """A row for each size of the file."""
    figures = found["file"]
    sizes = sorted({int(name.split()[0]) for name in figures if name[0].isdigit()})
    rows = [
        [
            f"{events:,}",
            *(number(figures[f"{events} {name}"]) for name in ("rows_per_s", "bytes_of_event")),
            f"{figures[f'{events} of_message']:.2f}x",
            number(figures[f"{events} start_ms"]),
            number(worst(figures, events, "history")),
            number(worst(figures, events, "search")),
        ]
        for events in sizes
    ]
    head = ["events", "rows stored/s", "bytes an event", "of its message", "start, ms"]
    return table([*head, "slowest page of 100, ms", "slowest search, ms"], rows)


def costs(found: dict[str, Figures]) -> str:
    """What the live stream pays, and what others take."""
    rows = []
    if one := found.get("publish"):
        added = one["publish_with_us"] - one["publish_us"]
        rows.append(
            ["one `publish` of 1 KB", f"{number(added)} µs more ({one['publish_ratio']:.2f}x)"]
        )
    for name, value in found.get("fan-out", {}).items():
        if name.endswith("ratio"):
            kind, clients, _ = name.split()
            pace = "10,000 events/s wanted" if kind == "paced" else "flat out"
            cpu = [
                f"{found['fan-out'][f'{kind} {clients} cpu {which}']:.0%}"
                for which in ("with", "without")
            ]
            rows.append(
                [
                    f"{int(clients):,} clients, {pace}: events/s with the journal against without",
                    f"{value:.2f}x ({cpu[0]} and {cpu[1]} of one core)",
                ]
            )
    if one := found.get("file"):
        rows += [
            [
                f"publish to read, {label}",
                f"{number(one[f'{name}_p50_ms'])} ms p50, "
                f"{number(one[f'{name}_p99_ms'])} p99, {number(one[f'{name}_max_ms'])} at most",
            ]
            for name, label in (("alone", "no search"), ("searched", "ten searches without end"))
        ]
    if one := found.get("bounds"):
        rows.append(
            [
                "file and log at most, 5,000 events/s arriving",
                f"{one['most_share']:.0%} of the bound",
            ]
        )
    for name, label in (
        ("sqlalchemy", "SQLAlchemy and aiosqlite, a commit an event"),
        ("jetstream", "NATS file storage, acknowledged"),
    ):
        if name in found:
            rows.append([f"{label}: rows/s", number(found[name]["rows_per_s"])])
    return table(["", ""], rows)


def draw(found: dict[str, Figures]) -> None:
    """How answers grow with the file."""
    from benchmarks.plots import journal_lines

    figures = found["file"]
    lines: dict[str, dict[int, float]] = {}
    for name, value in figures.items():
        size, _, kind = name.partition(" ")
        if size.isdigit() and kind.startswith(
            ("search", "history at 50", "history back", "filter")
        ):
            lines.setdefault(kind, {})[int(size)] = value
    journal_lines(lines, PLOT)


def write(found: dict[str, Figures], page: Path = PAGE) -> None:
    """Put the tables between their marks in the page, and draw the plot."""
    text = page.read_text()
    for name, make in (("journal", by_size), ("journal-costs", costs)):
        if name == "journal" and "file" not in found:
            print("file: not measured yet, left as it is")
            continue
        made = make(found)
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
        text = mark.sub(lambda at, made=made: f"{at[1]}{made}\n{at[2]}", text)
    page.write_text(text)
    if "file" in found:
        draw(found)


def load() -> dict[str, Figures]:
    """What earlier runs found."""
    return msgspec.json.decode(FILE.read_bytes())["parts"] if FILE.exists() else {}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, "report", []], metavar="PART")
    parser.add_argument("--quick", action="store_true", help="see that it works; no figures")
    parser.add_argument("--sizes", help="numbers of events of the file, separated by commas")
    return parser.parse_args(given)


def main() -> None:
    """Measure, print each part as it is done, keep it."""
    chosen = arguments()
    sys.stdout.reconfigure(line_buffering=True)
    if "report" in chosen.part:
        write(load())
        return
    scale = QUICK if chosen.quick else FULL
    if chosen.sizes:
        sizes = tuple(int(size) for size in chosen.sizes.split(","))
        scale = msgspec.structs.replace(scale, sizes=sizes)
    found = load()
    for name in chosen.part or PARTS:
        figures = PARTS[name](scale)
        print(f"{name}: {shown(figures)}")
        found[name] = figures
        if not chosen.quick:
            FILE.parent.mkdir(exist_ok=True)
            kept = {"machine": machine(), "parts": found}
            FILE.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))


if __name__ == "__main__":
    main()
