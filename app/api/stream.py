"""`GET /api/events/stream`: the messages of `/ws` as server-sent events, where WebSockets do not pass."""

import asyncio
from collections import deque
from functools import partial

import structlog
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.types import Message, Receive, Scope, Send

from ..channels.backend import ChannelBackend
from ..channels.bus import EventBus
from ..channels.filters import EventFilter
from ..channels.replay import Replay
from ..channels.subscription import Subscription
from ..events import Event, Gap, Position
from ..journal.journal import Journal
from ..settings import Settings
from ..ws.listener import history_start, limits_of
from ..ws.messages import Connected, Heartbeat, Notice, encode
from ..ws.outlet import RUN_BYTES, message_of
from ..ws.queries import Query, new_client_id
from ..ws.registry import ConnectionRegistry

MAX_NOTICES = 8
HEARTBEAT_INTERVAL_S = 15.0  # at most: proxies cut what is silent, some of them after 20 s
START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store, no-transform"),  # a proxy that compresses gathers events
        (b"x-accel-buffering", b"no"),  # or nginx gathers events before it hands them on
    ],
}
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]
_log = structlog.get_logger("sightline.stream")


@get("/api/events/stream")
async def stream_events(
    request: HTTPRequest,
    bus: NamedDependency[EventBus],
    backend: NamedDependency[ChannelBackend],
    registry: NamedDependency[ConnectionRegistry],
    settings: NamedDependency[Settings],
    journal: NamedDependency[Journal | None],
) -> "EventStream":
    """Stream what matches `types`, from behind `Last-Event-ID` or live from now."""
    query = Query(request.scope["query_string"], request.scope["headers"])
    event_filter = query.event_filter()
    position = query.last_event_id()
    if position is not None:
        await backend.catch_up(position)
    return EventStream(bus, backend, registry, settings, event_filter, position, journal)


def block(epoch: str, number: int, message: bytes) -> bytes:
    """One server-sent event; the browser sends its `id` back as `Last-Event-ID`."""
    return b"id: %s:%d\ndata: %s\n\n" % (epoch.encode(), number, message)


def first_position(position: Position | None, epoch: str, head: int) -> tuple[str, int]:
    """The id of `connected`: where the replay about to come begins, or the head without one.

    A position of another epoch stays what it is until the gap behind `connected` has told of the
    change; a number that was never given must not come back once it will have been.
    """
    if position is None:
        return epoch, head
    number = position.sequence_number
    if position.epoch in (None, epoch):
        return epoch, number if number <= head else 0
    return str(position.epoch), number


def take_blocks(subscription: Subscription, epoch: str) -> bytes:
    """About `RUN_BYTES` of what the subscription owes; a gap's id is its end, if it has one."""
    blocks: list[bytes] = []
    size = 0
    while size < RUN_BYTES and (item := subscription.take()) is not None:
        blocks.append(block(epoch, _number_behind(item), message_of(item)))
        size += len(blocks[-1])
    return b"".join(blocks)


def _number_behind(item: Event | Gap) -> int:
    if isinstance(item, Event):
        return item.sequence_number
    return item.to_sequence_number or 0  # all of this epoch is still to come


class EventStream:
    """One client's response, as an ASGI application: its place, its subscription, its tasks."""

    def __init__(
        self,
        bus: EventBus,
        backend: ChannelBackend,
        registry: ConnectionRegistry,
        settings: Settings,
        event_filter: EventFilter,
        position: Position | None,
        journal: Journal | None = None,
    ) -> None:
        self._bus = bus
        self._backend = backend
        self._registry = registry
        self._settings = settings
        self._journal = journal
        self._filter = event_filter
        self._position = position
        self._client_id = new_client_id()
        self._notices: deque[bytes] = deque(
            maxlen=MAX_NOTICES
        )  # a reader that is stuck: the newest
        self._heartbeat_interval_s = min(HEARTBEAT_INTERVAL_S, settings.heartbeat_interval_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client goes or the gateway drains. Cancelling leaves nothing.

        A send waits while the client does not read; one that reads nothing more is evicted by
        `uvicorn_http`, and has gone then.

        Raises:
            UnavailableError: no place is left, or the gateway is shutting down; nothing was sent.
        """
        place = self._registry.reserve(self._client_id, scope.get("state", {}).get("credential"))
        log = _log.bind(client_id=self._client_id)
        subscription, replay = self._bus.join(
            self._filter,
            self._position,
            lambda gap: log.warning("gap", reason=gap.reason, dropped=gap.dropped),
        )
        if not self._backend.status.connected:
            self._notices.append(encode(Notice.backend_away(self._bus.clock.timestamp())))
        if blind := self._bus.counters.blind:
            self._notices.append(encode(Notice.of_workspace(self._bus.clock.timestamp(), blind)))

        def tell(message: bytes) -> None:
            self._notices.append(message)
            subscription.wake()

        loop = asyncio.get_running_loop()
        sending = loop.create_task(self._send_all(send, self._connected(replay), subscription))
        leaving = loop.create_task(_left(receive))
        # A drain may begin inside a signal handler, where nothing else may be touched.
        place.on_drain = partial(loop.call_soon_threadsafe, sending.cancel)
        place.on_message = tell
        place.on_close = lambda code, reason: place.on_drain()
        try:
            log.info("client_connected", types=self._filter.patterns, replayed=len(replay.events))
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.cancelled():
                await send(END)
            elif sending.done():
                sending.result()  # it ends with an error alone
        except OSError:
            pass  # how some servers say that the client is gone
        except Exception as error:
            log.error("stream_failed", error_type=type(error).__name__, exc_info=error)
        finally:
            self._registry.release(place)
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            subscription.close()
            log.info("client_gone", dropped=subscription.dropped)

    async def _send_all(self, send: Send, connected: bytes, subscription: Subscription) -> None:
        bus, now = self._bus, self._bus.clock.monotonic
        await send(START)
        await send(_body(connected))
        due = now() + self._heartbeat_interval_s
        while True:
            blocks = take_blocks(subscription, bus.epoch)
            while self._notices:  # without a number of their own: they stand where the stream is
                blocks += block(bus.epoch, subscription.position, self._notices.popleft())
            if now() >= due:
                due = now() + self._heartbeat_interval_s
                beat = Heartbeat(bus.clock.timestamp(), subscription.position)
                blocks += block(bus.epoch, beat.sequence_number, encode(beat))
            if blocks:
                await send(_body(blocks))
                continue
            try:
                async with asyncio.timeout(due - now()):
                    await subscription.wait()
            except TimeoutError:
                pass

    def _connected(self, replay: Replay) -> bytes:
        bus = self._bus  # still at the head that was joined: nothing has been awaited
        connected = Connected(
            client_id=self._client_id,
            epoch=bus.epoch,
            sequence_number=bus.head,
            types=self._filter.patterns,
            heartbeat_interval_s=self._heartbeat_interval_s,
            resumed=replay.resumed,
            replayed=len(replay.events),
            limits=limits_of(self._settings),
            history=history_start(self._journal),
        )
        epoch, number = first_position(self._position, bus.epoch, bus.head)
        return block(epoch, number, encode(connected))


def _body(blocks: bytes) -> Message:
    return {"type": "http.response.body", "body": blocks, "more_body": True}


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
