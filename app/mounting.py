"""Between server and application: mount prefix, redirects, lifespan errors, signals."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import cast
from urllib.parse import quote

from litestar import Litestar, asgi
from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import (
    ASGIApp,
    LifeSpanReceive,
    LifeSpanSend,
    LifeSpanSendMessage,
    Receive,
    Scope,
    Send,
)

from .auth.denial import answer
from .auth.guards import PREFIX
from .errors import NotStartedError, SettingsError

NOT_STARTED = "sightline_not_started"  # marks our routes in the host application
Handler = Callable[[int, FrameType | None], object]


def unprefixed(scope: Scope) -> Scope:
    """The scope without the prefix that the application is mounted at, which moves to `PREFIX`.

    All checks of paths run after this, so none can miss a prefix.
    """
    prefix = (scope.get("root_path") or "").rstrip("/")
    if not prefix:
        return scope
    path = scope["path"]
    if path == prefix or path.startswith(prefix + "/"):
        path = path[len(prefix) :] or "/"
    state = {**(scope.get("state") or {}), PREFIX: prefix}
    return cast(Scope, {**scope, "path": path, "root_path": "", "state": state})


def redirected(app: ASGIApp) -> ASGIApp:
    """Redirect `/prefix` and `/login/` to paths at which the pages' relative URLs are right."""

    async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
        path, prefix = scope["path"], (scope.get("root_path") or "").rstrip("/")
        right = None
        if scope["type"] == ScopeType.HTTP and path.startswith(prefix):
            right = {"": f"{prefix}/", "/login/": f"{prefix}/login"}.get(path[len(prefix) :])
        if right is None:
            await app(scope, receive, send)
            return
        location = "/" + quote(right).lstrip("/")  # `//name` would be another host
        headers = [(b"location", location.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return redirect


def not_started_routes(paths: Iterable[str], folders: Iterable[str]) -> list[ASGIRouteHandler]:
    """Routes for the gateway's paths, reached only while the gateway does not run."""
    mark = {NOT_STARTED: True}
    return [
        asgi(sorted(paths), copy_scope=False, opt=mark)(refuse_not_started),
        *(asgi(f, is_mount=True, copy_scope=False, opt=mark)(refuse_not_started) for f in folders),
    ]


async def refuse_not_started(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request or upgrade, because the server did not run the lifespan."""
    await answer(NotStartedError(), scope, send)


async def begin(app: Litestar, receive: LifeSpanReceive, send: LifeSpanSend) -> None:
    """Run the lifespan for a server; report an invalid setting in one line without traceback."""
    failures: list[LifeSpanSendMessage] = []
    refused: SettingsError | None = None

    async def send_later(message: LifeSpanSendMessage) -> None:
        if message["type"] == "lifespan.startup.failed":
            failures.append(message)
        else:
            await send(message)

    try:
        await app.asgi_router.lifespan(receive=receive, send=send_later)
    except BaseException as error:
        if (refused := _settings_error(error)) is None:
            for message in failures:
                await send(message)
            raise
    if refused is not None:
        text = f"the gateway did not start: {refused}"
        await send({"type": "lifespan.startup.failed", "message": text})


def in_one_line(app: Litestar) -> ASGIApp:
    """The application, with `begin` as its lifespan."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if cast(str, scope["type"]) == "lifespan":
            await begin(app, cast(LifeSpanReceive, receive), cast(LifeSpanSend, send))
        else:
            await app(scope, receive, send)

    return serve


def _settings_error(error: BaseException) -> SettingsError | None:
    """The `SettingsError` inside the exception groups that the framework adds, or None."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, SettingsError) else None


@contextmanager
def first_at_signals(begin_drain: Callable[[], None]) -> Iterator[None]:
    """While entered, call `begin_drain` at SIGINT and SIGTERM, before the server's own handler.

    Servers wait for open connections before they end the lifespan, so an open stream would block
    the shutdown.
    """
    ours: list[tuple[signal.Signals, Handler, Handler]] = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            previous = signal.getsignal(number)
            if callable(previous):  # otherwise no server runs in this process
                handler: Handler = partial(_drain_first, begin_drain, previous)
                signal.signal(number, handler)
                ours.append((number, handler, previous))
    try:
        yield
    finally:
        for number, handler, previous in ours:
            if signal.getsignal(number) is handler:
                signal.signal(number, previous)


def _drain_first(
    begin_drain: Callable[[], None],
    server: Handler,
    number: int,
    frame: FrameType | None,
) -> None:
    begin_drain()
    server(number, frame)
