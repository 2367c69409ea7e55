"""`Outlet`: the only writer of a connection, for events and control messages alike."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from ..channels.bus import frame_header
from ..channels.subscription import Subscription
from ..events import Clock, Event, Gap
from .messages import Heartbeat, encode

MAX_CONTROL = 512  # answers owed to a client that does not read them; over this it is closed
TRANSPORT = "sightline.transport"  # scope extension: a `Transport`, where the server offers one
RUN_BYTES = 64 * 1024  # a client that catches up gets its queue in writes of about this size
_log = structlog.get_logger("sightline.outlet")


class Outlet(Protocol):
    """What the listener knows of a connection's writer."""

    def start(self, on_error: Callable[[Exception], None]) -> None:
        """Begin to send what the subscription owes, and heartbeats; ends with the subscription."""

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Send a control message, or queue it; False when the client owes us too much reading.

        It overtakes events that wait, unless it is to come behind them, `in_order`.
        """

    async def stop(self) -> None:
        """End all that `start` began; nothing is sent once this returns."""


class Transport(Protocol):
    """What a server must offer for direct writes: the connection below one WebSocket."""

    writable: bool  # whether its buffer has room
    evicted: str | None  # why it was aborted, if it was

    def attach(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Have these called when `writable` changes; `on_pause` also from inside `write`."""

    def write(self, frames: bytes) -> None:
        """Write whole frames behind all that was written before; nothing once it is closing."""

    def abort(self, reason: str) -> None:
        """Drop the connection and what is buffered for it."""


def message_of(item: Event | Gap) -> bytes:
    """An item of a subscription as its JSON message."""
    return item.encoded if isinstance(item, Event) else msgspec.json.encode(item)


class _Answers:
    """Control messages that a client is owed: who may overtake events, and who waits for them."""

    __slots__ = ("_in_order", "_overtaking", "_subscription")

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._overtaking: list[bytes] = []
        self._in_order: list[tuple[int, bytes]] = []  # and the number each comes behind

    def add(self, message: bytes, in_order: bool) -> bool:
        """Queue a message; False when there are too many."""
        if len(self._overtaking) + len(self._in_order) >= MAX_CONTROL:
            return False
        if in_order:
            self._in_order.append((self._subscription.settle(), message))
        else:
            self._overtaking.append(message)
        return True

    @property
    def due(self) -> bool:
        """Whether one comes before the next event."""
        return bool(self._overtaking) or (
            bool(self._in_order) and self._in_order[0][0] <= self._subscription.position
        )

    def take(self) -> bytes:
        """The one that is due."""
        return self._overtaking.pop(0) if self._overtaking else self._in_order.pop(0)[1]


class DirectOutlet:
    """Writes ready frames below the ASGI layer. While the client keeps up, the bus does so itself.

    It has no task: all happens inside the call that causes it, and a timer calls for heartbeats.
    """

    __slots__ = (
        *("_answers", "_beating", "_clock", "_heartbeat_interval_s"),
        *("_subscription", "_transport", "write"),
    )

    def __init__(
        self,
        subscription: Subscription,
        transport: Transport,
        clock: Clock,
        heartbeat_interval_s: float,
    ) -> None:
        self.write = transport.write
        self._subscription = subscription
        self._transport = transport
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s
        self._answers = _Answers(subscription)  # holds only what could not be written
        self._beating: asyncio.TimerHandle | None = None

    def start(self, on_error: Callable[[Exception], None] = lambda error: None) -> None:
        """Attach, and begin to beat. An error of the transport ends the connection by itself."""
        self.attach()
        self._beat_later()

    def attach(self) -> None:
        """Follow the transport from full to free; closing the subscription ends it."""
        self._transport.attach(self._subscription.fall_behind, self._catch_up)
        self._catch_up()

    async def stop(self) -> None:
        """Stop the heartbeats. Closing the subscription has ended all else."""
        if self._beating is not None:
            self._beating.cancel()

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Write at once, or queue while the transport is full."""
        if in_order:
            self._subscription.settle()  # may fill the transport
        if not self._transport.writable:
            return self._answers.add(message, in_order)
        self.write(frame_header(len(message)) + message)
        return True

    def fail(self, error: Exception) -> None:
        """Drop a connection whose transport raised."""
        _log.error("outlet_failed", error_type=type(error).__name__, exc_info=error)
        self._transport.abort("internal_error")

    def beat(self) -> None:
        """Send a heartbeat; a client that is behind gets it behind the answers it is owed."""
        beat = Heartbeat(self._clock.timestamp(), self._subscription.position)
        self.answer(encode(beat))

    def _beat_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._beating = loop.call_later(self._heartbeat_interval_s, self._beat_again)

    def _beat_again(self) -> None:
        self.beat()
        self._beat_later()

    def _catch_up(self) -> None:
        """Write what is owed until the transport is full or all is written: then go direct."""
        while self._transport.writable and not self._subscription.closed:
            if self._answers.due:
                self.answer(self._answers.take())
            elif run := self._run_of_frames():
                self.write(run)
            elif self._subscription.go_direct(self):
                return

    def _run_of_frames(self) -> bytes:
        frames: list[bytes] = []
        size = 0
        while size < RUN_BYTES and not self._answers.due:
            if (item := self._subscription.take()) is None:
                break
            encoded = message_of(item)
            frames += (frame_header(len(encoded)), encoded)
            size += len(encoded)
        return b"".join(frames)


class ASGIOutlet:
    """Sends over ordinary ASGI sends, in one task: slower, the same items, on any server."""

    def __init__(
        self,
        subscription: Subscription,
        send: Callable[[str], Awaitable[None]],
        clock: Clock,
        heartbeat_interval_s: float,
        gone: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        """`gone` are the errors by which `send` says that the client has left."""
        self._gone = gone
        self._subscription = subscription
        self._send = send
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s
        self._answers = _Answers(subscription)

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Queue a control message; False when the client owes us too much reading."""
        added = self._answers.add(message, in_order)
        self._subscription.wake()
        return added

    def start(self, on_error: Callable[[Exception], None]) -> None:
        """Send in a task of its own; `on_error` is told of what ended it, save a client gone."""
        self._sending = asyncio.create_task(self._send_all(on_error))

    async def stop(self) -> None:
        """Cancel the task, between two messages, and wait for its end."""
        self._sending.cancel()
        await asyncio.wait({self._sending})

    async def _send_all(self, on_error: Callable[[Exception], None]) -> None:
        try:
            await self.run()
        except self._gone:
            pass  # the receiving side hears of it too
        except Exception as error:
            on_error(error)

    async def run(self) -> None:
        """Send until the subscription is closed; cancelling stops between two messages."""
        due = self._clock.monotonic() + self._heartbeat_interval_s
        while not self._subscription.closed:
            while self._answers.due:
                await self._send(self._answers.take().decode())
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + self._heartbeat_interval_s
                beat = Heartbeat(self._clock.timestamp(), self._subscription.position)
                await self._send(encode(beat).decode())
                continue  # an answer or the close may have come meanwhile
            item = self._subscription.take()
            if item is not None:
                await self._send(message_of(item).decode())
                continue
            try:
                async with asyncio.timeout(max(0.0, due - self._clock.monotonic())):
                    await self._subscription.wait()
            except TimeoutError:
                pass
