"""`Gateway`: the wiring of everything that one gateway is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

from litestar.datastructures import State
from litestar.types import Scope

from .api import pages
from .api.hooks import HookParts
from .api.metrics import metrics as metrics_page
from .api.routes import Dependencies, application
from .auth.audit import Audit
from .auth.credentials import access_in
from .auth.denial import AccessGate
from .auth.publishing import HeldPublisher, held_publisher
from .auth.token_bucket import shared_tokens, started
from .auth.tokens import Keyring
from .catalog.registry import Catalog
from .channel_backend import backend_of
from .channels.bus import EventBus, new_epoch
from .channels.publisher import EventPublisher
from .channels.replay import ReplayStore
from .channels.subscription import QueueBounds
from .contract.asyncapi import to_asyncapi
from .contract.openapi import to_openapi
from .contract.schemas import to_text
from .events import Clock
from .ingest.recent import Recents, RecentTelemetry
from .journal.journal import JournalStatus
from .journal.wiring import journal_of
from .log.flood import report_left_out
from .metrics import Counters, watch_lag
from .outbound import Outbound
from .redaction import Redactor, choice_of
from .settings import Settings
from .sources import check_workspace
from .sources.running import keep_running, sources_of
from .state.lock import FolderLock, only_gateway
from .ws.flow import Parts
from .ws.listener import EventsSocket
from .ws.messages import Notice, encode
from .ws.registry import ConnectionRegistry

LAST_GRACE_S = 1.0  # for clients to read why they are closed, if the server does not wait for that


class Gateway:
    """The stream, the places and the routes of one gateway, for one lifespan.

    Building is pure: the token file, the sources and their tasks begin in the lifespan. The routes
    are a separate Litestar application, so no other guards or middleware apply to them.
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
        """`state` is the state of the routes' application; `console`, `metrics`: serve these paths."""
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
        self.journal = journal_of(settings, clock, self._report_journal)
        redactor = Redactor(choice_of(settings.redact))
        self.backend = backend_of(settings, self.bus, self.registry, redactor)
        self.publisher = EventPublisher(
            self.backend, catalog, clock, settings.max_event_bytes, self.journal, redactor
        )
        self._parts = Parts(
            self.bus,
            self.backend,
            self.replay_store,
            self.registry,
            settings,
            self.journal,
            self.publisher,
        )
        self._shared_tokens = shared_tokens(settings)
        self.outbound = Outbound(settings, self.bus, self.publisher, clock, self.journal)
        left_out = [*([] if console else pages.SITE), *([] if metrics else [metrics_page])]
        self._recent = Recents()
        self.started = False
        self.lock = FolderLock(settings.state_dir)
        state.begin_drain = self.begin_drain
        state.counters = self.counters
        openapi = cache(lambda: to_text(to_openapi(catalog, left_out)))  # only if it is asked for
        asyncapi = cache(lambda: to_text(to_asyncapi(catalog)))
        dependencies: Dependencies = {
            "parts": self._parts_for,
            "publisher": self._publisher_for,
            "recent": self._recent_for,
            "bus": lambda _: self.bus,
            "backend": lambda _: self.backend,
            "registry": lambda _: self.registry,
            "journal": lambda _: self.journal,
            "settings": lambda _: settings,
            "catalog": lambda _: catalog,
            "openapi": lambda _: openapi(),
            "asyncapi": lambda _: asyncapi(),
            "counters": lambda _: self.counters,
            "hook_parts": self._hook_parts_for,
            "keyring": lambda _: self.keyring,
        }
        self.app = application(state, dependencies, console=console, metrics=metrics)
        served = EventsSocket(self.app.asgi_handler, self._parts)
        self.app.asgi_handler = AccessGate(served, settings, self.counters)
        paths = {route.path.partition("{")[0] for route in self.app.routes}
        self.folders = tuple(path for path in paths if path.endswith("/") and path != "/")
        self.paths = paths.difference(self.folders)

    @property
    def keyring(self) -> Keyring:
        """The keyring; set by the lifespan."""
        keyring: Keyring = self.app.state.keyring
        return keyring

    def _parts_for(self, scope: Scope) -> Parts:
        """The parts for a request, with its publisher."""
        return self._parts._replace(publisher=self._publisher_for(scope))

    def _publisher_for(self, scope: Scope) -> HeldPublisher:
        """The publisher of a request, held to what its credential may publish."""
        return held_publisher(self.publisher, scope)

    def _recent_for(self, scope: Scope) -> RecentTelemetry:
        """What a request's spans and hooks are compared with: only others of the same token."""
        access = access_in(scope)
        return self._recent.of(access.name if access.is_named else "")

    def _hook_parts_for(self, scope: Scope) -> HookParts:
        return HookParts(
            self._publisher_for(scope), self._recent_for(scope), self.outbound.attention
        )

    def owns(self, path: str) -> bool:
        """Whether a normalised path belongs to the gateway, for any method."""
        return path in self.paths or path.startswith(self.folders)

    def _report_journal(self, status: JournalStatus) -> None:
        notice = Notice.of_journal(self._clock.timestamp(), status.reason)
        self.registry.send_all(encode(notice))

    async def _restore(self) -> None:
        """Continue the epoch after a clean stop, and subscribe the journal to the bus."""
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
        await self.journal.opened()

    def _report_blind(self, blind: Mapping[str, int]) -> None:
        """Count the parts of the workspace that cannot be watched, and report them to clients."""
        self.counters.blind = dict(blind)
        self.registry.send_all(encode(Notice.of_workspace(self._clock.timestamp(), blind)))

    def begin_drain(self) -> None:
        """Refuse new events and clients, and announce the shutdown. Idempotent."""
        self.publisher.close()
        self.registry.close()

    @asynccontextmanager
    async def _prepared(self) -> AsyncIterator[None]:
        """Hold the state folder and, where gateways share their tokens, have them read."""
        with only_gateway(self.lock):
            async with started(self._shared_tokens):
                yield

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Run the gateway while entered; can be entered once.

        Raises:
            SettingsError: the state folder cannot be written or another gateway uses it, or the
                workspace is not a folder, or NATS is away.
        """
        self.started = True
        settings = self.settings
        check_workspace(settings.workspace)
        async with self._prepared():
            audit = Audit(self._clock, self.publisher.emit)
            keyring = Keyring(settings, self._clock, self.registry.end, audit, self._shared_tokens)
            self.app.state.keyring = keyring
            self.bus.owner.start(asyncio.get_running_loop())
            self.publisher.start(asyncio.get_running_loop())
            await self._restore()
            await self.backend.start()
            async with asyncio.TaskGroup() as tasks:
                owned = [tasks.create_task(watch_lag(self.counters.loop_lag))]
                try:
                    self.outbound.start(tasks)
                    keyring.watch()
                    owned.append(tasks.create_task(keyring.token_store.watch()))
                    if keyring.bearers is not None:
                        owned.append(tasks.create_task(keyring.bearers.watch()))
                    if settings.workspace is not None:
                        emit = self.publisher.emit
                        sources = sources_of(settings.workspace, emit, self._report_blind)
                        owned += [tasks.create_task(keep_running(*one)) for one in sources.items()]
                    yield
                finally:
                    for task in owned:
                        task.cancel()
                    keyring.close()
                    self.begin_drain()
                    await asyncio.sleep(0)  # for an array half published: see `publish_all`
                    await self.registry.emptied(LAST_GRACE_S)
                    await self.backend.stop()
                    await self.outbound.stop()
                    if self.journal is not None:
                        await self.journal.close()
                    report_left_out()
