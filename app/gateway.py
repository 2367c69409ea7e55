"""`Gateway`: the wiring of everything that one gateway is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from .api import events, history, login, pages, sessions, status, stream, token
from .api.metrics import metrics as metrics_page
from .auth.denial import Door, http_refusal, remember
from .auth.guards import require_credential
from .auth.tokens import Keyring
from .catalog.registry import Catalog
from .channels.backend import ChannelBackend, MemoryBackend
from .channels.bus import EventBus, new_epoch
from .channels.publisher import EventPublisher
from .channels.replay import ReplayStore
from .channels.subscription import QueueBounds
from .contract.asyncapi import to_asyncapi
from .contract.openapi import to_openapi
from .contract.schemas import to_text
from .errors import CLOSE_RESTART, SettingsError
from .events import Clock
from .journal.journal import Journal, JournalStatus
from .journal.writer import Bounds
from .log.flood import tell_left_out
from .metrics import Counters, watch_lag
from .settings import Settings
from .sources import check_workspace
from .state.lock import FolderLock, only_gateway
from .ws.listener import events_socket
from .ws.messages import Notice, encode
from .ws.registry import ConnectionRegistry

if TYPE_CHECKING:
    from .sources.git import GitSource
    from .sources.workspace import WorkspaceSource

FIRST_PAUSE_S = 1.0  # before a source that died is begun again; doubled each time, up to
LONGEST_PAUSE_S = 60.0
MS_OF_A_DAY = 86_400_000
LAST_GRACE_S = 1.0  # for clients to hear why they are closed, where the server does not wait for it
_log = structlog.get_logger("sightline.gateway")


def keyring_of(state: State) -> Keyring:
    """The keyring that the lifespan made."""
    keyring: Keyring = state.keyring
    return keyring


def _given(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False, use_cache=True)


def _lazily(make: Callable[[], object]) -> Provide:
    return Provide(make, sync_to_thread=False, use_cache=True)


class Gateway:
    """The stream, the places and the routes of one gateway, for one lifespan.

    Building is pure: the token file, the watchers and their tasks begin in the lifespan. The routes
    are an application of their own, so that no guard, middleware or handler of another reaches them.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        state: State,
        *,
        console: bool = True,
        metrics: bool = True,
    ) -> None:
        """`state` is that of the routes' application; `console` and `metrics` leave out paths."""
        self.settings = settings
        self.console = console
        self._clock = clock
        self.counters = Counters()
        catalog = Catalog(settings.extra_namespaces)
        self.replay_store = ReplayStore(
            new_epoch(),
            settings.replay_window_s,
            settings.replay_max_events,
            settings.replay_max_bytes,
        )
        self.bus = EventBus(
            self.replay_store,
            catalog,
            clock,
            lambda flush: asyncio.get_running_loop().call_soon(flush),
            QueueBounds(settings.queue_size, settings.queue_max_bytes),
            settings.replay_limit,
            self.counters,
        )
        self.registry = ConnectionRegistry(settings.max_clients)
        self.journal = self._journal()
        self.backend = _backend(settings, self.bus, self.registry)
        self.publisher = EventPublisher(
            self.backend, catalog, clock, settings.max_event_bytes, self.journal
        )
        site = [pages.console, pages.login_page, pages.static_file]
        left_out = [*([] if console else site), *([] if metrics else [metrics_page])]
        self.started = False
        self.lock = FolderLock(settings.state_dir)
        state.begin_drain = self.begin_drain
        state.counters = self.counters
        self.app = Litestar(
            route_handlers=[
                events_socket,
                events.publish_events,
                history.read_events,
                stream.stream_events,
                login.make_ticket,
                login.log_in,
                *token.ROUTES,
                *sessions.ROUTES,
                pages.client_file,
                status.health,
                status.session,
                status.catalog,
                status.openapi_document,
                status.asyncapi_document,
                status.upgrade_required,
                *(site if console else []),
                *([metrics_page] if metrics else []),
            ],
            dependencies={
                "publisher": _given(self.publisher),
                "bus": _given(self.bus),
                "backend": _given(self.backend),
                "replay_store": _given(self.replay_store),
                "registry": _given(self.registry),
                "journal": _given(self.journal),
                "settings": _given(settings),
                "catalog": _given(catalog),
                "openapi": _lazily(lambda: to_text(to_openapi(catalog, left_out))),
                "asyncapi": _lazily(lambda: to_text(to_asyncapi(catalog))),
                "counters": _given(self.counters),
                "keyring": Provide(keyring_of, sync_to_thread=False),
            },
            guards=[require_credential],
            after_exception=[remember],
            exception_handlers={Exception: http_refusal},
            openapi_config=None,
            logging_config=None,
            state=state,
        )
        self.app.asgi_handler = Door(self.app.asgi_handler, settings, self.counters)
        paths = {route.path.partition("{")[0] for route in self.app.routes}
        self.folders = tuple(path for path in paths if path.endswith("/") and path != "/")
        self.paths = paths.difference(self.folders)

    @property
    def keyring(self) -> Keyring:
        """What opens the door; the lifespan makes it."""
        return keyring_of(self.app.state)

    def owns(self, path: str) -> bool:
        """Whether a normalised path is the gateway's, whatever the method."""
        return path in self.paths or path.startswith(self.folders)

    def _journal(self) -> Journal | None:
        settings = self.settings
        if settings.journal_path is None:
            return None
        age_ms = int(settings.journal_max_age_days * MS_OF_A_DAY)
        bounds = Bounds(settings.journal_max_bytes, age_ms)
        leave_out = frozenset(settings.journal_leave_out)
        clock = self._clock

        def tell(status: JournalStatus) -> None:
            notice = Notice.of_journal(clock.timestamp(), status.reason)
            self.registry.tell_all(encode(notice))

        return Journal(settings.journal_path, bounds, clock, leave_out, tell)

    async def _go_on(self) -> None:
        """Continue the epoch of a clean stop, and have the journal follow the bus."""
        if self.journal is None:
            return
        settings = self.settings
        mark = await self.journal.open()
        if mark is not None and settings.nats_url is None:
            newest = await self.journal.newest(
                mark.epoch,
                settings.replay_max_events,
                settings.replay_max_bytes,
                settings.replay_window_s,
            )
            self.bus.restore(mark.epoch, mark.head, newest)
        self.bus.follow(self.journal)

    def _see(self, blind: Mapping[str, int]) -> None:
        """Take in and tell which parts of the workspace cannot be watched."""
        self.counters.blind = dict(blind)
        self.registry.tell_all(encode(Notice.of_workspace(self._clock.timestamp(), blind)))

    def begin_drain(self) -> None:
        """Refuse what is new and tell the clients, at the first sign of the end; twice is fine."""
        self.publisher.close()
        self.registry.close()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """From the token file to the last task's end; once only.

        Raises:
            SettingsError: the state folder cannot be written or has a gateway already, or the
                workspace is no folder.
        """
        self.started = True
        settings = self.settings
        check_workspace(settings.workspace)
        with only_gateway(self.lock):
            keyring = self.app.state.keyring = Keyring(settings, self._clock, self.registry.end)
            self.bus.owner.start(asyncio.get_running_loop())
            self.publisher.start(asyncio.get_running_loop())
            await self._go_on()
            await self.backend.start()
            async with asyncio.TaskGroup() as tasks:
                owned = [tasks.create_task(watch_lag(self.counters.loop_lag))]
                try:
                    keyring.watch()
                    if settings.workspace is not None:
                        sources = _sources(self.publisher, settings.workspace, self._see)
                        owned += [tasks.create_task(_watch(*source)) for source in sources.items()]
                    yield
                finally:
                    for task in owned:
                        task.cancel()
                    keyring.close()
                    self.begin_drain()
                    await self.registry.emptied(LAST_GRACE_S)
                    await self.backend.stop()
                    if self.journal is not None:
                        await self.journal.close()
                    tell_left_out()


