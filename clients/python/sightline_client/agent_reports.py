"""What the adapters for agent frameworks and logging share: events that are small enough for a viewer."""

import json
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TypeVar

from sightline_client.emitting import emit as _emit

T = TypeVar("T")
Emit = Callable[[str, Mapping[str, object], Mapping[str, object]], None]
MAX_TEXT = 4000
MAX_SUMMARY = 200
MAX_ENTRIES = 50
MAX_DEPTH = 6
MAX_OPEN = 10_000  # runs whose end is awaited; the oldest is forgotten first
_TELLING = ("command", "file_path", "path", "pattern", "url", "query", "task", "prompt", "message")


class Reports:
    """Emits the events of one framework. Fields that are None are left out."""

    def __init__(self, source: str, emit: Emit = _emit) -> None:
        self._source = source
        self._emit = emit

    def send(self, type_: str, agent: str | None, fields: Mapping[str, object]) -> None:
        data = {name: plain(value) for name, value in fields.items() if value is not None}
        metadata = {"source": self._source}
        self._emit(type_, data, metadata | ({"agent": agent[:MAX_SUMMARY]} if agent else {}))


def plain(value: object, depth: int = 0) -> object:
    """The value as JSON of bounded size: long texts and lists are cut, other objects become text."""
    match value:
        case bool() | None:
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)[:MAX_SUMMARY]
        case float():
            return value if isfinite(value) else None
        case Mapping() if depth < MAX_DEPTH:
            entries = list(value.items())[:MAX_ENTRIES]
            return {str(key)[:100]: plain(entry, depth + 1) for key, entry in entries}
        case list() | tuple() if depth < MAX_DEPTH:
            return [plain(entry, depth + 1) for entry in value[:MAX_ENTRIES]]
    text = value if isinstance(value, str) else str(value)
    text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return text.encode("utf-8", "replace").decode()  # half a character is no JSON


def tool_fields(name: str, tool_use_id: str, tool_input: object) -> dict[str, object]:
    """The fields of a call: its input as an object, and what of it a person reads."""
    if isinstance(tool_input, str):
        try:
            tool_input = json.loads(tool_input)
        except ValueError:
            tool_input = {"input": tool_input}
    if not isinstance(tool_input, Mapping):
        tool_input = None if tool_input is None else {"input": tool_input}
    return {
        "tool_name": name,
        "tool_use_id": tool_use_id,
        "tool_input": tool_input,
        "summary": summary_of(tool_input) if tool_input else None,
    }


def summary_of(tool_input: Mapping[str, object]) -> str | None:
    texts = {key: value for key, value in tool_input.items() if isinstance(value, str)}
    telling = next((texts[key] for key in _TELLING if key in texts), None)
    return one_line(telling or next(iter(texts.values()), "")) or None


def one_line(text: str) -> str:
    line = " ".join(text[: 4 * MAX_SUMMARY].split())
    return line if len(line) <= MAX_SUMMARY else line[: MAX_SUMMARY - 1] + "…"


def remember(kept: dict[str, T], key: str, value: T) -> None:
    """Keep `value` until its end comes; a framework that never reports ends fills no memory."""
    kept[key] = value
    if len(kept) > MAX_OPEN:
        del kept[next(iter(kept))]
