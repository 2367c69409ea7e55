"""The HTTP routes as an OpenAPI document, `docs/openapi.json`.

Path, method, words and who may call come from the handlers.
"""

import re
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import NamedTuple

import msgspec
from litestar.handlers import HTTPRouteHandler

from ..api import events, history, hooks, login, metrics, pages, sessions, status, stream, token
from ..auth.credentials import KEY_HEADER
from ..catalog.registry import Catalog
from ..errors import ErrorMessage
from ..ingest import cloudevents
from ..ingest.cloudevents import CloudEvent
from ..ws.queries import NAME
from .schemas import (
    ADDRESS,
    COOKIE,
    COOKIE_HELP,
    EPOCH,
    KEY_HELP,
    TOKEN_HEADER,
    TOKEN_HELP,
    TYPES,
    UPGRADE_HEADERS,
    UPGRADE_QUERY,
    Event,
    Schema,
    Schemas,
    ref,
    typed,
)

_JSON = "application/json"
_DESCRIPTION = (
    "Publish events and read what is retained. Every refusal has the same body, and they are decided"
    " in this order: 403, 404, 401, 400, 503, 426. A method that a path does not have is a 405 with"
    " `Allow`, to who has a credential. docs/protocol.md says what a schema cannot;"
    " `/api/asyncapi.json` describes the messages of `/ws`."
)
_REFUSALS: dict[int, tuple[str, dict[str, str]]] = {
    400: ("A parameter, a header or the body is malformed, or the event is refused.", {}),
    401: ("The credential is missing or wrong.", {"WWW-Authenticate": "`Bearer`."}),
    403: ("`Host` or `Origin` is not allowed.", {}),
    404: ("There is no such path.", {}),
    408: ("The request took too long to come.", {}),
    413: ("The body, the array or an event is too large.", {}),
    415: ("The body is of another content type.", {}),
    426: ("This is a WebSocket.", {"Upgrade": "`websocket`.", "Sec-WebSocket-Version": "`13`."}),
    431: ("The head is over 8 KiB.", {}),
    500: ("The gateway failed; its log says why.", {}),
    503: ("No room is left, or the gateway is shutting down.", {"Retry-After": "In seconds."}),
}
_ANYWHERE = (400, 408, 431, 500, 503)  # what may be wrong with any request, or with the gateway
_SECURITY: Schema = {
    "sessionToken": {
        "type": "apiKey",
        "in": "header",
        "name": TOKEN_HEADER,
        "description": TOKEN_HELP,
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": TOKEN_HELP},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": COOKIE_HELP},
    "browserKey": {
        "type": "apiKey",
        "in": "header",
        "name": KEY_HEADER,
        "description": KEY_HELP,
    },
}
_TOKEN: list[Schema] = [{"sessionToken": []}, {"bearer": []}]
_LIMIT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": history.MAX_LIMIT,
    "default": history.DEFAULT_LIMIT,
    "description": "How many events at most.",
}
_POSITION: Schema = {
    "type": "string",
    "pattern": f"^(?:{NAME.pattern}:)?[0-9]{{1,16}}$",
    "description": "Exclusive: a position, `epoch:number`, or a number with `epoch` beside it.",
}
_TIME: Schema = {
    "type": "string",
    "description": "ISO 8601, Unix milliseconds, or an age such as `2h`. Needs a journal.",
}
_HISTORY: dict[str, Schema] = {
    "types": TYPES,
    "after": _POSITION,
    "before": _POSITION,
    "epoch": EPOCH,
    "order": {"type": "string", "enum": ["asc", "desc"], "description": "Always by position."},
    "since": _TIME,
    "until": _TIME,
    "agent": {"type": "string", "description": "Only events with this `metadata.agent`."},
    "session_id": {"type": "string", "description": "Only events of this session of an agent."},
    "q": {"type": "string", "description": "Words, and phrases in quotes, that all occur."},
    "limit": _LIMIT,
}
_KEY: Schema = {
    "type": "string",
    "pattern": f"^{events.KEY.pattern}$",
    "description": "Where the log remembers keys (NATS), a request sent twice is published once.",
}
_LAST_EVENT_ID: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z0-9._-]{1,64}:[0-9]{1,16}$",
    "description": "`epoch:sequence_number`, which `EventSource` sends by itself: resume there.",
}
_TEXT: Schema = {"type": "string"}
_LOGGED_IN = {
    "Set-Cookie": "`HttpOnly`, for 12 hours.",
    KEY_HEADER: "The browser key, which the cookie needs beside it.",
}
_LOGGED_OUT = {"Set-Cookie": "Takes the cookie away."}
_ETAG = {"ETag": "For `If-None-Match`."}
_IF_NONE_MATCH: Schema = {"type": "string", "description": "The `ETag` of what is at hand."}


class _Route(NamedTuple):
    handler: HTTPRouteHandler
    answers: Mapping[int, Schema]
    refusals: tuple[int, ...] = ()
    path: Mapping[str, Schema] = {}
    query: Mapping[str, Schema] = {}
    headers: Mapping[str, Schema] = {}
    body: Mapping[str, Schema] | None = None


