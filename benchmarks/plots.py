"""How cost grows, drawn: with the clients, with the distinct filters, with the size of events."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9}

from matplotlib import pyplot  # noqa: E402 - after the choice of what draws
from matplotlib.axes import Axes  # noqa: E402

from benchmarks.peers import ROOT  # noqa: E402
from benchmarks.results import Result, Results  # noqa: E402

FOLDER = ROOT / "docs" / "images"
INCHES = (5.6, 3.8)


def draw(results: Results, folder: Path = FOLDER) -> None:
    """Draw what there is."""
    folder.mkdir(exist_ok=True)
    if found := results.of("fan-out"):
        axes = _axes("clients", "deliveries/s")
        _lines(axes, found, 1.0)
        _save(axes, folder / "clients.svg")
    if found := results.of("sizes"):
        axes = _axes("bytes of data in an event", "MB/s of data, all clients together")
        _lines(axes, found, None)
        _save(axes, folder / "sizes.svg")
    if found := results.of("filters"):
        (result,) = found
        axes = _axes(
            "distinct filters among 1,000 clients", "µs of the server per 1,000 deliveries"
        )
        costs = {
            int(count): 1e9 / result.median(count, "deliveries_per_s") for count in result.runs
        }
        axes.plot(list(costs), list(costs.values()), marker="o", label=result.label)
        axes.set_yscale("linear")
        axes.set_ylim(0, 1.2 * max(costs.values()))
        _save(axes, folder / "filters.svg")


def _axes(x: str, y: str) -> Axes:
    _, axes = pyplot.subplots(figsize=INCHES, layout="constrained")
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    return axes


def _lines(axes: Axes, found: list[Result], scale: float | None) -> None:
    """A line a contender; without a scale, deliveries are weighed with the label's bytes."""
    for contender in found[0].runs:
        points = [
            (
                int(result.label),
                result.median(contender, "deliveries_per_s") * (scale or int(result.label) / 1e6),
            )
            for result in found
        ]
        axes.plot(*zip(*points, strict=True), marker="o", label=contender.replace("`", ""))
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Above the lines, where it hides none of them."""
    axes.figure.legend(fontsize=7, ncols=2, loc="outside upper center")  # type: ignore[attr-defined]


def _save(axes: Axes, path: Path) -> None:
    axes.figure.savefig(path, metadata={"Date": None})
    pyplot.close(axes.figure)


def journal_lines(lines: dict[str, dict[int, float]], path: Path) -> None:
    """Milliseconds of each question by the events in the journal."""
    axes = _axes("events in the journal", "ms")
    for label, points in lines.items():
        axes.plot(list(points), list(points.values()), marker="o", label=label)
    _legend(axes)
    _save(axes, path)
