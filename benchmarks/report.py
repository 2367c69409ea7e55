"""What was found, for people: lines as it is measured, and the tables of `docs/performance.md`."""

import re
import statistics
from collections.abc import Callable

from benchmarks.peers import ROOT
from benchmarks.results import Result, Results, load

PAGE = ROOT / "docs" / "performance.md"
SHOWN = {  # by what is found in a run: figure, unit, how many of it make one
    "p50_ms": [("p50_ms", "ms p50", 1.0), ("p99_ms", "ms p99", 1.0)],
    "deliveries_per_s": [("deliveries_per_s", "thousand deliveries/s", 1000.0)],
    "connects_per_s": [("connects_per_s", "connects/s", 1.0)],
    "kb_per_connection": [("kb_per_connection", "KB", 1.0)],
    "seconds": [("seconds", "s", 1.0)],
}
LOAD = {  # shares of a core
    "server_cpu": "server",
    "server_kernel": "of it in the kernel",
    "reader_busy": "reader",
}
SHOWN_FUNCTIONS = 10
Row = list[str]


def number(value: float) -> str:
    """As many digits as a median of few runs is worth."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(result: Result) -> None:
    """Print one comparison: medians, from the least to the most, and ratios to the first."""
    print(f"{result.scenario} {result.label}")
    for contender, runs in result.runs.items():
        figures = next(SHOWN[name] for name in SHOWN if name in runs[0])
        shown = [_shown(result, contender, *figure) for figure in figures]
        loads = [
            f"{name} {result.median(contender, figure):.0%}"
            for figure, name in LOAD.items()
            if figure in runs[0]
        ]
        if "p50_ms" in runs[0]:
            shown.append(f"{number(result.median(contender, 'events_per_s'))} events/s")
        print(f"  {contender}: {', '.join(shown + loads)}")


def _shown(result: Result, contender: str, figure: str, unit: str, scale: float) -> str:
    values = [value / scale for value in result.values(contender, figure)]
    spread = f"{number(min(values))} to {number(max(values))}"
    if contender != result.first:
        spread += f"; {_ratio(result, contender, figure)}"
    return f"{number(statistics.median(values))} {unit} ({spread})"


def _ratio(result: Result, contender: str, figure: str) -> str:
    return f"{number(result.ratio(contender, figure))}x"


def table(head: Row, rows: list[Row]) -> str:
    """Markdown; all columns but the first are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rates(what: str, found: list[Result]) -> str:
    """Thousand deliveries a second of every contender, with the first one's multiple of it."""
    contenders = list(found[0].runs)
    rows = []
    for result in found:
        row = [f"{int(result.label):,}"]
        for contender in contenders:
            cell = number(result.median(contender, "deliveries_per_s") / 1000)
            if contender != result.first:
                cell += f" ({_ratio(result, contender, 'deliveries_per_s')})"
            row.append(cell)
        rows.append(row)
    return table([what, *contenders], rows)


def fan_out(results: Results) -> str:
    return rates("clients", results.of("fan-out"))


def flat(results: Results) -> str:
    return rates("clients", results.of("flat"))


def tools(results: Results) -> str:
    return rates("clients", results.of("tools"))


def sizes(results: Results) -> str:
    return rates("bytes of `data`", results.of("sizes"))


def turns(results: Results) -> str:
    return rates("events per turn", results.of("turns"))


def recorded(results: Results) -> str:
    return rates("clients", results.of("recorded"))


def filters(results: Results) -> str:
    (result,) = results.of("filters")
    rows = [
        [
            f"{int(count):,}",
            number(result.median(count, "deliveries_per_s") / 1000),
            _ratio(result, count, "deliveries_per_s"),
        ]
        for count in result.runs
    ]
    return table(["distinct filters", "thousand deliveries/s", "cost against one filter"], rows)