def _backend(settings: Settings, bus: EventBus, registry: ConnectionRegistry) -> ChannelBackend:
    """The log that the settings name."""
    if settings.nats_url is None:
        return MemoryBackend(bus)
    try:
        from .channels.nats.backend import JetStreamBackend
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"SIGHTLINE_NATS_URL needs {error.name}: pip install 'sightline-gateway[nats]'"
        ) from error

    def close_all() -> None:
        registry.close_all(CLOSE_RESTART, "the stream goes on elsewhere: connect again")

    def tell(connected: bool) -> None:
        now = bus.clock.timestamp()
        notice = Notice.backend_back(now) if connected else Notice.backend_away(now)
        registry.tell_all(encode(notice))

    return JetStreamBackend(bus, settings, close_all, tell)


def _sources(
    publisher: EventPublisher, workspace: Path, on_sight: Callable[[Mapping[str, int]], None]
) -> "dict[str, WorkspaceSource | GitSource]":
    """What watches the workspace, by name: nothing where the extra is not installed, which is told."""
    try:
        from .sources.git import GitSource
        from .sources.workspace import WorkspaceSource
    except ModuleNotFoundError as error:
        remedy = "pip install 'sightline-gateway[workspace]', or set SIGHTLINE_WORKSPACE to nothing"
        _log.warning("workspace_not_watched", missing=error.name, remedy=remedy)
        return {}
    return {
        "workspace": WorkspaceSource(publisher.emit, workspace, on_sight),
        "git": GitSource(publisher.emit, workspace),
    }


async def _watch(name: str, source: "WorkspaceSource | GitSource") -> None:
    """Run a source; one that dies is told and begun again, with growing pauses."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await source.run()
            return
        except Exception as error:
            what = type(error).__name__
            _log.error(
                "source_died", source=name, error_type=what, again_in_s=pause_s, exc_info=error
            )
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
