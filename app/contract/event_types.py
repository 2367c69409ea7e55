"""The page of event types, `docs/events.md`, generated from the catalog."""

import json

import msgspec

from ..catalog.registry import MAX_TYPE_LENGTH, TYPE_PATTERN, Catalog, CatalogEntry
from ..settings import Settings
from .spelling import Spelling

LEAVE_OUT = "SIGHTLINE_JOURNAL_LEAVE_OUT"

_INTRODUCTION = """\
# Event types

<!-- Written by `python -m app.contract`; do not edit by hand. -->

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
| `publisher` | the name of the token that published it; with [named tokens](tokens.md), the gateway sets it |
"""


_SPELLING = Spelling(
    scalars={name: name for name in ("string", "integer", "number", "boolean", "null")},
    union=" or ",
    literals=lambda values: " or ".join(f"`{value}`" for value in values),
    array="array of {}".format,
    object=lambda schema: "object",
    any="any",
)


def to_markdown() -> str:
    """Return the text of `docs/events.md`."""
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
    if entry.type in Settings().journal_leave_out:
        lines += [f"By default, the journal does not store these events: see `{LEAVE_OUT}`.", ""]
    lines += ["| Field | Type | Required |", "| --- | --- | --- |"]
    for name, schema in properties.items():
        need = "yes" if name in required else "no"
        if "default" in schema:
            need += f" (default `{json.dumps(schema['default'])}`)"
        lines.append(f"| `{name}` | {_SPELLING.of(schema)} | {need} |")
    lines += ["", "```json", json.dumps(entry.example, indent=2), "```", ""]
    return "\n".join(lines)
