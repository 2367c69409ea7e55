"""All routes of the gateway."""

from litestar.handlers import BaseRouteHandler

from ..ws.listener import events_socket
from . import agui, events, history, hooks, login, otlp, pages, sessions, status, stream, token
from .metrics import metrics as metrics_page


def routes(*, console: bool, metrics: bool) -> list[BaseRouteHandler]:
    """The handlers, with the console's pages and `/metrics` or without."""
    return [
        events_socket,
        events.publish_events,
        *hooks.ROUTES,
        *otlp.ROUTES,
        history.read_events,
        stream.stream_events,
        agui.stream_thread,
        *login.ROUTES,
        *token.ROUTES,
        *sessions.ROUTES,
        pages.client_file,
        status.health,
        status.session,
        status.catalog,
        status.openapi_document,
        status.asyncapi_document,
        status.upgrade_required,
        *(pages.SITE if console else []),
        *([metrics_page] if metrics else []),
    ]
