"""`Spelling`: how a language writes the types of a JSON Schema. The one walk through a schema."""

import json
from collections.abc import Callable, Mapping

import msgspec

Schema = Mapping[str, object]


class Spelling(msgspec.Struct, frozen=True, kw_only=True):
    """The type syntax of one language."""

    scalars: Mapping[str, str]
    union: str  # between the choices of a union
    literals: Callable[[list[str]], str]  # of constants, each as JSON writes it
    array: Callable[[str], str]  # of its items' type
    object: Callable[[Schema], str]  # of a schema with properties, additional ones or a reference
    any: str

    def of(self, schema: Schema) -> str:
        """The type that a schema describes."""
        if "anyOf" in schema:
            choices = msgspec.convert(schema["anyOf"], list[dict[str, object]])
            return self.union.join(map(self.of, choices))
        if "enum" in schema:
            return self.literals([json.dumps(value) for value in _list(schema["enum"])])
        if schema.get("type") == "array":
            items = schema.get("items", {})
            return self.array(self.of(msgspec.convert(items, dict[str, object])))
        if "$ref" in schema or schema.get("type") == "object":
            return self.object(schema)
        return self.scalars.get(str(schema.get("type")), self.any)


def _list(value: object) -> list[object]:
    return msgspec.convert(value, list[object])
