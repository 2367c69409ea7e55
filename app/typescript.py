"""The catalog as TypeScript: `clients/js/events.d.ts` is printed by `python -m app.typescript`."""

import json
from collections.abc import Mapping

import msgspec

from app.catalog import Catalog, CatalogEntry
from app.generated import print_generated

_HEAD = """\
// Written by `python -m app.typescript > clients/js/events.d.ts`; do not edit by hand.

/** The `data` of every event type. Fields beyond those named here pass through unchanged. */
export interface EventData {
"""
_PRIMITIVES = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_Schema = dict[str, object]
_Schemas = dict[str, _Schema]


def to_typescript() -> str:
    """The text of `clients/js/events.d.ts`."""
    return _HEAD + "\n".join(map(_entry, Catalog().entries())) + "}\n"


def _entry(entry: CatalogEntry) -> str:
    defs = msgspec.convert(entry.schema.get("$defs", {}), _Schemas)
    fields = "\n".join(f"    {field};" for field in _fields(entry.schema, defs))
    return f'  /** {entry.description} */\n  "{entry.type}": {{\n{fields}\n  }};\n'


def _fields(schema: Mapping[str, object], defs: _Schemas) -> list[str]:
    properties = msgspec.convert(schema["properties"], _Schemas)
    required = msgspec.convert(schema.get("required", []), list[str])
    return [
        *(
            f"{json.dumps(name) if '-' in name else name}{'' if name in required else '?'}:"
            f" {_type(field, defs)}"
            for name, field in properties.items()
        ),
        "[field: string]: unknown",
    ]


def _type(schema: Mapping[str, object], defs: _Schemas) -> str:
    if "anyOf" in schema:
        choices = msgspec.convert(schema["anyOf"], list[_Schema])
        return " | ".join(_type(choice, defs) for choice in choices)
    if "enum" in schema:
        return " | ".join(map(json.dumps, msgspec.convert(schema["enum"], list[object])))
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        inner = {other: schema for other, schema in defs.items() if other != name}
        return _type(defs[name], inner) if name in defs else "unknown"  # itself, once more
    if schema.get("type") == "array":
        return f"Array<{_type(msgspec.convert(schema.get('items', {}), _Schema), defs)}>"
    if "properties" in schema:
        return "{ " + "; ".join(_fields(schema, defs)) + " }"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        found = _type(msgspec.convert(values, _Schema), defs) if isinstance(values, dict) else ""
        return f"Record<string, {found or 'unknown'}>"
    return _PRIMITIVES.get(str(schema.get("type")), "unknown")


if __name__ == "__main__":
    print_generated(to_typescript)
