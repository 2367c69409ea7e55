"""Spans and log records of OpenTelemetry, whatever they were sent as, and events of them. Pure.

`otlp_json` and `otlp_protobuf` read them; `gen_ai`, `claude_code_otlp` and `codex_otlp` map them onto
events of the catalog.
"""

import hashlib
import json
import re
from math import isfinite
from typing import Literal, NamedTuple

from .hooks import MAX_SUMMARY, AgentEvent, Fields, cut

Signal = Literal["traces", "logs", "metrics"]
MAX_COUNT = 2**53 - 1
_REMOTE_PARENT = 0x300  # flags of a span: it is known whether the parent is remote, and it is
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


class Span(NamedTuple):
    """A span that has ended. Ids are hex, `parent_id` is empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    scope: str
    duration_ms: float
    failed: bool
    message: str
    attributes: Fields
    resource: Fields
    remote_parent: bool = False

    @property
    def is_root(self) -> bool:
        """Whether no span of this process is above it."""
        return not self.parent_id or self.remote_parent


class Record(NamedTuple):
    """A log record; `time` is in nanoseconds since 1970."""

    scope: str
    time: int
    attributes: Fields
    resource: Fields


class Keyed(NamedTuple):
    """An event, and a key that it has each time it is sent."""

    event: AgentEvent
    key: str


def milliseconds(start_ns: int, end_ns: int) -> float:
    """The duration of a span."""
    return max(end_ns - start_ns, 0) / 1e6


def is_remote(flags: int) -> bool:
    """Whether the flags of a span say that its parent is in another process."""
    return flags & _REMOTE_PARENT == _REMOTE_PARENT


def text_of(fields: Fields, *names: str) -> str | None:
    """The first of these attributes that is a text and not empty."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def number_of(fields: Fields, *names: str) -> float | int | None:
    """The first of these attributes that is a number, or a text of one, as Codex sends them."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value) if "." in value else int(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value):
            return value
    return None


def count_of(fields: Fields, *names: str) -> int | None:
    """As `number_of`, for a count: an integer that readers in other languages hold."""
    number = number_of(fields, *names)
    return None if number is None else int(min(max(number, 0), MAX_COUNT))


def object_of(fields: Fields, *names: str) -> Fields | None:
    """The first of these attributes that is an object, or the text of one."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                continue
        if isinstance(value, dict):
            return value
    return None


def key_of(*parts: object) -> str:
    """A key for an event; a digest makes any characters safe."""
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()


def event_of(type_: str, fields: Fields, source: str, agent: str, signal: Signal) -> AgentEvent:
    """The event of the fields that are not None, within the bounds of one."""
    data = {key: value for key, value in fields.items() if value is not None}
    metadata: Fields = {"source": source[:MAX_SUMMARY], "agent": agent[:MAX_SUMMARY]}
    return AgentEvent(type_, cut(data), {**cut(metadata), "otlp": signal})
