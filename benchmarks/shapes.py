"""The events that are published, as files of one JSON object a line: every peer reads the same file."""

import json
from collections.abc import Callable

from benchmarks.peers import ROOT
from tests.recordings import HOOK_FILES, events_of

KB = 1024
FOLDER = ROOT / "build" / "benchmark-events"
TYPE = "bench.event"
ITEM = {
    "sku": "A-1042",
    "name": "parser, 2nd edition",
    "quantity": 2,
    "price": 19.9,
    "tags": ["new"],
}
Fields = dict[str, object]


def flat(size: int) -> Fields:
    """One string."""
    return _filled(lambda filler: {"filler": filler}, size)


def nested(size: int) -> Fields:
    """An order with a customer and, at 1 KB, eight items."""
    customer = {"id": 7, "name": "Ada", "city": "Genoa"}
    items = [{"n": n, **ITEM} for n in range((size - 80) // 110)]
    return _filled(
        lambda note: {"order": {"customer": customer, "items": items}, "note": note}, size
    )


def _filled(make: Callable[[str], Fields], size: int) -> Fields:
    """The data whose JSON has exactly `size` bytes."""
    return make("x" * (size - len(json.dumps(make(""), separators=(",", ":")))))


def file_of(shape: str, size: int = KB) -> str:
    """The path of a file with one event of this shape, `flat` or `nested`, and of `size` bytes of data."""
    data = {"flat": flat, "nested": nested}[shape](size)
    return _written(f"{shape}-{size}", [{"type": TYPE, "data": data, "metadata": {}}])


def file_of_tool_calls() -> str:
    """The path of a file with the tool calls of recorded coding agents and their results."""
    every = [event for name in HOOK_FILES for event in events_of(name)]
    # Of others the gateway may make alarms, which nobody counts.
    events = [event for event in every if event.type.startswith("agent.tool_")]
    return _written(
        "tool-calls", [{"type": e.type, "data": e.data, "metadata": e.metadata} for e in events]
    )


def _written(name: str, events: list[Fields]) -> str:
    path = FOLDER / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)
