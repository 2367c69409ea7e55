"""The catalog as TypeScript declarations: `clients/js/events.d.ts`."""

import json
from collections.abc import Mapping

import msgspec

from ..catalog.registry import Catalog, CatalogEntry
from .spelling import Schema, Spelling

_HEAD = """\
// Written by `python -m app.contract`; do not edit by hand.

/** The `data` of every event type. Fields beyond those named here pass through unchanged. */
export interface EventData {
"""
_SCALARS = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_Schema = dict[str, object]
_Schemas = dict[str, _Schema]


def to_typescript() -> str:
    """Return the text of `clients/js/events.d.ts`."""
    return _HEAD + "\n".join(map(_entry, Catalog().entries())) + "}\n"


def _entry(entry: CatalogEntry) -> str:
    defs = msgspec.convert(entry.schema.get("$defs", {}), _Schemas)
    fields = "\n".join(f"    {field};" for field in _fields(entry.schema, defs))
    return f'  /** {entry.description} */\n  "{entry.type}": {{\n{fields}\n  }};\n'


def _fields(schema: Mapping[str, object], defs: _Schemas) -> list[str]:
    properties = msgspec.convert(schema["properties"], _Schemas)
    required = msgspec.convert(schema.get("required", []), list[str])
    spelling = _spelling(defs)
    return [
        *(
            f"{json.dumps(name) if '-' in name else name}{'' if name in required else '?'}:"
            f" {spelling.of(field)}"
            for name, field in properties.items()
        ),
        "[field: string]: unknown",
    ]


def _spelling(defs: _Schemas) -> Spelling:
    def object_type(schema: Schema) -> str:
        if "$ref" in schema:
            name = str(schema["$ref"]).rpartition("/")[2]
            inner = {other: schema for other, schema in defs.items() if other != name}
            return _spelling(inner).of(defs[name]) if name in defs else "unknown"  # recursive
        if "properties" in schema:
            return "{ " + "; ".join(_fields(schema, defs)) + " }"
        values = schema.get("additionalProperties")
        known = isinstance(values, dict) and bool(values)
        found = _spelling(defs).of(msgspec.convert(values, _Schema)) if known else "unknown"
        return f"Record<string, {found}>"

    return Spelling(
        scalars=_SCALARS,
        union=" | ",
        literals=" | ".join,
        array="Array<{}>".format,
        object=object_type,
        any="unknown",
    )
