"""The only wiring: start reading here.

One event's way: a service calls `EventPublisher.publish`, which encodes and checks; `EventBus.accept`
numbers it, keeps it in the `ReplayStore` and offers it to each `Subscription`; the `Outlet` of a
connection takes it from there and sends it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from app import log
from app.api import events, login, metrics, pages, status, stream
from app.asyncapi import to_asyncapi
from app.auth.denial import Door, http_refusal, remember
from app.auth.guards import require_credential
from app.auth.tokens import Keyring
from app.catalog import Catalog
from app.channels.backend import ChannelBackend, MemoryBackend
from app.channels.bus import EventBus, new_epoch
from app.channels.publisher import EventPublisher
from app.channels.replay import ReplayStore
from app.channels.subscription import QueueBounds
from app.cli import SightlineCLI
from app.errors import CLOSE_RESTART, SettingsError
from app.events import Clock
from app.flood import tell_left_out
from app.metrics import Counters, watch_lag
from app.openapi import to_openapi
from app.schemas import to_text
from app.settings import Settings
from app.sources.git import GitSource
from app.sources.workspace import WorkspaceSource
from app.workers import only_worker
from app.ws.listener import events_socket
from app.ws.messages import Notice, encode
from app.ws.registry import ConnectionRegistry

FIRST_PAUSE_S = 1.0  # before a source that died is begun again; doubled each time, up to
LONGEST_PAUSE_S = 60.0
_log = structlog.get_logger("sightline.main")


def keyring_of(state: State) -> Keyring:
    """The keyring that the lifespan made."""
    keyring: Keyring = state.keyring
    return keyring


def _given(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False, use_cache=True)


def _lazily(make: Callable[[], object]) -> Provide:
    return Provide(make, sync_to_thread=False, use_cache=True)


def create_app(settings: Settings, clock: Clock | None = None) -> Litestar:
    """Build the gateway. Pure: the token file, the watchers and their tasks begin in the lifespan."""
    clock = clock or Clock()
    catalog = Catalog(settings.extra_namespaces)
    counters = Counters()
    store = ReplayStore(
        new_epoch(),
        settings.replay_window_s,
        settings.replay_max_events,
        settings.replay_max_bytes,
    )
    bus = EventBus(
        store,
        catalog,
        clock,
        lambda flush: asyncio.get_running_loop().call_soon(flush),
        QueueBounds(settings.queue_size, settings.queue_max_bytes),
        settings.replay_limit,
        counters,
    )
    registry = ConnectionRegistry(settings.max_clients)
    backend = _backend(settings, bus, registry)
    publisher = EventPublisher(backend, catalog, clock, settings.max_event_bytes)

    def begin_drain() -> None:
        publisher.close()
        registry.close()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        log.configure(settings)
        app.state.keyring = Keyring(settings, clock)
        publisher.start(asyncio.get_running_loop())
        only_one = only_worker(settings.state_dir) if settings.nats_url is None else nullcontext()
        with only_one:
            await backend.start()
            async with asyncio.TaskGroup() as tasks:
                owned = [tasks.create_task(watch_lag(counters.loop_lag))]
                if settings.workspace is not None:
                    workspace = settings.workspace
                    owned += [
                        tasks.create_task(
                            _watch("workspace", WorkspaceSource(publisher.emit, workspace))
                        ),
                        tasks.create_task(_watch("git", GitSource(publisher.emit, workspace))),
                    ]
                try:
                    yield
                finally:
                    for task in owned:
                        task.cancel()
                    begin_drain()
                    await backend.stop()
                    tell_left_out()

    app = Litestar(
        route_handlers=[
            events_socket,
            events.publish_events,
            events.read_events,
            stream.stream_events,
            login.make_ticket,
            login.log_in,
            pages.console,
            pages.login_page,
            pages.static_file,
            pages.client_file,
            status.health,
            status.session,
            status.catalog,
            status.openapi_document,
            status.asyncapi_document,
            status.upgrade_required,
            metrics.metrics,
        ],
        dependencies={
            "publisher": _given(publisher),
            "bus": _given(bus),
            "backend": _given(backend),
            "replay_store": _given(store),
            "registry": _given(registry),
            "settings": _given(settings),
            "catalog": _given(catalog),
            "openapi": _lazily(lambda: to_text(to_openapi(catalog))),
            "asyncapi": _lazily(lambda: to_text(to_asyncapi(catalog))),
            "counters": _given(counters),
            "keyring": Provide(keyring_of, sync_to_thread=False),
        },
        guards=[require_credential],
        lifespan=[lifespan],
        after_exception=[remember],
        exception_handlers={Exception: http_refusal},
        openapi_config=None,
        logging_config=None,
        plugins=[SightlineCLI(settings)],
    )
    app.state.begin_drain = begin_drain
    app.state.counters = counters
    app.asgi_handler = Door(app.asgi_handler, settings, counters)
    return app


def _backend(settings: Settings, bus: EventBus, registry: ConnectionRegistry) -> ChannelBackend:
    """The log that the settings name."""
    if settings.nats_url is None:
        return MemoryBackend(bus)
    try:
        from app.channels.jetstream import JetStreamBackend
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"SIGHTLINE_NATS_URL needs {error.name}: pip install 'sightline[nats]'"
        ) from error

    def close_all() -> None:
        registry.close_all(CLOSE_RESTART, "the stream goes on elsewhere: connect again")

    def tell(connected: bool) -> None:
        now = bus.clock.timestamp()
        notice = Notice.backend_back(now) if connected else Notice.backend_away(now)
        registry.tell_all(encode(notice))

    return JetStreamBackend(bus, settings, close_all, tell)


async def _watch(name: str, source: WorkspaceSource | GitSource) -> None:
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
