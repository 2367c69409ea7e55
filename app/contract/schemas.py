"""JSON Schemas of the wire messages, generated from the structs, for OpenAPI and AsyncAPI."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from ..catalog.registry import MAX_TYPE_LENGTH, TYPE_PATTERN, Catalog, schema_hook
from ..channels.filters import PATTERN
from ..ws.queries import MAX_SEQUENCE_NUMBER, NAME

Schema = dict[str, object]
_PATTERNS = f"^(?:{PATTERN.pattern})(?:,(?:{PATTERN.pattern}))*$|^$"
ADDRESS = "127.0.0.1:3000"  # the default
TOKEN_HEADER = "X-Session-Token"
TOKEN_HELP = "The session token, which is in `.sightline/session.token` of the gateway's folder."
COOKIE = "sightline_3000"
COOKIE_HELP = (
    "A browser's log-in, named after the port in `Host`. It is valid only together with the browser key"
    " and without a token. `/ws` and unsafe methods also need an allowed `Origin`, the others no"
    " foreign `Sec-Fetch-Site`."
)
KEY_HELP = (
    "The second half of a browser's log-in, valid only with the cookie. Instead of the header,"
    " a WebSocket sends the subprotocol `key.K`, a `GET` the query parameter `browser_key`."
)
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_SEQUENCE_NUMBER}
TYPES: Schema = {
    "type": "string",
    "pattern": _PATTERNS,
    "description": "At most 256 patterns, separated by commas: `*`, or two tokens, each of which"
    " may be `*`. Absent means every event, empty means none.",
}
NUMBER: Schema = {**_NUMBER, "description": "The last number processed."}
EPOCH: Schema = {**_NAME, "description": "The epoch of the number. Needs the number."}
CLIENT_ID: Schema = {
    **_NAME,
    "description": "The client's name for itself. Absent: the gateway makes one.",
}
HISTORY: Schema = {
    "type": "string",
    "enum": ["0", "1"],
    "description": "`1`, with a position: replay as far back as the journal. Needs a journal.",
}
UPGRADE_QUERY: dict[str, Schema] = {
    "types": TYPES,
    "client_id": CLIENT_ID,
    "last_sequence_number": NUMBER,
    "epoch": EPOCH,
    "history": HISTORY,
}
UPGRADE_HEADERS: dict[str, Schema] = {
    "X-Client-Id": CLIENT_ID,
    "X-Last-Sequence": NUMBER,
    "X-Epoch": EPOCH,
}
_TIMESTAMP = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


class Event(msgspec.Struct):
    """An accepted event."""

    type: Annotated[str, Meta(pattern=TYPE_PATTERN.pattern, max_length=MAX_TYPE_LENGTH)]
    timestamp: Annotated[str, Meta(pattern=_TIMESTAMP)]
    sequence_number: Annotated[int, Meta(ge=1, le=MAX_SEQUENCE_NUMBER)]
    data: dict[str, object]
    metadata: dict[str, object]


class Names:
    """Names that stay distinct in generated code: they differ even without case and separators."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {plain(name) for name in taken}

    def take(self, name: str) -> str:
        """Reserve and return this name, with a number appended if a similar one is taken."""
        numbers = itertools.count(2)
        free = name
        while plain(free) in self._taken:
            free = f"{name}{next(numbers)}"
        self._taken.add(plain(free))
        return free


def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub("[^a-z0-9]", "", name.lower())


class Schemas:
    """The schemas of structs and of every event type, by name, and references to them."""

    def __init__(
        self,
        catalog: Catalog,
        structs: Iterable[type[msgspec.Struct]],
        taken: Iterable[str] = (),
    ) -> None:
        """Each type's schema constrains only `type` and `data`.

        The data of `workflow.started` is `WorkflowStartedData`. `taken` are other names in use.
        """
        own = [Event, *structs]
        types = [*own, *catalog.structs.values()]
        refs, components = msgspec.json.schema_components(
            types, schema_hook=schema_hook, ref_template="{name}"
        )
        by_struct = {struct: str(one["$ref"]) for struct, one in zip(types, refs, strict=True)}
        names = Names(taken)
        renamed = {by_struct[struct]: names.take(by_struct[struct]) for struct in own}
        self._names = {entry.type: names.take(entry.type) for entry in catalog.entries()}
        of_data = {by_struct[struct] for struct in catalog.structs.values()}
        for name in [name for name in components if name not in renamed]:
            renamed[name] = names.take(f"{name}Data" if name in of_data else name)
        self.by_name: dict[str, Schema] = {
            renamed[name]: {**_without_defaults(_renamed(schema, renamed)), "title": renamed[name]}
            for name, schema in components.items()
        }
        self._refs = {struct: ref(renamed[name]) for struct, name in by_struct.items()}
        self._catalog = catalog
        for entry in catalog.entries():
            self.by_name[self._names[entry.type]] = {
                "description": entry.description,
                **typed({"const": entry.type}, self[catalog.structs[entry.type]]),
                "examples": [{"type": entry.type, "data": entry.example}],
            }

    def __getitem__(self, struct: type[msgspec.Struct]) -> Schema:
        """A reference to the schema of a struct."""
        return self._refs[struct]

    def of_type(self, type_: str) -> Schema:
        """A reference to the schema of an event type."""
        return ref(self._names[type_])

    def other_events(self, before: str = "^") -> Schema:
        """The schema of events in the extra namespaces: any such type, any object as data."""
        names = "|".join(sorted(self._catalog.extra_namespaces))
        pattern = rf"{before}({names})\.[a-z][a-z0-9_]*$"
        return typed({"type": "string", "pattern": pattern}, {"type": "object"})


def _renamed(schema: Schema, names: Mapping[str, str]) -> Schema:
    """The schema with references to the new names; other references stay unchanged."""

    def walk(value: object) -> object:
        if isinstance(value, dict):
            if isinstance(old := value.get("$ref"), str) and old in names:
                return {**value, **ref(names[old])}
            return {key: walk(one) for key, one in value.items()}
        return [walk(one) for one in value] if isinstance(value, list) else value

    return {key: walk(one) for key, one in schema.items()}


def _without_defaults(schema: Schema) -> Schema:
    """Remove defaults: TypeScript generators would require such fields even in requests."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    fields = {
        name: {key: value for key, value in field.items() if key != "default"}
        for name, field in properties.items()
    }
    return {**schema, "properties": fields}


def ref(name: str) -> Schema:
    """A reference to the schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def typed(type_: Mapping[str, object], data: Schema) -> Schema:
    """An object with this `type` and `data`."""
    properties = {"type": type_, "data": data}
    return {"type": "object", "required": ["type", "data"], "properties": properties}


def to_text(document: Schema) -> str:
    """The document as text for the files in `docs`."""
    return json.dumps(document, indent=1) + "\n"
