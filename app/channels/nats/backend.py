"""`JetStreamBackend`: NATS JetStream is the log that several gateways share.

The stream's sequence is the number of an event and its incarnation the epoch, so any gateway can
serve any client. The `Sender` hands a publish to NATS, and the `Follower` reads it back like the
events of other gateways. A publish is done when it is stored there and fanned out here.

Any doubt ends the connection or the follower. The next one begins at the bus's head.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable, Coroutine

import structlog
from nats.aio.client import Client

from ...errors import SettingsError, UnavailableError
from ...events import Event, Position
from ...settings import Settings
from ..backend import BackendStatus
from ..bus import Contents, EventBus
from . import remedies, stream
from .client import check_urls
from .connection import (
    CLOSE_WAIT_S,
    RETRY_S,
    TROUBLE,
    Lost,
    connection,
    end,
    first_to_end,
)
from .domains import find_unambiguous
from .follower import Follower
from .horizon import Horizon
from .intake import Intake
from .outbox import Outbox
from .sender import Sender

START_WAIT_S = 15.0  # the gateway and NATS may start at the same moment
STOP_WAIT_S = 2.0  # for publishes that NATS has not answered yet
TICK_S = 0.1  # precision of the deadlines of publishes
_log = structlog.get_logger("sightline.jetstream")


class JetStreamBackend:
    """A `ChannelBackend` whose log is shared by all gateways on the same stream."""

    def __init__(
        self,
        bus: EventBus,
        settings: Settings,
        on_restart: Callable[[], None],
        on_state: Callable[[bool], None],
        intake: Intake,
    ) -> None:
        """`on_restart` must close the connections of clients, whose positions no longer hold;
        `on_state` gets whether NATS is connected, at each change.

        Raises:
            SettingsError: the URL needs a package that is not installed.
        """
        check_urls(settings.nats_url or "")
        self._bus = bus
        self._settings = settings
        self._wanted = stream.wanted(settings)
        self._on_restart = on_restart
        self._on_state = on_state
        self._outbox = Outbox(
            settings.nats_publish_wait_s, lambda: asyncio.get_running_loop().create_future()
        )
        self._intake = intake
        self._sender = Sender(bus, self._outbox, settings.nats_stream, self._doubt, intake)
        self._horizon = Horizon(bus, self._wanted, self._doubt)
        self._connected = False
        self._outages = 0
        self._client: Client | None = None
        self._follower: Follower | None = None
        self._started: Future[None] | None = None
        self._trouble: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._is_first_find = True

    @property
    def status(self) -> BackendStatus:
        """The state of the connection and of the publishes."""
        return BackendStatus(
            "jetstream",
            connected=self._connected,
            lag=self._follower.lag if self._follower else 0,
            waiting=self._outbox.waiting,
            in_flight=self._outbox.in_flight,
            outages=self._outages,
            unknown=self._outbox.unknown,
            durable=True,
        )

    async def start(self) -> None:
        """Connect, find or create the stream, fill the replay log. Cancelling leaves no task.

        Raises:
            SettingsError: NATS is unreachable, the stream differs from the settings, or it holds
                more than can be read in time.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._own(self._stay_connected())
        self._own(self._keep_deadlines())
        try:
            async with asyncio.timeout(START_WAIT_S):
                await self._started
        except TimeoutError:
            lag = self.status.lag
            await self.stop()
            raise SettingsError(
                remedies.not_filled(START_WAIT_S, lag)
                if lag
                else remedies.cannot_be_used(self._trouble, self._settings.nats_domain)
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Wait shortly for pending publishes, fail the rest, end every task."""
        deadline = self._bus.clock.monotonic() + STOP_WAIT_S
        while (self._outbox.waiting or self._outbox.in_flight) and self._connected:
            if self._bus.clock.monotonic() > deadline:
                break
            await asyncio.sleep(TICK_S / 4)
        self._stopped = True
        self._outbox.close("the gateway is shutting down")
        await end(self._tasks, 2 * CLOSE_WAIT_S)  # longer than a connection takes to close

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Future[Event]:
        """Queue an event; the future resolves when it is stored and fanned out."""
        self._bus.owner.require_here()
        if self._stopped:
            raise UnavailableError("the gateway has ended: nothing can be published")
        future = self._outbox.add(self._bus.clock.monotonic(), type_, timestamp, contents, key)
        self._sender.wake()
        return future

    async def catch_up(self, position: Position) -> None:
        """Read up to a position ahead of the bus; see `Horizon.reach`."""
        await self._horizon.reach(position, self._client if self._connected else None)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_deadlines(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._outbox.expire(self._bus.clock.monotonic())
            self._sender.wake()

    async def _stay_connected(self) -> None:
        settings = self._settings
        assert settings.nats_url is not None
        while True:
            try:
                async with connection(settings.nats_url, settings.nats_domain) as (client, lost):
                    await self._use(client, lost)
            except SettingsError as error:
                if self._started is not None and not self._started.done():
                    self._started.set_exception(error)
                    return
                self._trouble = error
                _log.error("stream_differs", error=str(error))
            except TROUBLE as error:
                self._trouble = error
            except Exception as error:
                self._trouble = error
                _log.error("backend_failed", error_type=type(error).__name__, exc_info=error)
            self._set_connected(False)
            await asyncio.sleep(RETRY_S)

    async def _use(self, client: Client, lost: Lost) -> None:
        self._client = client
        try:
            await first_to_end(
                self._follow(client),
                self._sender.send(client),
                self._sender.look_up(client),
                lost.wait(),
            )
        finally:
            self._client = self._follower = None

    async def _follow(self, client: Client) -> None:
        settings = self._settings
        stream.check_payload(client, settings.max_event_bytes)
        while True:
            find = find_unambiguous if self._is_first_find else stream.find_or_create
            found = await find(client, self._wanted)
            self._is_first_find = False
            self._sender.domain = found.domain
            if found.epoch != self._bus.epoch:
                stream.check(found, self._wanted)
            self._follower = Follower(
                client, found, self._bus, self._begin, self._seen, self._caught_up, self._intake
            )
            why = await self._follower.run(settings.replay_window_s, settings.replay_max_events)
            _log.warning("follower_begins_again", why=why, head=self._bus.head)
            if why == "quiet":
                self._trouble = TimeoutError("NATS has sent nothing for some seconds")
                self._set_connected(False)

    def _doubt(self, why: str) -> None:
        if self._follower is not None:
            self._follower.end(why)

    def _begin(self, epoch: str, head: int) -> None:
        """Continue at another place of the stream; close the clients of the old place first."""
        if self._bus.epoch != epoch or head < self._bus.head:
            self._outbox.fail_stored("the stream on NATS was recreated or lost its end")
        self._on_restart()
        self._bus.begin(epoch, head)
        self._horizon.moved()

    def _caught_up(self) -> None:
        self._set_connected(True)
        if self._started is not None and not self._started.done():
            self._started.set_result(None)

    def _seen(self, event: Event) -> None:
        self._outbox.seen(event)
        self._sender.wake()
        self._horizon.moved()

    def _set_connected(self, connected: bool) -> None:
        if connected == self._connected:
            return
        self._connected = connected
        if connected:
            _log.info("nats_is_there", epoch=self._bus.epoch, head=self._bus.head)
        else:
            self._outages += 1
            _log.warning("nats_is_away", why=remedies.text_of(self._trouble), head=self._bus.head)
        try:
            self._on_state(connected)
        except Exception as error:  # the follower must continue
            _log.error("state_callback_failed", error_type=type(error).__name__, exc_info=error)
