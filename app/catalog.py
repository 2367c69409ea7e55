"""The event types: one struct per payload, and the check every published event passes.

`docs/events.md` is printed by `python -m app.catalog`.
"""

import copy
import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from app.errors import InvalidDataError, UnknownEventTypeError

TYPE_PATTERN = re.compile(r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")
MAX_TYPE_LENGTH = 64
REFERENCE = "docs/events.md"
MAX_ACCEPTED = 4096  # types of extra namespaces are the publishers' to invent: forget, never grow

_MAX_SHOWN = 80
_REF_TEMPLATE = "#/$defs/{name}"

Identifier = str | int
_StructType = TypeVar("_StructType", bound=type[msgspec.Struct])


class _Registration(msgspec.Struct, frozen=True):
    name: str
    struct: type[msgspec.Struct]
    description: str
    example: dict[str, object]


_REGISTRY: dict[str, _Registration] = {}
_STRUCTS: dict[str, type[msgspec.Struct]] = {}
_TYPES: dict[type[msgspec.Struct], str] = {}


def event(type_: str, *, example: Mapping[str, object]) -> Callable[[_StructType], _StructType]:
    """Register the decorated struct as the data of `type_`; its docstring is the description."""

    def register(struct: _StructType) -> _StructType:
        if not _well_formed(type_):
            raise ValueError(f"event type {type_!r} is not of the form namespace.name")
        if type_ in _REGISTRY or struct in _TYPES:
            raise ValueError(f"event type {type_!r} or struct {struct.__name__} registered twice")
        description = " ".join((struct.__doc__ or "").split())
        if not description:
            raise ValueError(f"the struct of event type {type_!r} has no docstring")
        _REGISTRY[type_] = _Registration(type_, struct, description, dict(example))
        _STRUCTS[type_] = struct
        _TYPES[struct] = type_
        return struct

    return register


def _well_formed(type_: str) -> bool:
    return len(type_) <= MAX_TYPE_LENGTH and TYPE_PATTERN.fullmatch(type_) is not None


# --- workflow ---


@event("workflow.started", example={"workflow_id": "wf-42", "workflow_name": "nightly-build"})
class WorkflowStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow began to run."""

    workflow_id: str
    workflow_name: str
    project: str | UnsetType = UNSET


@event(
    "workflow.step_completed",
    example={"workflow_id": "wf-42", "step_name": "compile", "step_index": 1, "total_steps": 3},
)
class WorkflowStepCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a workflow completed."""

    workflow_id: str
    step_name: str
    step_index: int
    total_steps: int
    workflow_name: str | UnsetType = UNSET


@event(
    "workflow.finished",
    example={"workflow_id": "wf-42", "status": "success", "duration_ms": 5120},
)
class WorkflowFinished(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow ran to its end."""

    workflow_id: str
    status: str
    duration_ms: float


@event(
    "workflow.failed",
    example={"workflow_id": "wf-42", "error": "exit status 2", "step_name": "compile"},
)
class WorkflowFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow stopped on an error."""

    workflow_id: str
    error: str
    step_name: str | UnsetType = UNSET


# --- chat ---


@event("chat.message_sent", example={"role": "user", "content": "Run the tests."})
class ChatMessageSent(msgspec.Struct, frozen=True, kw_only=True):
    """A person sent a message to an agent."""

    role: str
    content: str
    agent_name: str | UnsetType = UNSET


@event(
    "chat.message_received",
    example={"role": "assistant", "content": "All tests pass.", "agent_name": "Ada"},
)
class ChatMessageReceived(msgspec.Struct, frozen=True, kw_only=True):
    """An agent answered with a complete message."""

    role: str
    content: str
    agent_name: str | UnsetType = UNSET


@event("chat.streaming_chunk", example={"chunk": "All tests", "message_id": "msg-7"})
class ChatStreamingChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer that is still being written."""

    chunk: str
    message_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET


@event("chat.thinking_started", example={"agent_name": "Ada"})
class ChatThinkingStarted(msgspec.Struct, frozen=True, kw_only=True):
    """An agent began to think about its answer."""

    agent_name: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET


@event("chat.thinking_finished", example={"agent_name": "Ada", "duration_ms": 830})
class ChatThinkingFinished(msgspec.Struct, frozen=True, kw_only=True):
    """An agent finished thinking."""

    agent_name: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


# --- agent ---


@event(
    "agent.session_started",
    example={"session_id": "s-9", "agent_name": "Ada", "task": "Fix the parser", "model": "small"},
)
class AgentSessionStarted(msgspec.Struct, frozen=True, kw_only=True):
    """An agent began to work; every later event of this run carries the same `session_id`."""

    session_id: str
    agent_name: str | UnsetType = UNSET
    task: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    folder: str | UnsetType = UNSET


@event(
    "agent.tool_called",
    example={
        "session_id": "s-9",
        "tool_name": "Bash",
        "call_id": "call-3",
        "summary": "make test",
    },
)
class AgentToolCalled(msgspec.Struct, frozen=True, kw_only=True):
    """An agent called a tool; `summary` is what a person reads, such as the command or the path."""

    tool_name: str
    session_id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET


@event(
    "agent.tool_finished",
    example={
        "session_id": "s-9",
        "tool_name": "Bash",
        "call_id": "call-3",
        "summary": "make test",
        "success": False,
        "error": "exit status 2",
        "duration_ms": 840,
    },
)
class AgentToolFinished(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that an agent called is done; `error` says why where `success` is false."""

    tool_name: str
    session_id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    success: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event(
    "agent.message",
    example={"session_id": "s-9", "agent_name": "Ada", "content": "The parser is fixed."},
)
class AgentMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An agent said something on its way: a thought, a question, a report."""

    content: str
    session_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    role: str | UnsetType = UNSET


@event(
    "agent.session_finished",
    example={
        "session_id": "s-9",
        "agent_name": "Ada",
        "status": "success",
        "summary": "Fixed the parser",
        "duration_ms": 61200,
    },
)
class AgentSessionFinished(msgspec.Struct, frozen=True, kw_only=True):
    """An agent ended its work."""

    session_id: str
    agent_name: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


# --- file ---


@event("file.created", example={"path": "src/main.py", "size": 2048, "is_directory": False})
class FileCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory was created."""

    path: str
    size: int | UnsetType = UNSET
    is_directory: bool = False


@event("file.modified", example={"path": "src/main.py", "size": 2101, "is_directory": False})
class FileModified(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory was modified."""

    path: str
    size: int | UnsetType = UNSET
    is_directory: bool = False


@event("file.deleted", example={"path": "src/old", "is_directory": True})
class FileDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory was deleted."""

    path: str
    size: int | UnsetType = UNSET
    is_directory: bool = False


# --- state ---


@event("state.epic_created", example={"epic_id": "7", "title": "Live updates"})
class StateEpicCreated(msgspec.Struct, frozen=True, kw_only=True):
    """An epic was created."""

    epic_id: Identifier
    title: str


@event(
    "state.story_created",
    example={"story_id": "7.1", "title": "Show the event stream", "epic_id": "7"},
)
class StateStoryCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A story was created."""

    story_id: Identifier
    title: str
    epic_id: Identifier | UnsetType = UNSET


@event(
    "state.story_transitioned",
    example={"story_id": "7.1", "from_state": "ready", "to_state": "in_progress"},
)
class StateStoryTransitioned(msgspec.Struct, frozen=True, kw_only=True):
    """A story moved from one state to another."""

    story_id: Identifier
    from_state: str
    to_state: str
    epic_id: Identifier | UnsetType = UNSET
    title: str | UnsetType = UNSET


# --- git ---


@event(
    "git.commit_created",
    example={
        "commit_hash": "9f1c2ab",
        "message": "Fix the parser",
        "author": "Ada",
        "files_changed": ["src/parser.py"],
    },
)
class GitCommitCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A commit was created; `files_changed` is the list of paths, their number, or absent if unknown."""

    commit_hash: str
    message: str
    author: str
    files_changed: list[str] | int | UnsetType = UNSET


# --- ceremony ---


@event(
    "ceremony.started",
    example={"ceremony_id": "c-3", "ceremony_type": "review", "participants": ["Ada", "Linus"]},
)
class CeremonyStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A ceremony (a meeting of agents) began."""

    ceremony_id: str
    ceremony_type: str | UnsetType = UNSET
    participants: list[str] | UnsetType = UNSET


@event(
    "ceremony.message",
    example={"ceremony_id": "c-3", "content": "The parser is done.", "agent_name": "Ada"},
)
class CeremonyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A participant spoke in a ceremony."""

    ceremony_id: str
    content: str
    agent_name: str | UnsetType = UNSET


@event("ceremony.ended", example={"ceremony_id": "c-3", "summary": "One story accepted."})
class CeremonyEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A ceremony ended."""

    ceremony_id: str
    summary: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


# --- kanban ---


@event(
    "kanban.card_moved",
    example={"card_id": "7.1", "from_column": "ready", "to_column": "in_progress"},
)
class KanbanCardMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A card moved to another column of the board, or to another position."""

    card_id: Identifier
    to_column: str
    from_column: str | UnsetType = UNSET
    position: int | UnsetType = UNSET


@event("kanban.card_updated", example={"card_id": "7.1", "title": "Show the live stream"})
class KanbanCardUpdated(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a card changed; only the changed fields need to be sent."""

    card_id: Identifier
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    assignee: str | UnsetType = UNSET


# --- session, provider, system ---


@event("session.mode_changed", example={"mode": "read_only", "previous_mode": "write"})
class SessionModeChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A session changed its mode, such as read-only or write."""

    mode: str
    previous_mode: str | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


@event("provider.changed", example={"provider": "local", "model": "small"})
class ProviderChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Another model provider is in use from now on."""

    provider: str
    model: str | UnsetType = UNSET
    previous_provider: str | UnsetType = UNSET


@event("system.error", example={"message": "disk full", "code": "ENOSPC", "component": "store"})
class SystemErrorReported(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the system reports an error."""

    message: str
    code: str | UnsetType = UNSET
    component: str | UnsetType = UNSET


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event type as shown to a client; `schema` is a self-contained JSON Schema."""

    type: str
    description: str
    schema: dict[str, object]
    example: dict[str, object]


class Catalog:
    """The registered event types, plus any well-formed type of `extra_namespaces`."""

    def __init__(self, extra_namespaces: Collection[str] = ()) -> None:
        self._extra_namespaces = frozenset(extra_namespaces)
        self._structs = _STRUCTS  # a module that declares more may be imported later
        self._accepted: set[str] = set()  # well-formed types of extra namespaces, seen before

    def check(self, type_: str, fields: dict[str, object]) -> None:
        """Raise unless `type_` is accepted and `fields`, as decoded from JSON, are data for it.

        Raises:
            UnknownEventTypeError: the message names the nearest type.
            InvalidDataError: the message names the field.
        """
        struct = self._structs.get(type_)
        if struct is None:
            if type_ not in self._accepted and not self._is_extra(type_):
                raise UnknownEventTypeError(self._unknown(type_))
            return  # any object is data for it
        try:
            try:
                msgspec.convert(fields, struct)
            except msgspec.ValidationError:  # a third of the speed; only a few structs need it
                msgspec.convert(fields, struct, str_keys=True)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InvalidDataError(
                f"data of event type {_show(type_)} is invalid: {error}; see {REFERENCE}"
            ) from error

    @property
    def extra_namespaces(self) -> frozenset[str]:
        """The namespaces in which any well-formed type is accepted."""
        return self._extra_namespaces

    def label_of(self, type_: str) -> str:
        """The namespace to count a type under; "other" for types that are not in the catalog.

        Who publishes past the catalog, as NATS lets them, makes no label of their own.
        """
        namespace = type_.partition(".")[0]
        is_known = type_ in self._structs or namespace in self._extra_namespaces
        return namespace if is_known else "other"

    @property
    def structs(self) -> Mapping[str, type[msgspec.Struct]]:
        """The struct of each type's data."""
        return self._structs

    def type_of(self, struct: type[msgspec.Struct]) -> str:
        """The event type whose data `struct` describes."""
        type_ = _TYPES.get(struct)
        if type_ is None:
            raise UnknownEventTypeError(
                f"struct {_show(struct.__qualname__)} is not the data of any event type; "
                f"use a struct of app.catalog, listed in {REFERENCE}"
            )
        return type_

    def entries(self) -> list[CatalogEntry]:
        """Every registered event type, grouped by namespace; the caller owns the result."""
        return [
            CatalogEntry(
                type=registration.name,
                description=registration.description,
                schema=_schema_of(registration.struct),
                example=copy.deepcopy(registration.example),
            )
            for registration in _REGISTRY.values()
        ]

    def _is_extra(self, type_: str) -> bool:
        if type_.partition(".")[0] not in self._extra_namespaces or not _well_formed(type_):
            return False
        if len(self._accepted) >= MAX_ACCEPTED:
            self._accepted.clear()
        self._accepted.add(type_)
        return True

    def _unknown(self, type_: str) -> str:
        if type_.partition(".")[0] in self._extra_namespaces:
            return (
                f"event type {_show(type_)} is malformed: expected namespace.name in lower case "
                f"letters, digits and underscores, at most {MAX_TYPE_LENGTH} characters; "
                f"see {REFERENCE}"
            )
        asked = type_[:MAX_TYPE_LENGTH].lower()
        nearest = difflib.get_close_matches(asked, self._structs, n=1, cutoff=0.0)[0]
        return (
            f"unknown event type {_show(type_)}: the nearest known type is {nearest!r}; "
            f"every type is listed in {REFERENCE}"
        )


def _show(value: str) -> str:
    shown = repr(value[: _MAX_SHOWN + 1])
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 3] + "..."


def schema_hook(type_: type) -> dict[str, object]:
    """The schema of what msgspec has none for: any JSON, or a field that must not be there."""
    if type_ in (object, msgspec.Raw):
        return {"description": "Any JSON value."}
    if type_ is UnsetType:
        return {"not": {}}
    raise NotImplementedError


def _schema_of(struct: type[msgspec.Struct]) -> dict[str, object]:
    _, components = msgspec.json.schema_components(
        [struct], schema_hook=schema_hook, ref_template=_REF_TEMPLATE
    )
    schema: dict[str, object] = dict(components.pop(struct.__name__))
    if components:
        schema["$defs"] = components
    return schema


_INTRODUCTION = """\
# Event types

<!-- Written by `python -m app.catalog > docs/events.md`; do not edit by hand. -->

An event has a `type` of the form `namespace.name` and `data`, a JSON object. The tables list
the fields of `data`. An optional field that is not set is left out: `null` is refused.
Fields that are not listed are accepted and passed on unchanged.

Besides these types, the gateway accepts any well-formed type of the extra namespaces it is
configured with: `data` must then be an object and is not checked further. A type is well
formed if it matches `{pattern}` and has at most {length} characters.
"""

_METADATA = """\
## Metadata

An event may also carry `metadata`, a JSON object about the event rather than part of it.
Every key is optional; these have an agreed meaning:

| Key | Meaning |
| --- | --- |
| `source` | the program or component that published the event |
| `agent` | the agent on whose behalf it was published |
| `correlation_id` | shared by all the events of one request or task |
| `causation_id` | the id of the event that directly caused this one |
"""


def to_markdown() -> str:
    """The text of `docs/events.md`."""
    entries = Catalog().entries()
    parts = [_INTRODUCTION.format(pattern=TYPE_PATTERN.pattern, length=MAX_TYPE_LENGTH)]
    parts.append("".join(f"- [`{e.type}`](#{e.type.replace('.', '')})\n" for e in entries))
    parts.append("- [Metadata](#metadata)\n")
    parts.extend(["\n", "\n".join(_entry_to_markdown(entry) for entry in entries)])
    return "".join([parts[0], "\n", *parts[1:], "\n", _METADATA])


def _entry_to_markdown(entry: CatalogEntry) -> str:
    properties = msgspec.convert(entry.schema["properties"], dict[str, dict[str, object]])
    required = msgspec.convert(entry.schema.get("required", []), list[str])
    lines = [f"## {entry.type}", "", entry.description, ""]
    lines += ["| Field | Type | Required |", "| --- | --- | --- |"]
    for name, schema in properties.items():
        need = "yes" if name in required else "no"
        if "default" in schema:
            need += f" (default `{json.dumps(schema['default'])}`)"
        lines.append(f"| `{name}` | {_type_name(schema)} | {need} |")
    lines += ["", "```json", json.dumps(entry.example, indent=2), "```", ""]
    return "\n".join(lines)


def _type_name(schema: Mapping[str, object]) -> str:
    if "anyOf" in schema:
        choices = msgspec.convert(schema["anyOf"], list[dict[str, object]])
        return " or ".join(_type_name(choice) for choice in choices)
    if "enum" in schema:
        return " or ".join(
            f"`{json.dumps(value)}`" for value in msgspec.convert(schema["enum"], list[object])
        )
    if schema.get("type") == "array":
        items = msgspec.convert(schema.get("items", {}), dict[str, object])
        return f"array of {_type_name(items)}"
    return "object" if "$ref" in schema else str(schema.get("type", "any"))


if __name__ == "__main__":  # this is a copy then: events are declared to the module itself
    from app import catalog, generated

    generated.print_generated(catalog.to_markdown)
