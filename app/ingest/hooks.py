"""What the hooks of several coding agents have in common. Pure.

Agents with hooks run a command, or post to an address, at each step of their work, and describe the
step as one JSON object with `session_id`, `hook_event_name`, `tool_name`, `tool_input` and others.
`claude_code` and `codex` turn such an object into events of the catalog with what is here.
"""

from collections.abc import Callable, Mapping
from math import isfinite

import msgspec

Fields = dict[str, object]
Hook = Mapping[str, object]

MAX_DATA_BYTES = 64 * 1024  # of one event: a viewer needs no more, and it fits the smallest stream
MAX_SUMMARY = 200
MAX_TEXT = 4000
MAX_DEPTH = 12
MAX_MARKS = 20
# Longest text and longest array or object. The first bounds that fit into `MAX_DATA_BYTES` are used.
_BOUNDS = ((MAX_TEXT, 200), (1000, 50), (250, 20), (60, 8), (20, 3))
_TELLING = ("command", "file_path", "notebook_path", "path", "pattern", "url", "query")
_MORE_TELLING = ("task_name", "skill", "subject", "description", "prompt", "message")
_LARGEST_INT = 2**63 - 1  # what readers in other languages hold


class AgentEvent(msgspec.Struct, frozen=True):
    """One event as the publisher takes it."""

    type: str
    data: Fields
    metadata: Fields


class HookReader:
    """Reads the fields of one hook, and keeps what nothing reads.

    A field counts only if its value has the kind that is asked for. Every other field goes into
    `details` as it came, so an agent that is newer than this gateway loses nothing.
    """

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._read: set[str] = set()
        self.name = self.text("hook_event_name") or "unknown"

    def text(self, field: str) -> str | None:
        value = self._hook.get(field)
        if not isinstance(value, str):
            return None
        self._read.add(field)
        return value

    def number(self, field: str) -> float | int | None:
        value = self._hook.get(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            return None
        self._read.add(field)
        return value

    def mapping(self, field: str) -> Hook | None:
        value = self._hook.get(field)
        if not isinstance(value, dict):
            return None
        self._read.add(field)
        return value

    def look(self, field: str) -> object:
        """The value, which stays in `details`."""
        return self._hook.get(field)

    @property
    def names_agent(self) -> bool:
        """Whether the hook is about a sub-agent."""
        agent_id = self._hook.get("agent_id")
        return isinstance(agent_id, str) and agent_id != ""

    def drop(self, field: str) -> None:
        """Leave a field out of `details`: another field has what it says."""
        self._read.add(field)

    def event(
        self, type_: str, source: str, agent: str, fields: Mapping[str, object]
    ) -> AgentEvent:
        """The event: `fields` that are not None, whose session this is, and all that was not read."""
        data: Fields = {"session_id": self.text("session_id")}
        if fields.get("kind") is None:  # what changes no state names no agent
            data |= {"agent_id": self.text("agent_id"), "agent_type": self.text("agent_type")}
        data |= {"folder": self.text("cwd"), **fields}
        data["model"] = fields.get("model") or self.text("model")
        details = {key: value for key, value in self._hook.items() if key not in self._read}
        data = {key: value for key, value in data.items() if value is not None}
        if details:
            data["details"] = details
        return AgentEvent(
            type_, cut(data), {"source": source, "agent": agent, "hook": self.name[:MAX_SUMMARY]}
        )


Reading = Callable[[HookReader], tuple[str, Fields]]


def read_hook(
    hook: Hook, readings: Mapping[str, Reading], source: str, agent: str
) -> list[AgentEvent]:
    """The events of one hook; a hook without a reading is an `agent.reported` that keeps it whole."""
    reader = HookReader(hook)
    # Without the session it is no news of any session; the catalog asks for it.
    reading = readings.get(reader.name, reported) if reader.text("session_id") else reported
    type_, fields = reading(reader)
    return [reader.event(type_, source, agent, fields)]


def reported(hook: HookReader) -> tuple[str, Fields]:
    """A hook that changes no state: kept for whoever looks at it."""
    return "agent.reported", {"kind": hook.name}


def tool_fields(hook: HookReader) -> Fields:
    """The fields that say which call of which tool this is."""
    tool_input = hook.mapping("tool_input")
    return {
        "tool_name": hook.text("tool_name") or "unknown",
        "tool_use_id": hook.text("tool_use_id"),
        "summary": summary_of(tool_input or {}) or None,
        "tool_input": tool_input,
    }


def summary_of(tool_input: Hook) -> str:
    """What a person reads of a tool's input: the command, the path, or what else tells most."""
    for field in (*_TELLING, *_MORE_TELLING):
        value = tool_input.get(field)
        if isinstance(value, str) and value.strip():
            return one_line(value)
    return ""


def one_line(text: str) -> str:
    """The text in one line of at most `MAX_SUMMARY` characters."""
    line = " ".join(text[: 4 * MAX_SUMMARY].split())
    return line if len(line) <= MAX_SUMMARY else line[: MAX_SUMMARY - 1] + "…"


def cut(data: Fields, most_bytes: int = MAX_DATA_BYTES) -> Fields:
    """The data within `most_bytes`, as JSON that every reader can hold.

    `truncated` has the path of each value that was cut, and how long the value was: characters of a
    text, entries of an array or object.
    """
    for longest_text, most_entries in _BOUNDS:
        marks: dict[str, int] = {}
        small = {
            key: _cut(value, longest_text, most_entries, key, 1, marks)
            for key, value in data.items()
        }
        if marks:
            small["truncated"] = dict(list(marks.items())[:MAX_MARKS])
        if len(msgspec.json.encode(small)) <= most_bytes:
            return small
    kept = ("session_id", "agent_id", "tool_name", "tool_use_id", "kind", "outcome", "calls")
    least: Fields = {key: small[key] for key in kept if key in small}
    return {**least, "truncated": {"data": len(data)}}


def _cut(
    value: object, text: int, entries: int, path: str, depth: int, marks: dict[str, int]
) -> object:
    match value:
        case str():
            if len(value) > text:
                marks[path] = len(value)
                value = value[:text] + "…"
            return _whole(value)
        case dict() | list():
            if depth >= MAX_DEPTH:
                marks[path] = len(value)
                return "…"
            if len(value) > entries:
                marks[path] = len(value)
            if isinstance(value, list):
                return [
                    _cut(entry, text, entries, f"{path}[{i}]", depth + 1, marks)
                    for i, entry in enumerate(value[:entries])
                ]
            return {
                (name := _whole(str(key)[:100])): _cut(
                    entry, text, entries, f"{path}.{name}", depth + 1, marks
                )
                for key, entry in list(value.items())[:entries]
            }
        case bool() | None:
            return value
        case int():
            return value if abs(value) <= _LARGEST_INT else str(value)[:100]
        case float():
            return value if isfinite(value) else None
    return str(value)[:100]


def _whole(text: str) -> str:
    """The text with a question mark for each half of a character, which JSON cannot hold."""
    if not text.isascii():  # true of most texts, and costs no copy
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-8", "replace").decode()
    return text
