"""The HTTP routes as an OpenAPI document, `docs/openapi.json`.

Path, method, summary and required credential come from the handlers.
"""

import re
from collections.abc import Collection
from importlib.metadata import version

import msgspec
from litestar.handlers import HTTPRouteHandler

from ..api import events, history, login, sessions, status, token
from ..catalog.registry import Catalog
from ..errors import ErrorMessage
from ..ingest.cloudevents import CloudEvent
from ..ingest.otlp_http import Status
from .parameters import SECURITY, TOKEN_ONLY
from .routes import JSON, Route, answer, content_of, routes
from .schemas import ADDRESS, Event, Schema, Schemas, typed

_DESCRIPTION = (
    "Publish events and read the retained ones. Every refusal has the same body,"
    " or, for OTLP, that of its specification. Refusals are decided"
    " in this order: 403, 404, 401, 403 for a token's scope, 400, 503, 426. Authenticated callers get 405 with `Allow` for a"
    " method that a path does not have. docs/protocol.md says what schemas cannot express;"
    " `/api/asyncapi.json` describes the messages of `/ws`."
)
_REFUSALS: dict[int, tuple[str, dict[str, str]]] = {
    400: ("A parameter, a header or the body is malformed, or the event is refused.", {}),
    401: ("The credential is missing or wrong.", {"WWW-Authenticate": "`Bearer`."}),
    403: ("`Host` or `Origin` is not allowed, or the token may not do this.", {}),
    404: ("There is no such path.", {}),
    408: ("The request took too long to arrive.", {}),
    413: ("The body, the array or an event is too large.", {}),
    415: ("The content type is not supported.", {}),
    426: ("This is a WebSocket.", {"Upgrade": "`websocket`.", "Sec-WebSocket-Version": "`13`."}),
    431: ("The head is over 8 KiB.", {}),
    500: ("The gateway failed; its log says why.", {}),
    503: ("No place is free, or the gateway is shutting down.", {"Retry-After": "In seconds."}),
}
_ANYWHERE = (400, 408, 431, 500, 503)  # possible for every request


def to_openapi(catalog: Catalog, left_out: Collection[HTTPRouteHandler] = ()) -> Schema:
    """Return the document of a gateway with this catalog, without the handlers in `left_out`."""
    taken = [route.handler.fn.__name__ for route in routes(Schemas(catalog, _STRUCTS))]
    schemas = Schemas(catalog, _STRUCTS, [*taken, *_UNIONS])
    paths: dict[str, Schema] = {}
    for route in (route for route in routes(schemas) if route.handler not in left_out):
        (path,) = route.handler.paths
        (method,) = route.handler.http_methods
        operations = paths.setdefault(re.sub(r":str\b", "", path), {})
        operations[method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sightline",
            "version": version("sightline-gateway"),
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [
            {"url": "http://{address}", "variables": {"address": {"default": ADDRESS}}},
        ],
        "security": [*TOKEN_ONLY, {"cookie": [], "browserKey": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.by_name | _unions(catalog, schemas),
            "responses": {
                str(code): answer(words, {JSON: schemas[ErrorMessage]}, headers)
                for code, (words, headers) in _REFUSALS.items()
            },
            "securitySchemes": SECURITY,
        },
    }


_UNIONS = ("AnyEvent", "AnyNewEvent", "AnyCloudEvent")
_STRUCTS: tuple[type[msgspec.Struct], ...] = (
    ErrorMessage,
    events.NewEvent,
    events.Published,
    history.History,
    CloudEvent,
    login.Ticket,
    login.NewTicket,
    sessions.LoggedInBrowsers,
    token.Challenge,
    token.Proof,
    status.HealthStatus,
    status.SessionStatus,
    status.CatalogPage,
    Status,
)


def _unions(catalog: Catalog, schemas: Schemas) -> dict[str, Schema]:
    """The schemas of an event of any type: as read, as published, and as a CloudEvent."""
    types = [schemas.of_type(name) for name in catalog.structs]
    cloud_types = [
        _cloud_type(name, schemas[struct], msgspec.structs.fields(struct))
        for name, struct in catalog.structs.items()
    ]
    if catalog.extra_namespaces:
        types.append(schemas.other_events())
        cloud_types.append(schemas.other_events(before=r"(^|\.)"))
    any_event, any_new_event, any_cloud_event = _UNIONS
    return {
        any_event: {"allOf": [schemas[Event], {"anyOf": types}]},
        any_new_event: {"allOf": [schemas[events.NewEvent], {"anyOf": types}]},
        any_cloud_event: {"allOf": [schemas[CloudEvent], {"anyOf": cloud_types}]},
    }


def _cloud_type(name: str, data: Schema, fields: tuple[msgspec.structs.FieldInfo, ...]) -> Schema:
    """A CloudEvent of a type, with any reverse domain. Absent data counts as an empty object."""
    schema = typed({"type": "string", "pattern": rf"(^|\.){re.escape(name)}$"}, data)
    needed = any(field.required for field in fields)
    return schema if needed else {**schema, "required": ["type"]}


def _operation(route: Route) -> Schema:
    handler, is_open = route.handler, bool(route.handler.opt.get("open"))
    refusals = {*_ANYWHERE, *route.refusals, *(() if is_open else (401,))}
    if handler is not status.health:
        refusals.add(403)
    parameters = [
        {"name": name, "in": place, "required": place == "path", **_parameter(schema)}
        for place, schemas in (
            ("path", route.path),
            ("query", route.query),
            ("header", route.headers),
        )
        for name, schema in schemas.items()
    ]
    operation: Schema = {
        "operationId": handler.fn.__name__,
        "summary": handler.fn.__doc__,
        "parameters": parameters,
        "responses": {str(code): reply for code, reply in route.answers.items()}
        | {str(code): _refusal(code, route) for code in sorted(refusals)},
    }
    scope = handler.opt.get("scope", "admin")
    if not is_open and scope != "any":
        operation["description"] = f"A named token needs the scope `{scope}`."
    if is_open:
        operation["security"] = []
    elif handler.opt.get("token_only"):
        operation["security"] = TOKEN_ONLY
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": content_of(route.body)}
    return operation


def _refusal(code: int, route: Route) -> Schema:
    if route.refused is None:
        return {"$ref": f"#/components/responses/{code}"}
    words, headers = _REFUSALS[code]
    return answer(words, route.refused, headers)


def _parameter(described: Schema) -> Schema:
    schema = {key: value for key, value in described.items() if key != "description"}
    return {"description": described["description"], "schema": schema}
