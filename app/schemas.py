"""JSON Schemas of what goes over the wire, made from the structs: OpenAPI and AsyncAPI share them."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from app.catalog import MAX_TYPE_LENGTH, TYPE_PATTERN, Catalog, schema_hook
from app.filters import PATTERN
from app.queries import MAX_SEQUENCE_NUMBER, NAME

Schema = dict[str, object]
_PATTERNS = f"^(?:{PATTERN.pattern})(?:,(?:{PATTERN.pattern}))*$|^$"
ADDRESS = "127.0.0.1:3000"  # by default
TOKEN_HEADER = "X-Session-Token"
TOKEN_HELP = "The session token, which is in `.sightline/session.token` of the gateway's folder."
COOKIE = "sightline_3000"
COOKIE_HELP = (
    "A browser's log-in, named after the port in `Host`. It counts only together with the browser key"
    " and where no token is sent; for `/ws` and unsafe methods with an allowed `Origin`, else with no"
    " foreign `Sec-Fetch-Site`."
)
KEY_HELP = (
    "The second half of a browser's log-in, worth nothing without the cookie. In place of the header,"
    " a WebSocket sends the subprotocol `key.K`, a `GET` the query parameter `browser_key`."
)
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_SEQUENCE_NUMBER}
TYPES: Schema = {
    "type": "string",
    "pattern": _PATTERNS,
    "description": "At most 256 patterns, separated by commas: `*`, or two tokens of which each may"
    " be `*`. Absent is everything, empty is nothing.",
}
NUMBER: Schema = {**_NUMBER, "description": "The last number processed."}
EPOCH: Schema = {**_NAME, "description": "The epoch of the number; not without one."}
CLIENT_ID: Schema = {**_NAME, "description": "The client's name for itself; absent: one is made."}
UPGRADE_QUERY: dict[str, Schema] = {
    "types": TYPES,
    "client_id": CLIENT_ID,
    "last_sequence_number": NUMBER,
    "epoch": EPOCH,
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


class Schemas:
    """The schemas of structs and of every event type, by name, and references to them."""

    def __init__(self, catalog: Catalog, structs: Iterable[type[msgspec.Struct]]) -> None:
        """Under the name of an event type stands what its events have alone: `type` and `data`."""
        types = [Event, *structs, *catalog.structs.values()]
        refs, self.by_name = msgspec.json.schema_components(
            types, schema_hook=schema_hook, ref_template="#/components/schemas/{name}"
        )
        self._refs: dict[object, Schema] = dict(zip(types, refs, strict=True))
        self._catalog = catalog
        for entry in catalog.entries():
            self.by_name[entry.type] = {
                "description": entry.description,
                **typed({"const": entry.type}, self[catalog.structs[entry.type]]),
                "examples": [{"type": entry.type, "data": entry.example}],
            }

    def __getitem__(self, struct: object) -> Schema:
        """A reference to the schema of a struct."""
        return self._refs[struct]

    def other_events(self, before: str = "^") -> Schema:
        """What events of the extra namespaces, whose types need no catalog entry, have alone."""
        names = "|".join(sorted(self._catalog.extra_namespaces))
        pattern = rf"{before}({names})\.[a-z][a-z0-9_]*$"
        return typed({"type": "string", "pattern": pattern}, {"type": "object"})


def ref(name: str) -> Schema:
    """A reference to the schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def typed(type_: Mapping[str, object], data: Schema) -> Schema:
    """An object with this `type` and `data`."""
    properties = {"type": type_, "data": data}
    return {"type": "object", "required": ["type", "data"], "properties": properties}


def to_text(document: Schema) -> str:
    """The document as the files in `docs` hold it."""
    return json.dumps(document, indent=1) + "\n"
