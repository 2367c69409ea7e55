"""The event classes of the Python client, made from the catalog.

`clients/python/sightline_client/events.py` is printed by `python -m app.client_events`.
"""

import textwrap
from collections.abc import Mapping

import msgspec

from app.catalog import Catalog, CatalogEntry
from app.generated import print_generated

_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_HEAD = '''\
"""The data of every event type, one class each.

Written by `python -m app.client_events` from the gateway's catalog; do not edit by hand.
"""

{imports}import msgspec
'''


def to_python() -> str:
    """The text of the client's `events.py`."""
    entries = Catalog().entries()
    classes = [_class(entry) for entry in entries]
    imports = "from typing import Literal\n\n" if "Literal[" in "".join(classes) else ""
    types = "".join(f'    "{entry.type}": {_name(entry)},\n' for entry in entries)
    return "\n\n".join(
        [
            _HEAD.format(imports=imports),
            *classes,
            "KnownData = (\n    " + "\n    | ".join(map(_name, entries)) + "\n)\n"
            f"DATA_CLASSES: dict[str, type[KnownData]] = {{\n{types}}}\n",
        ]
    )


def _name(entry: CatalogEntry) -> str:
    return str(entry.schema["title"])


def _class(entry: CatalogEntry) -> str:
    properties = msgspec.convert(entry.schema["properties"], dict[str, dict[str, object]])
    required = msgspec.convert(entry.schema.get("required", []), list[str])
    lines = [
        f"class {_name(entry)}(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):"
    ]
    told = textwrap.wrap(f'"""`{entry.type}`: {entry.description}"""', 96)
    lines += [*told, *([""] if properties else [])]
    for name, schema in properties.items():
        annotation = _annotation(schema)
        if name in required:
            lines.append(f"{name}: {annotation}")
        elif "default" in schema:
            lines.append(f"{name}: {annotation} = {schema['default']!r}")
        else:
            lines.append(f"{name}: {annotation} | None = None")
    body = textwrap.indent("\n".join(lines[1:]), "    ")
    return f"{lines[0]}\n{body}\n"


def _annotation(schema: Mapping[str, object]) -> str:
    if "anyOf" in schema:
        choices = msgspec.convert(schema["anyOf"], list[dict[str, object]])
        return " | ".join(map(_annotation, choices))
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, msgspec.convert(schema['enum'], list[object])))}]"
    if schema.get("type") == "array":
        items = msgspec.convert(schema.get("items", {}), dict[str, object])
        return f"list[{_annotation(items)}]"
    if "$ref" in schema or schema.get("type") == "object":
        return "dict[str, object]"
    return _SCALARS.get(str(schema.get("type")), "object")


if __name__ == "__main__":
    print_generated(to_python)
