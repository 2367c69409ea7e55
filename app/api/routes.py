"""All HTTP routes of the gateway, as one Litestar application. `EventsSocket` serves `/ws`."""

import copy
from collections.abc import Callable, Mapping
from functools import cache

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from ..auth.denial import http_refusal, keep_refusal
from ..auth.guards import require_credential
from . import agui, events, history, hooks, login, otlp, pages, sessions, status, stream, token
from .metrics import metrics as metrics_page

Dependencies = Mapping[str, Callable[[Scope], object]]  # what a route can inject, for each request


def application(
    state: State, dependencies: Dependencies, *, console: bool, metrics: bool
) -> Litestar:
    """The routes of one gateway, which share `state` and inject `dependencies`.

    Litestar takes 40 ms to build the routes, so a process builds them once, and each gateway has a
    copy with a state of its own: all that a request needs of its gateway comes from there.
    """
    app = copy.copy(_built(tuple(dependencies), console=console, metrics=metrics))
    app.state = state
    app.state.dependencies = dependencies
    return app


@cache
def _built(names: tuple[str, ...], *, console: bool, metrics: bool) -> Litestar:
    return Litestar(
        route_handlers=routes(console=console, metrics=metrics),
        dependencies={name: _injected(name) for name in names},
        guards=[require_credential],
        after_exception=[keep_refusal],
        exception_handlers={Exception: http_refusal},
        openapi_config=None,
        logging_config=None,
    )


def _injected(name: str) -> Provide:
    def inject(scope: Scope) -> object:
        return scope["litestar_app"].state.dependencies[name](scope)

    return Provide(inject, sync_to_thread=False)


def routes(*, console: bool, metrics: bool) -> list[BaseRouteHandler]:
    """The handlers, with the console's pages and `/metrics` or without."""
    return [
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
