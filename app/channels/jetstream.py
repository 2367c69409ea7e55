"""`JetStreamBackend`: NATS JetStream is the log, and each of many gateways follows it.

The stream's sequence is the number of an event and its incarnation the epoch, so a client may be
served by any gateway. A publish is handed to NATS, comes back through the follower like everybody
else's, and is done when it is both stored there and fanned out here.

One connection at a time, and never nats-py's own reconnecting: that keeps publishes in a buffer of
its own and waits for a frozen server. Here any doubt ends the connection, and the next one begins
at the bus's head.
"""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from app.channels import stream
from app.channels.backend import BackendStatus
from app.channels.bus import Contents, EventBus
from app.channels.follower import Follower
from app.channels.message import read_message, subject_of
from app.channels.outbox import Outbox, Publish
from app.errors import SettingsError, UnavailableError
from app.events import Event, Position
from app.settings import PREFIX, Settings

START_WAIT_S = 15.0  # a gateway and its NATS may be started at the same moment
STOP_WAIT_S = 2.0  # for publishes that NATS has not answered yet
RETRY_S = 0.25
TICK_S = 0.1  # how exactly deadlines of publishes are kept
CATCH_UP_WAIT_S = 2.0
PING_INTERVAL_S = 10
BODY_MARGIN_BYTES = 1024  # what a message holds beside data and metadata
_UNAVAILABLE = 503
_TROUBLE = (NatsError, OSError, TimeoutError, UnavailableError)
_log = structlog.get_logger("sightline.jetstream")


