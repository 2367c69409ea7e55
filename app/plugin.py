"""`SightlinePlugin`: adds the gateway to a Litestar application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import click
from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import ImproperlyConfiguredException
from litestar.plugins import CLIPlugin, InitPlugin, ReceiveRoutePlugin
from litestar.routes import ASGIRoute, BaseRoute
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.utils import normalize_path

from . import log
from .auth.denial import AccessGate, http_refusal, keep_refusal
from .auth.guards import require_credential
from .auth.tokens import Keyring
from .channels.bus import EventBus
from .channels.publisher import EventPublisher
from .channels.replay import ReplayStore
from .events import Clock
from .gateway import Gateway
from .mounting import NOT_STARTED, first_at_signals, not_started_routes, redirected, unprefixed
from .settings import Settings
from .ws.registry import ConnectionRegistry


class SightlinePlugin(InitPlugin, CLIPlugin, ReceiveRoutePlugin):
    """Adds the gateway to an application, which keeps its own routes, guards, errors and logging.

    The gateway answers on its own paths, before any middleware of the application. Handlers of the
    application can inject `publisher`, `bus`, `replay_store`, `registry` and `keyring`; the
    application's own dependency of such a name wins. Each application needs its own plugin.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        console: bool = True,
        metrics: bool = True,
        alone: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Store the settings; `on_app_init` makes the gateway.

        `console=False` leaves `/`, `/login` and `/static/` to the application, `metrics=False`
        leaves `/metrics`. `alone` means that the application is only the gateway: then the gateway
        refuses requests on all paths, and sets up logging.
        """
        self.settings = settings
        self.alone = alone
        self._console = console
        self._metrics = metrics
        self._clock = clock or Clock()
        self._state = State()
        self._gateway: Gateway | None = None
        self._running = False

    @property
    def gateway(self) -> Gateway:
        """The gateway of the application; a new one each time the application starts again."""
        if self._gateway is None:
            raise ImproperlyConfiguredException(
                "the gateway is made with the application: pass this plugin to Litestar(plugins=[…])"
            )
        return self._gateway

    @property
    def running(self) -> bool:
        """Whether the application's lifespan is running."""
        return self._running

    @property
    def publisher(self) -> EventPublisher:
        """Publishes events."""
        return self.gateway.publisher

    @property
    def bus(self) -> EventBus:
        """The stream of events, to subscribe to."""
        return self.gateway.bus

    @property
    def replay_store(self) -> ReplayStore:
        """The retained events."""
        return self.gateway.replay_store

    @property
    def registry(self) -> ConnectionRegistry:
        """The connected clients."""
        return self.gateway.registry

    @property
    def keyring(self) -> Keyring:
        """The credentials of clients, while the application runs."""
        return self.gateway.keyring

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Make the gateway; add its dependencies, and its lifespan around all others.

        Raises:
            SettingsError: a setting needs an extra that is not installed.
        """
        if self.alone:  # so that routes registered later are guarded too
            self._state = app_config.state
            app_config.guards.append(require_credential)
            app_config.after_exception.append(keep_refusal)
            app_config.exception_handlers = {Exception: http_refusal}
        if not self._running:  # a command line may build the application twice
            self._make()
        if not self.alone:  # reached only if no lifespan runs
            app_config.route_handlers.extend(
                not_started_routes(self.gateway.paths, self.gateway.folders)
            )
        provided: dict[str, Callable[[], object]] = {
            "publisher": lambda: self.publisher,
            "bus": lambda: self.bus,
            "replay_store": lambda: self.replay_store,
            "registry": lambda: self.registry,
            "keyring": lambda: self.keyring,
        }
        ours = {name: Provide(get, sync_to_thread=False) for name, get in provided.items()}
        app_config.dependencies = {**ours, **app_config.dependencies}
        app_config.lifespan.insert(0, self._lifespan)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Refuse a route of the application that the gateway would hide.

        Raises:
            ImproperlyConfiguredException: the application has a path of the gateway.
        """
        ours = isinstance(route, ASGIRoute) and NOT_STARTED in route.route_handler.opt
        if not ours and self.gateway.owns(route.path):
            raise ImproperlyConfiguredException(
                f"{route.path!r} is a path of the gateway and of this application: move yours, or"
                " use SightlinePlugin(settings, console=False) to keep '/', '/login' and '/static/'"
                " for the application, metrics=False to keep '/metrics'"
            )

    def on_cli_init(self, cli: click.Group) -> None:
        """Make `litestar run` serve with direct writes and eviction."""
        from .cli.run import replace_run  # on other servers uvicorn may be missing

        replace_run(cli, self)

    def _make(self) -> None:
        self._gateway = Gateway(
            self.settings, self._clock, self._state, console=self._console, metrics=self._metrics
        )

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        if self._running:
            raise ImproperlyConfiguredException(
                "this plugin is running in another application: make a SightlinePlugin for each"
            )
        if self.alone:
            log.configure(self.settings)
        else:
            log.join()
        if self.gateway.started:  # a gateway can start once; tests restart one application
            self._make()
        gateway, application = self.gateway, app.asgi_handler
        self._running = True
        try:
            with first_at_signals(gateway.begin_drain):
                async with gateway.lifespan():
                    app.asgi_handler = self._in_front_of(gateway, application)
                    try:
                        yield
                    finally:
                        app.asgi_handler = application
        finally:
            self._running = False

    def _in_front_of(self, gateway: Gateway, application: ASGIApp) -> ASGIApp:
        if self.alone:
            application = AccessGate(application, self.settings, gateway.counters)

        async def distribute(scope: Scope, receive: Receive, send: Send) -> None:
            below = unprefixed(scope)
            if below["path"] in gateway.paths or gateway.owns(normalize_path(below["path"])):
                await gateway.app(below, receive, send)
            else:
                await application(below if self.alone else scope, receive, send)

        return redirected(distribute) if gateway.console else distribute


def plugin_of(app: Litestar) -> SightlinePlugin:
    """The plugin of an application."""
    return app.plugins.get(SightlinePlugin)
