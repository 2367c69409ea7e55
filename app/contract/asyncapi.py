"""`/ws` as an AsyncAPI 3 document, `docs/asyncapi.json`."""

from collections.abc import Iterable
from importlib.metadata import version

import msgspec

from ..auth.guards import SUBPROTOCOL
from ..catalog.registry import Catalog
from ..errors import ErrorMessage
from ..events import Gap
from ..ws.messages import (
    Connected,
    Heartbeat,
    Notice,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    Unsubscribe,
)
from .schemas import (
    ADDRESS,
    COOKIE,
    COOKIE_HELP,
    TOKEN_HEADER,
    TOKEN_HELP,
    UPGRADE_HEADERS,
    UPGRADE_QUERY,
    Event,
    Schema,
    Schemas,
)

_SENT: tuple[type[msgspec.Struct], ...] = (Connected, Gap, Heartbeat, Notice)
_ANSWERS: dict[type[msgspec.Struct], type[msgspec.Struct]] = {
    Subscribe: Subscribed,
    Unsubscribe: Subscribed,
    Ping: Pong,
}
_CONTROL: tuple[type[msgspec.Struct], ...] = (*_SENT, *_ANSWERS, Subscribed, Pong, ErrorMessage)
_SUBPROTOCOL: Schema = {
    "type": "string",
    "description": f"`{SUBPROTOCOL}, token.T` sends the session token T,"
    f" `{SUBPROTOCOL}, key.K` the browser key K beside the cookie; the gateway answers `{SUBPROTOCOL}`.",
}
_SECURITY: Schema = {
    "sessionToken": {
        "type": "httpApiKey",
        "in": "header",
        "name": TOKEN_HEADER,
        "description": TOKEN_HELP,
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": TOKEN_HELP},
    "cookie": {
        "type": "httpApiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": COOKIE_HELP,
    },
}
_UPGRADE: Schema = {
    "method": "GET",
    "query": {"type": "object", "properties": UPGRADE_QUERY},
    "headers": {
        "type": "object",
        "properties": {**UPGRADE_HEADERS, "Sec-WebSocket-Protocol": _SUBPROTOCOL},
    },
    "bindingVersion": "0.1.0",
}
_CHANNEL: Schema = {"$ref": "#/channels/ws"}
_DESCRIPTION = (
    "The gateway's WebSocket. A `type` with a dot is an event, one without is a control message."
    " Within v1, fields and control messages may be added: ignore what you do not know."
    " docs/protocol.md has what schemas cannot express: how to resume, and the close codes."
)


def to_asyncapi(catalog: Catalog) -> Schema:
    """Return the document of a gateway with this catalog."""
    schemas = Schemas(catalog, _CONTROL)
    payloads = {entry.type: schemas.of_type(entry.type) for entry in catalog.entries()}
    if catalog.extra_namespaces:
        payloads["other"] = schemas.other_events()
    events: dict[str, Schema] = {
        name: {"payload": {"allOf": [schemas[Event], payload]}}
        for name, payload in payloads.items()
    }
    control: dict[str, Schema] = {_tag(struct): {"payload": schemas[struct]} for struct in _CONTROL}
    messages = events | control
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Sightline {SUBPROTOCOL}",
            "version": version("sightline-gateway"),
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": ADDRESS,
                "protocol": "ws",
                "security": [{"$ref": f"#/components/securitySchemes/{n}"} for n in _SECURITY],
            }
        },
        "channels": {
            "ws": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": _UPGRADE},
            }
        },
        "operations": {
            "sendEvents": _operation("send", "Every event that matches the filter.", events),
            "sendControl": _operation("send", "`connected` comes first.", map(_tag, _SENT)),
            **{
                _tag(asked): {
                    **_operation("receive", str(asked.__doc__), [_tag(asked)]),
                    "reply": {"channel": _CHANNEL, "messages": _named([_tag(answer), "error"])},
                }
                for asked, answer in _ANSWERS.items()
            },
        },
        "components": {
            "messages": messages,
            "schemas": schemas.by_name,
            "securitySchemes": _SECURITY,
        },
    }


def _tag(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def _named(messages: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"#/channels/ws/messages/{name}"} for name in messages]


def _operation(action: str, summary: str, messages: Iterable[str]) -> Schema:
    return {
        "action": action,
        "summary": summary,
        "channel": _CHANNEL,
        "messages": _named(messages),
    }
