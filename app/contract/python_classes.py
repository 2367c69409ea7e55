"""The event classes of the Python client, `clients/python/sightline_client/events.py`."""

import textwrap

import msgspec

from ..catalog.registry import Catalog, CatalogEntry
from .spelling import Spelling

_HEAD = '''\
"""The data of every event type, one class each.

Written by `python -m app.contract` from the gateway's catalog; do not edit by hand.
"""

{imports}import msgspec
'''


_SPELLING = Spelling(
    scalars={
        "string": "str",
        "integer": "int",
        "number": "float",
        "boolean": "bool",
        "null": "None",
    },
    union=" | ",
    literals=lambda values: f"Literal[{', '.join(values)}]",
    array="list[{}]".format,
    object=lambda schema: "dict[str, object]",
    any="object",
)


def to_python() -> str:
    """Return the text of the client's `events.py`."""
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
    docstring = textwrap.wrap(f'"""`{entry.type}`: {entry.description}"""', 96)
    lines += [*docstring, *([""] if properties else [])]
    for name, schema in properties.items():
        annotation = _SPELLING.of(schema)
        if name in required:
            lines.append(f"{name}: {annotation}")
        elif "default" in schema:
            lines.append(f"{name}: {annotation} = {schema['default']!r}")
        else:
            lines.append(f"{name}: {annotation} | None = None")
    body = textwrap.indent("\n".join(lines[1:]), "    ")
    return f"{lines[0]}\n{body}\n"