def to_openapi(catalog: Catalog, left_out: Collection[HTTPRouteHandler] = ()) -> Schema:
    """The document of a gateway with this catalog, without the handlers that it does not have."""
    taken = [route.handler.fn.__name__ for route in _routes(Schemas(catalog, _STRUCTS))]
    schemas = Schemas(catalog, _STRUCTS, [*taken, *_UNIONS])
    paths: dict[str, Schema] = {}
    for route in (route for route in _routes(schemas) if route.handler not in left_out):
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
        "security": [*_TOKEN, {"cookie": [], "browserKey": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.by_name | _unions(catalog, schemas),
            "responses": {
                str(code): _answer(words, {_JSON: schemas[ErrorMessage]}, headers)
                for code, (words, headers) in _REFUSALS.items()
            },
            "securitySchemes": _SECURITY,
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
)


def _unions(catalog: Catalog, schemas: Schemas) -> dict[str, Schema]:
    """An event of any type: as it is read, as it is published, and as a CloudEvent."""
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
    """Of a type in a reverse domain; absent data means an empty object, which may not do."""
    schema = typed({"type": "string", "pattern": rf"(^|\.){re.escape(name)}$"}, data)
    needed = any(field.required for field in fields)
    return schema if needed else {**schema, "required": ["type"]}


def _routes(schemas: Schemas) -> list[_Route]:
    published = schemas[events.Published]
    batch: Schema = {"type": "array", "maxItems": events.MAX_BATCH, "items": ref("AnyNewEvent")}
    cloud_batch = batch | {"items": ref("AnyCloudEvent")}
    pages_ = {200: _answer("The page.", {"text/html": _TEXT}, _ETAG), 304: _answer("Not changed.")}
    files = {media_type: _TEXT for media_type in sorted({*pages.MEDIA_TYPES.values()})}
    files_ = {200: _answer("The file.", files, _ETAG), 304: _answer("Not changed.")}
    unless = {"If-None-Match": _IF_NONE_MATCH}
    return [
        _Route(
            events.publish_events,
            {
                201: _json(
                    "Where the events stand: one, or a list for an array.",
                    {"anyOf": [published, {"type": "array", "items": published}]},
                )
            },
            (413, 415),
            headers={"Idempotency-Key": _KEY},
            body={
                _JSON: {"anyOf": [ref("AnyNewEvent"), batch]},
                cloudevents.ONE: ref("AnyCloudEvent"),
                cloudevents.BATCH: cloud_batch,
            },
        ),
        *(
            _Route(route, {204: _answer("Taken; never anything else.")}, (413,), body={_JSON: {}})
            for route in hooks.ROUTES
        ),
        _Route(
            history.read_events,
            {200: _json("A page of them.", schemas[history.History])},
            query=_HISTORY,
        ),
        _Route(
            stream.stream_events,
            {200: _answer("Messages as on `/ws`, one a block.", {"text/event-stream": _TEXT})},
            query={"types": TYPES},
            headers={"Last-Event-ID": _LAST_EVENT_ID},
        ),
        _Route(status.catalog, {200: _json("All types.", schemas[status.CatalogPage])}),
        _Route(status.session, {200: _json("You are in.", schemas[status.SessionStatus])}),
        _Route(status.health, {200: _json("It is up.", schemas[status.HealthStatus])}),
        _Route(status.openapi_document, {200: _json("OpenAPI 3.1.", {"type": "object"})}),
        _Route(status.asyncapi_document, {200: _json("AsyncAPI 3.0.", {"type": "object"})}),
        _Route(metrics.metrics, {200: _answer("Prometheus' text.", {"text/plain": _TEXT})}),
        _Route(login.make_ticket, {201: _json("The ticket.", schemas[login.NewTicket])}),
        _Route(
            login.log_in,
            {204: _answer("Logged in.", headers=_LOGGED_IN)},
            (401, 413, 415),
            body={_JSON: schemas[login.Ticket]},
        ),
        _Route(sessions.log_out, {204: _answer("Logged out.", headers=_LOGGED_OUT)}),
        _Route(sessions.list_sessions, {200: _json("Them.", schemas[sessions.LoggedInBrowsers])}),
        _Route(sessions.end_sessions, {204: _answer("None is logged in.")}),
        _Route(
            sessions.end_session,
            {204: _answer("It is logged out.")},
            (404,),
            {"id": {"type": "string", "description": "The session's `id`."}},
        ),
        _Route(
            token.challenge,
            {200: _json("The proof.", schemas[token.Proof])},
            (413,),
            body={_JSON: schemas[token.Challenge]},
        ),
        _Route(token.rotate_token, {204: _answer("The file holds the new token.")}),
        _Route(pages.console, pages_, headers=unless),
        _Route(pages.login_page, pages_, headers=unless),
        _Route(pages.static_file, files_, (404,), {"name": _named("console.js")}, headers=unless),
        _Route(pages.client_file, files_, (404,), {"name": _named("sightline.js")}, headers=unless),
        _Route(
            status.upgrade_required,
            {101: _answer("The WebSocket is open.")},
            (426,),
            query=UPGRADE_QUERY,
            headers=UPGRADE_HEADERS,
        ),
    ]


def _operation(route: _Route) -> Schema:
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
        "responses": {str(code): answer for code, answer in route.answers.items()}
        | {str(code): {"$ref": f"#/components/responses/{code}"} for code in sorted(refusals)},
    }
    if is_open:
        operation["security"] = []
    elif handler.opt.get("token_only"):
        operation["security"] = _TOKEN
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    return operation


def _parameter(described: Schema) -> Schema:
    schema = {key: value for key, value in described.items() if key != "description"}
    return {"description": described["description"], "schema": schema}


def _named(example: str) -> Schema:
    return {"type": "string", "description": "A file's name.", "examples": [example]}


def _content(by_media_type: Mapping[str, Schema]) -> Schema:
    return {media_type: {"schema": schema} for media_type, schema in by_media_type.items()}


def _answer(
    description: str,
    content: Mapping[str, Schema] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Schema:
    answer: Schema = {"description": description}
    if headers:
        answer["headers"] = {
            name: {"description": words, "required": True, "schema": {"type": "string"}}
            for name, words in headers.items()
        }
    if content:
        answer["content"] = _content(content)
    return answer


def _json(description: str, schema: Schema) -> Schema:
    return _answer(description, {_JSON: schema})
