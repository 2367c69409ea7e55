"""The bus as a stock `ChannelsBackend`: Litestar's `ChannelsPlugin` with the gateway underneath.

A channel is an event type or a pattern of them. What is published to one is an event like any
other, and who subscribes gets the events, and the gaps, as a client of `/ws` does.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

import msgspec
import structlog
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.base import ChannelsBackend

from ..errors import InvalidDataError, SightlineError
from ..events import Gap
from .bus import EventBus
from .filters import EventFilter
from .publisher import EventPublisher
from .replay import ReplayStore
from .strict_json import check_depth, reason
from .subscription import Subscription

_log = structlog.get_logger("sightline.channels")
_decode = msgspec.json.Decoder(dict[str, object]).decode


class Stream(Protocol):
    """What has a stream: `SightlinePlugin`, from its application's start on."""

    @property
    def publisher(self) -> EventPublisher:
        """What publishes into it."""

    @property
    def bus(self) -> EventBus:
        """The stream itself."""

    @property
    def replay_store(self) -> ReplayStore:
        """What of it is retained."""


class _Channel(msgspec.Struct):
    filter: EventFilter
    live_after: int  # the head when it was subscribed


class SightlineChannelsBackend(ChannelsBackend):
    """Hand it to `ChannelsPlugin`, beside the `SightlinePlugin` that it is made with.

    Invariant: a channel's history ends where its live events begin, at what has been dispatched or
    at the head it was subscribed at: none missing, none twice. So the subscription takes every event,
    whichever channels there are.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._channels: dict[str, _Channel] = {}
        self._subscription: Subscription | None = None

    async def on_startup(self) -> None:
        """Join the stream, live from now."""
        self._subscription = self._stream.bus.subscribe()

    async def on_shutdown(self) -> None:
        """Leave the stream; `stream_events` ends."""
        self._joined().close()
        self._subscription = None
        self._channels.clear()

    async def publish(self, data: bytes, channels: Iterable[str]) -> None:
        """Publish a JSON object as one event for each channel, or none of them.

        `ChannelsPlugin.publish` hands over to a task that an error would end for good, and its
        shutdown would then never end (litestar issue 5008): there, a refusal is logged instead.
        `wait_published` raises it.

        Raises:
            PublishError: a channel is no event type, or the payload is not data for it.
            UnavailableError: the gateway is shutting down, or the backend is away.
        """
        channels = tuple(channels)
        try:
            fields = _fields(data, channels)
            await self._stream.publisher.publish_all([(type_, fields, {}) for type_ in channels])
            await asyncio.sleep(0)  # a burst comes without a pause: `stream_events` must keep up
        except SightlineError as error:
            if not _in_worker():
                raise
            _log.error("channel_publish_refused", channels=channels, reason=str(error))

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Dispatch to these channels too, from the next event on.

        Raises:
            InvalidPatternError: one is no pattern of event types; none was added then.
        """
        head = self._stream.bus.head
        self._channels |= {name: _Channel(EventFilter((name,)), head) for name in tuple(channels)}

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """Dispatch to these channels no more."""
        for channel in channels:
            self._channels.pop(channel, None)

    async def stream_events(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """Each event for each channel that it matches; a gap, which is everybody's, for all."""
        async for item in self._joined():
            if isinstance(item, Gap):
                _log.warning("gap", reason=item.reason, dropped=item.dropped)
                message, matching = msgspec.json.encode(item), list(self._channels)
                if item.reason == "epoch_changed":  # numbers begin again
                    for one in self._channels.values():
                        one.live_after = 0
            else:
                message, number = item.encoded, item.sequence_number
                matching = [
                    name
                    for name, one in self._channels.items()
                    if number > one.live_after and one.filter.matches(item.type)
                ]
            for channel in matching:
                yield channel, message

    async def get_history(self, channel: str, limit: int | None = None) -> list[bytes]:
        """The newest retained events of the channel, oldest first; what comes live is not among them."""
        bus, store = self._stream.bus, self._stream.replay_store
        subscribed = self._channels.get(channel)
        live_after = bus.head if subscribed is None else subscribed.live_after
        last = max(self._joined().position, live_after)
        store.expire(bus.clock.monotonic())
        events = [
            event.encoded
            for event in store.after(0, EventFilter((channel,)))
            if event.sequence_number <= last
        ]
        return events if limit is None else events[max(len(events) - limit, 0) :]

    def _joined(self) -> Subscription:
        if self._subscription is None:
            raise RuntimeError("the channels have not started: use them once the application runs")
        return self._subscription


def _fields(data: bytes, channels: tuple[str, ...]) -> dict[str, object]:
    check_depth("what was published", data)
    try:
        return _decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidDataError(
            f"what was published to {', '.join(channels)!r} is not a JSON object: {reason(error, data)};"
            " publish the event's data, as a dict"
        ) from error


def _in_worker() -> bool:
    task = asyncio.current_task()
    code = getattr(task.get_coro(), "cr_code", None) if task is not None else None
    return code is ChannelsPlugin._pub_worker.__code__
