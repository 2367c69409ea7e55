"""The bus as a stock `ChannelsBackend`: Litestar's `ChannelsPlugin` with the gateway underneath.

A channel is an event type or a pattern. Publishing to a channel publishes an ordinary event, and
subscribers get the events and gaps that a client of `/ws` gets.
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
    """An owner of a stream, such as a started `SightlinePlugin`."""

    @property
    def publisher(self) -> EventPublisher:
        """The publisher of the stream."""

    @property
    def bus(self) -> EventBus:
        """The bus of the stream."""

    @property
    def replay_store(self) -> ReplayStore:
        """The retained events."""


class _Channel(msgspec.Struct):
    filter: EventFilter
    live_after: int  # the head when the channel was subscribed


class SightlineChannelsBackend(ChannelsBackend):
    """A backend for `ChannelsPlugin`, made with the `SightlinePlugin` of the same application.

    Invariant: the history of a channel ends where its live events begin: at the last dispatched
    event, or at the head when the channel was subscribed. None is missing and none comes twice. So
    the subscription takes every event, whatever the channels.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._channels: dict[str, _Channel] = {}
        self._subscription: Subscription | None = None

    async def on_startup(self) -> None:
        """Subscribe to the stream, from the next event on."""
        self._subscription = self._stream.bus.subscribe()

    async def on_shutdown(self) -> None:
        """Unsubscribe; `stream_events` ends."""
        self._joined().close()
        self._subscription = None
        self._channels.clear()

    async def publish(self, data: bytes, channels: Iterable[str]) -> None:
        """Publish a JSON object as one event for each channel, or for none.

        An error would end the task of `ChannelsPlugin.publish` for good, and its shutdown would
        hang (litestar issue 5008): in that task a refusal is logged. `wait_published` raises it.

        Raises:
            PublishError: a channel is not an event type, or the data does not fit it.
            UnavailableError: the gateway is shutting down, or the backend is unreachable.
        """
        channels = tuple(channels)
        try:
            fields = _fields(data, channels)
            await self._stream.publisher.publish_all([(type_, fields, {}) for type_ in channels])
            await asyncio.sleep(0)  # let `stream_events` keep up with a burst
        except SightlineError as error:
            if not _in_worker():
                raise
            _log.error("channel_publish_refused", channels=channels, reason=str(error))

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Dispatch to these channels too, from the next event on.

        Raises:
            InvalidPatternError: a channel is malformed; none was added.
        """
        head = self._stream.bus.head
        self._channels |= {name: _Channel(EventFilter((name,)), head) for name in tuple(channels)}

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """Stop dispatching to these channels."""
        for channel in channels:
            self._channels.pop(channel, None)

    async def stream_events(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """Yield each event for every matching channel, and each gap for every channel."""
        async for item in self._joined():
            if isinstance(item, Gap):
                _log.warning("gap", reason=item.reason, dropped=item.dropped)
                message, matching = msgspec.json.encode(item), list(self._channels)
                if item.reason == "epoch_changed":  # numbers start again
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
        """The newest retained events of the channel, oldest first, without those to come live."""
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
