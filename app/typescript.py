"""The catalog as TypeScript: `clients/js/events.d.ts` is printed by `python -m app.typescript`."""

from collections.abc import Mapping

import msgspec

from app.catalog import Catalog, CatalogEntry
from app.generated import print_generated

_HEAD = """\
// Written by `python -m app.typescript > clients/js/events.d.ts`; do not edit by hand.

/** The `data` of every event type. Fields beyond those named here pass through unchanged. */
export interface EventData {
"""
_PRIMITIVES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}


def to_typescript() -> str:
    """The text of `clients/js/events.d.ts`."""
    return _HEAD + "\n".join(map(_entry, Catalog().entries())) + "}\n"


def _entry(entry: CatalogEntry) -> str:
    properties = msgspec.convert(entry.schema["properties"], dict[str, dict[str, object]])
    required = msgspec.convert(entry.schema.get("required", []), list[str])
    lines = [f"  /** {entry.description} */", f'  "{entry.type}": {{']
    for name, schema in properties.items():
        lines.append(f"    {name}{'' if name in required else '?'}: {_type(schema)};")
    return "\n".join([*lines, "    [field: string]: unknown;", "  };", ""])


def _type(schema: Mapping[str, object]) -> str:
    if "anyOf" in schema:
        choices = msgspec.convert(schema["anyOf"], list[dict[str, object]])
        return " | ".join(map(_type, choices))
    if schema.get("type") == "array":
        return f"Array<{_type(msgspec.convert(schema['items'], dict[str, object]))}>"
    return _PRIMITIVES.get(str(schema.get("type")), "unknown")


if __name__ == "__main__":
    print_generated(to_typescript)