def paced(results: Results) -> str:
    rows = []
    for result in results.of("paced"):
        for contender in result.runs:
            rows.append(
                [
                    f"{int(result.label):,}",
                    contender,
                    *(
                        number(result.median(contender, figure))
                        for figure in ("events_per_s", "p50_ms", "p99_ms")
                    ),
                    f"{result.median(contender, 'server_cpu'):.0%}",
                ]
            )
    return table(["clients", "", "events/s", "p50, ms", "p99, ms", "CPU of a core"], rows)


def single(results: Results) -> str:
    """The measures that have one figure a contender."""
    columns = {"connects": "connects_per_s", "memory": "kb_per_connection"}
    found = {name: results.of(name)[0] for name in columns}
    contenders = found["connects"].runs
    rows = [
        [contender, *(number(found[name].median(contender, columns[name])) for name in columns)]
        for contender in contenders
    ]
    return table(["", "connects/s", "KB per idle connection"], rows)


def alone(results: Results) -> str:
    """What only the gateway does: a resume storm, and a stalled client that delays no other."""
    (resume,), (stalled,) = results.of("resume"), results.of("stalled")
    healthy = list(stalled.runs)[1]
    return table(
        ["", ""],
        [
            [
                f"{int(resume.label):,} clients back at once, 100 events behind each: until all"
                " have all",
                f"{number(resume.median(resume.first, 'seconds'))} s",
            ],
            [
                "throughput of nine clients beside one that stalled, against ten that read",
                _ratio(stalled, healthy, "events_per_s"),
            ],
        ],
    )


def shares(results: Results) -> str:
    """The functions that cost most, and the kernel."""
    columns = list(results.profile)
    most = results.profile[columns[-1]]
    functions = sorted(most, key=lambda name: -most[name])[:SHOWN_FUNCTIONS]
    rows = [
        [
            f"`{name}`" if not name.startswith("(") else name,
            *(f"{results.profile[clients].get(name, 0):.0%}" for clients in columns),
        ]
        for name in functions
    ]
    return table(["function", *(f"{int(clients):,} clients" for clients in columns)], rows)


def loops(results: Results) -> str:
    """Thousand deliveries a second by loop and build."""
    found = results.of("loops")
    rows = [
        [way, *(number(one.median(way, "deliveries_per_s") / 1000) for one in found)]
        for way in found[0].runs
    ]
    return table(["", *(f"{int(one.label):,} clients" for one in found)], rows)


def pythons(results: Results) -> str:
    """What a publish costs on each Python."""
    rows = [
        [
            f"{one.label}, {build}",
            *(number(one.median(build, figure)) for figure in ("nested_us", "flat_us")),
            f"{1 / one.ratio(build, 'nested_us'):.2f}x",
        ]
        for one in results.of("pythons")
        for build in one.runs
    ]
    if not rows:
        raise ValueError
    return table(["Python", "nested, µs", "flat, µs", "nested, against pure"], rows)


def machine(results: Results) -> str:
    return table(["", ""], [[name, value] for name, value in results.machine.items()])


TABLES: dict[str, Callable[[Results], str]] = {
    "machine": machine,
    "fan-out": fan_out,
    "flat": flat,
    "tools": tools,
    "filters": filters,
    "sizes": sizes,
    "turns": turns,
    "paced": paced,
    "single": single,
    "alone": alone,
    "recorded": recorded,
    "profile": shares,
    "pythons": pythons,
    "loops": loops,
}


def fill(text: str, name: str, made: str) -> str:
    """The page with a table between its marks."""
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
    return mark.sub(lambda found: f"{found[1]}{made}\n{found[2]}", text)


def write() -> None:
    """Put the tables between their marks in the page, and draw the plots."""
    from benchmarks import plots

    results = load()
    text = PAGE.read_text()
    for name, make in TABLES.items():
        try:
            made = make(results)
        except (IndexError, ValueError):
            print(f"{name}: not measured yet, left as it is")
            continue
        text = fill(text, name, made)
    PAGE.write_text(text)
    plots.draw(results)
