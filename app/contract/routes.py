"""The table of HTTP routes: requests and responses, as far as the handler does not say."""

from collections.abc import Mapping
from typing import NamedTuple

from litestar.handlers import HTTPRouteHandler

from ..api import (
    agui,
    events,
    history,
    hooks,
    login,
    metrics,
    otlp,
    pages,
    sessions,
    status,
    stream,
    token,
)
from ..auth.credentials import KEY_HEADER
from ..errors import ErrorMessage
from ..ingest import cloudevents, otlp_http
from ..ingest.otlp_http import Status
from .parameters import AGUI_EVENT_ID, HISTORY, IF_NONE_MATCH, KEY, LAST_EVENT_ID
from .schemas import (
    HISTORY as UPGRADE_HISTORY,
    TYPES,
    UPGRADE_HEADERS,
    UPGRADE_QUERY,
    Schema,
    Schemas,
    ref,
)

JSON = "application/json"
_TEXT: Schema = {"type": "string"}
_LOGGED_IN = {
    "Set-Cookie": "`HttpOnly`, for 12 hours.",
    KEY_HEADER: "The browser key, which must accompany the cookie.",
}
_LOGGED_OUT = {"Set-Cookie": "Deletes the cookie."}
_OTLP: dict[str, Schema] = {
    otlp_http.JSON: {"type": "object"},
    otlp_http.PROTOBUF: {"type": "string", "format": "binary"},
}
_ETAG = {"ETag": "For `If-None-Match`."}


class Route(NamedTuple):
    """One route: its handler, and schemas by status, by parameter and by media type."""

    handler: HTTPRouteHandler
    answers: Mapping[int, Schema]
    refusals: tuple[int, ...] = ()
    path: Mapping[str, Schema] = {}
    query: Mapping[str, Schema] = {}
    headers: Mapping[str, Schema] = {}
    body: Mapping[str, Schema] | None = None
    refused: Mapping[str, Schema] | None = None  # bodies of refusals, where they are not the usual


def routes(schemas: Schemas) -> list[Route]:
    """Every documented route."""
    published = schemas[events.Published]
    batch: Schema = {"type": "array", "maxItems": events.MAX_BATCH, "items": ref("AnyNewEvent")}
    cloud_batch = batch | {"items": ref("AnyCloudEvent")}
    pages_ = {200: answer("The page.", {"text/html": _TEXT}, _ETAG), 304: answer("Not changed.")}
    files = {media_type: _TEXT for media_type in sorted({*pages.MEDIA_TYPES.values()})}
    files_ = {200: answer("The file.", files, _ETAG), 304: answer("Not changed.")}
    unless = {"If-None-Match": IF_NONE_MATCH}
    return [
        Route(
            events.publish_events,
            {
                201: json_answer(
                    "The positions of the events: an object, or a list for an array.",
                    {"anyOf": [published, {"type": "array", "items": published}]},
                )
            },
            (413, 415),
            headers={"Idempotency-Key": KEY},
            body={
                JSON: {"anyOf": [ref("AnyNewEvent"), batch]},
                cloudevents.ONE: ref("AnyCloudEvent"),
                cloudevents.BATCH: cloud_batch,
            },
        ),
        Route(
            history.read_events,
            {200: json_answer("A page of events.", schemas[history.History])},
            query=HISTORY,
        ),
        Route(
            stream.stream_events,
            {200: answer("The messages of `/ws`, one a block.", {"text/event-stream": _TEXT})},
            query={"types": TYPES, "history": UPGRADE_HISTORY},
            headers={"Last-Event-ID": LAST_EVENT_ID},
        ),
        Route(
            agui.stream_thread,
            {200: answer("AG-UI events, one a block.", {"text/event-stream": _TEXT})},
            path={"thread_id": {"type": "string", "description": "The `session_id`."}},
            headers={"Last-Event-ID": AGUI_EVENT_ID},
        ),
        *(
            Route(route, {204: answer("Always, with no body.")}, (413,), body={JSON: {}})
            for route in hooks.ROUTES
        ),
        *(
            Route(
                route,
                {200: answer("Taken, as far as `partialSuccess` says no other.", _OTLP)},
                (413, 415),
                body=_OTLP if route is not otlp.export_metrics else _OTLP | {JSON: {}},
                refused=_OTLP | {JSON: {"anyOf": [schemas[Status], schemas[ErrorMessage]]}},
            )
            for route in otlp.ROUTES
        ),
        Route(status.catalog, {200: json_answer("Every event type.", schemas[status.CatalogPage])}),
        Route(
            status.session,
            {200: json_answer("The credential is valid.", schemas[status.SessionStatus])},
        ),
        Route(
            status.health, {200: json_answer("The gateway is up.", schemas[status.HealthStatus])}
        ),
        Route(status.openapi_document, {200: json_answer("OpenAPI 3.1.", {"type": "object"})}),
        Route(status.asyncapi_document, {200: json_answer("AsyncAPI 3.0.", {"type": "object"})}),
        Route(metrics.metrics, {200: answer("Metrics as Prometheus text.", {"text/plain": _TEXT})}),
        Route(login.make_ticket, {201: json_answer("The ticket.", schemas[login.NewTicket])}),
        Route(
            login.log_in,
            {204: answer("Logged in.", headers=_LOGGED_IN)},
            (401, 413, 415),
            body={JSON: schemas[login.Ticket]},
        ),
        Route(sessions.log_out, {204: answer("Logged out.", headers=_LOGGED_OUT)}),
        Route(
            sessions.list_sessions,
            {200: json_answer("The sessions.", schemas[sessions.LoggedInBrowsers])},
        ),
        Route(sessions.end_sessions, {204: answer("Every session is ended.")}),
        Route(
            sessions.end_session,
            {204: answer("The session is ended.")},
            (404,),
            {"id": {"type": "string", "description": "The session's `id`."}},
        ),
        Route(
            token.challenge,
            {200: json_answer("The proof.", schemas[token.Proof])},
            (413,),
            body={JSON: schemas[token.Challenge]},
        ),
        Route(token.rotate_token, {204: answer("The file holds the new token.")}),
        Route(pages.console, pages_, headers=unless),
        Route(pages.login_page, pages_, headers=unless),
        Route(pages.static_file, files_, (404,), {"name": _named("console.js")}, headers=unless),
        Route(
            pages.static_folder_file,
            files_,
            (404,),
            {"folder": _named("history"), "name": _named("pages.js")},
            headers=unless,
        ),
        Route(pages.client_file, files_, (404,), {"name": _named("sightline.js")}, headers=unless),
        Route(
            status.upgrade_required,
            {101: answer("The WebSocket is open.")},
            (426,),
            query=UPGRADE_QUERY,
            headers=UPGRADE_HEADERS,
        ),
    ]


def _named(example: str) -> Schema:
    return {"type": "string", "description": "A file's name.", "examples": [example]}


def content_of(by_media_type: Mapping[str, Schema]) -> Schema:
    """A `content` object."""
    return {media_type: {"schema": schema} for media_type, schema in by_media_type.items()}


def answer(
    description: str,
    content: Mapping[str, Schema] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Schema:
    """A response object; `content` holds schemas by media type, `headers` their descriptions."""
    found: Schema = {"description": description}
    if headers:
        found["headers"] = {
            name: {"description": words, "required": True, "schema": {"type": "string"}}
            for name, words in headers.items()
        }
    if content:
        found["content"] = content_of(content)
    return found


def json_answer(description: str, schema: Schema) -> Schema:
    """A response with a JSON body."""
    return answer(description, {JSON: schema})