class _Ack(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: stream.ApiError | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


class JetStreamBackend:
    """A `ChannelBackend` whose log is shared by all gateways on the same stream."""

    def __init__(
        self,
        bus: EventBus,
        settings: Settings,
        on_restart: Callable[[], None],
        on_state: Callable[[bool], None],
    ) -> None:
        """`on_restart` must close what names another place in the stream; `on_state` hears whether
        NATS is there each time that it changes.
        """
        self._bus = bus
        self._settings = settings
        self._wanted = stream.wanted(settings)
        self._on_restart = on_restart
        self._on_state = on_state
        self._outbox = Outbox(
            settings.nats_publish_wait_s, lambda: asyncio.get_running_loop().create_future()
        )
        self._inbox = ""  # where answers to publishes come; the same over reconnects
        self._something_to_send = asyncio.Event()
        self._connected = False
        self._outages = 0
        self._client: Client | None = None
        self._follower: Follower | None = None
        self._started: Future[None] | None = None
        self._trouble: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    @property
    def status(self) -> BackendStatus:
        """How the connection and the publishes are."""
        return BackendStatus(
            "jetstream",
            connected=self._connected,
            lag=self._follower.lag if self._follower else 0,
            waiting=self._outbox.waiting,
            in_flight=self._outbox.in_flight,
            outages=self._outages,
            unknown=self._outbox.unknown,
        )

    async def start(self) -> None:
        """Connect, find or make the stream, fill the replay log.

        Raises:
            SettingsError: NATS cannot be reached, or the stream is not as the settings ask.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._own(self._stay_connected())
        self._own(self._keep_deadlines())
        try:
            async with asyncio.timeout(START_WAIT_S):
                await self._started
        except TimeoutError:
            await self.stop()
            raise SettingsError(
                f"NATS cannot be used ({_said(self._trouble)}): start it with JetStream (`-js`),"
                f" or correct {PREFIX}NATS_URL"
            ) from None
        except SettingsError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Wait shortly for publishes under way, fail the rest, end every task."""
        deadline = self._bus.clock.monotonic() + STOP_WAIT_S
        while (self._outbox.waiting or self._outbox.in_flight) and self._connected:
            if self._bus.clock.monotonic() > deadline:
                break
            await asyncio.sleep(TICK_S / 4)
        self._stopped = True
        self._outbox.close("the gateway is shutting down")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Future[Event]:
        """Put an event behind all others; the future resolves when it is stored and fanned out."""
        if self._stopped:
            raise UnavailableError("the gateway has ended: nothing can be published")
        future = self._outbox.add(self._bus.clock.monotonic(), type_, timestamp, contents, key)
        self._something_to_send.set()
        return future

    async def catch_up(self, position: Position) -> None:
        """Ask the stream whether it has given a number above the head; if so, read up to it."""
        number = position.sequence_number
        if number <= self._bus.head or position.epoch not in (None, self._bus.epoch):
            return
        try:
            if self._client is None or not self._connected:
                raise TimeoutError
            found = await stream.look(self._client, self._wanted)
            if found.epoch != self._bus.epoch or number > found.state.last_seq:
                return
            async with asyncio.timeout(CATCH_UP_WAIT_S):
                while self._bus.head < number:  # noqa: ASYNC110 - any event may be the one
                    await asyncio.sleep(0.01)
        except _TROUBLE as error:
            raise UnavailableError(
                f"this gateway has read up to number {self._bus.head} and cannot tell now whether"
                f" {number} is right: NATS is away or this gateway is behind; try again"
            ) from error

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_deadlines(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._outbox.expire(self._bus.clock.monotonic())
            self._something_to_send.set()

    async def _stay_connected(self) -> None:
        while True:
            try:
                async with self._connection() as (client, lost):
                    await _first_to_end(self._follow(client), self._send(client), _raise_if(lost))
            except SettingsError as error:
                if self._started is not None and not self._started.done():
                    self._started.set_exception(error)
                    return
                self._trouble = error
                _log.error("stream_differs", error=str(error))
            except _TROUBLE as error:
                self._trouble = error
            except Exception as error:
                self._trouble = error
                _log.error("backend_failed", error_type=type(error).__name__, exc_info=error)
            self._set_connected(False)
            await asyncio.sleep(RETRY_S)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[Client, asyncio.Event]]:
        client = Client()
        lost = asyncio.Event()

        async def on_closed() -> None:
            lost.set()

        async def on_error(error: Exception) -> None:
            _log.debug("nats_error", error=str(error))

        assert self._settings.nats_url is not None
        try:
            async with asyncio.timeout(stream.REQUEST_TIMEOUT_S):
                await client.connect(
                    self._settings.nats_url.split(","),
                    name="sightline",
                    allow_reconnect=False,
                    connect_timeout=1,
                    ping_interval=PING_INTERVAL_S,
                    closed_cb=on_closed,
                    error_cb=on_error,
                )
            self._client = client
            yield client, lost
        finally:
            self._client = self._follower = None
            await _close(client)

    async def _follow(self, client: Client) -> None:
        settings = self._settings
        most = self._settings.max_event_bytes + BODY_MARGIN_BYTES
        if client.max_payload < most:
            raise SettingsError(
                f"NATS takes messages of {client.max_payload} bytes, an event may have {most}:"
                f" raise its `max_payload` or lower {PREFIX}MAX_EVENT_BYTES"
            )
        while True:
            found = await stream.look(client, self._wanted)
            if found.epoch != self._bus.epoch:
                stream.check(found, self._wanted)
            self._follower = Follower(
                client, found, self._bus, self._begin, self._seen, self._caught_up
            )
            why = await self._follower.run(settings.replay_window_s, settings.replay_max_events)
            _log.warning("follower_begins_again", why=why, head=self._bus.head)
            if why == "quiet":
                self._trouble = TimeoutError("NATS has said nothing for some seconds")
                self._set_connected(False)

    def _begin(self, epoch: str, head: int) -> None:
        """Go on elsewhere in the stream: who names the old place is closed first."""
        if self._bus.epoch != epoch:
            self._outbox.forget_stored("the stream on NATS was made again")
        self._on_restart()
        self._bus.begin(epoch, head)

    def _caught_up(self) -> None:
        self._set_connected(True)
        if self._started is not None and not self._started.done():
            self._started.set_result(None)

    def _seen(self, event: Event) -> None:
        self._outbox.seen(event)

    def _set_connected(self, connected: bool) -> None:
        if connected == self._connected:
            return
        self._connected = connected
        if connected:
            _log.info("nats_is_there", epoch=self._bus.epoch, head=self._bus.head)
        else:
            self._outages += 1
            _log.warning("nats_is_away", why=_said(self._trouble), head=self._bus.head)
        self._on_state(connected)

    async def _send(self, client: Client) -> None:
        """Hand publishes to NATS, in order, as far as the outbox lets them go."""
        self._inbox = self._inbox or client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        while True:
            self._something_to_send.clear()
            while (publish := self._outbox.next(self._bus.clock.monotonic())) is not None:
                await client.publish(
                    subject_of(publish.type),
                    publish.body,
                    reply=f"{self._inbox}.{publish.order}",
                    headers={"Nats-Msg-Id": publish.key} if publish.key else None,
                )
            await self._something_to_send.wait()

    async def _on_answer(self, message: Msg) -> None:
        publish = self._outbox.answered(int(message.subject.rpartition(".")[2]))
        self._something_to_send.set()
        if publish is None:
            return
        if message.headers and message.headers.get("Status") == str(_UNAVAILABLE):
            self._outbox.refuse(publish)
            return
        ack = _decode_ack(message.data)
        if ack.error is None:
            self._stored(publish, ack.seq, ack.duplicate)
        elif ack.error.code == _UNAVAILABLE:
            self._outbox.refuse(publish)
        else:
            publish.fail(f"NATS refused it: {ack.error.description}; it was not published")

    def _stored(self, publish: Publish, number: int, duplicate: bool) -> None:
        """Resolve the publish, now if the follower was faster than the answer."""
        self._outbox.store(publish, number)
        if number > self._bus.head:
            return
        event = self._bus.find(number)
        if event is not None and (duplicate or publish.is_kept_in(event)):
            self._outbox.seen(event)
        elif event is None and duplicate:
            self._own(self._fetch(number))
        else:
            # An old number for a new event: the stream is another one than that followed here.
            if self._follower is not None:
                self._follower.end("number_given_twice")

    async def _fetch(self, number: int) -> None:
        """Resolve a publish that repeats one too old for the replay log."""
        with suppress(*_TROUBLE, ValueError):  # then it ends by its deadline
            if self._client is None:
                return
            stored = await stream.fetch(self._client, self._wanted.name, number)
            if stored is not None:
                type_, timestamp, _ = read_message(*stored)
                self._outbox.seen(Event(type_, timestamp, number, 0.0, b""))


async def _first_to_end(*works: Coroutine[None, None, None]) -> None:
    """Run all until one ends; cancel the others, and raise what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


async def _raise_if(lost: asyncio.Event) -> None:
    await lost.wait()
    raise ConnectionError("the connection to NATS was lost")


async def _close(client: Client) -> None:
    """Close a connection at once. nats-py would first send what a frozen server does not take."""
    client._pending.clear()
    client._pending_data_size = 0
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    with suppress(*_TROUBLE):
        async with asyncio.timeout(1):
            await client.close()


def _said(trouble: BaseException | None) -> str:
    if trouble is None:
        return "no answer"
    return str(trouble) or type(trouble).__name__
