"""`Outlet`: the only writer of a connection; and `DirectOutlet`, which writes below the ASGI layer."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from ..channels.frames import frame_header, frames_of
from ..channels.subscription import Subscription
from ..events import Clock, Event, Gap
from ..timers import Timer, cancel, set_timer
from .messages import Heartbeat, encode

MAX_CONTROL = 512  # unread answers; a client with more is closed
TRANSPORT = "sightline.transport"  # scope extension: a `Transport`, where the server offers one
RUN_BYTES = 64 * 1024  # about the size of one write while a client catches up
_log = structlog.get_logger("sightline.outlet")


class Outlet(Protocol):
    """What a connection needs of its writer."""

    def start(self, on_error: Callable[[Exception], None]) -> None:
        """Send events and heartbeats until the subscription is closed."""

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Send or queue a control message; False when too many wait to be read.

        The message overtakes events that wait, unless `in_order` puts it behind them.
        """

    def catch_up(self) -> None:
        """Send what is owed; called when the subscription's queue was filled from outside the bus."""

    async def stop(self) -> None:
        """End what `start` began; nothing is sent after this returns."""


class Transport(Protocol):
    """The connection below one WebSocket, which a server must offer for direct writes."""

    writable: bool  # whether its buffer has room
    evicted: str | None  # the reason of an abort

    def attach(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        """Call these when `writable` changes; `on_pause` may be called inside `write`."""

    def write(self, frames: bytes) -> None:
        """Write whole frames after all earlier ones; write nothing once the connection closes."""

    def abort(self, reason: str) -> None:
        """Drop the connection and its buffer."""


def message_of(item: Event | Gap) -> bytes:
    """The JSON message of a subscription's item."""
    return item.encoded if isinstance(item, Event) else msgspec.json.encode(item)


class Answers:
    """Queued control messages: some overtake events, the others wait for events before them."""

    __slots__ = ("_in_order", "_overtaking", "_subscription")

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._overtaking: list[bytes] = []
        self._in_order: list[tuple[int, bytes]] = []  # with the number of the event before it

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
        """Whether a message comes before the next event."""
        return bool(self._overtaking) or (
            bool(self._in_order) and self._in_order[0][0] <= self._subscription.position
        )

    @property
    def last_before(self) -> int | None:
        """The number of the last event before the first message in order, or None."""
        return self._in_order[0][0] if self._in_order else None

    def take(self) -> bytes:
        """Remove and return the message that is due."""
        return self._overtaking.pop(0) if self._overtaking else self._in_order.pop(0)[1]


class DirectOutlet:
    """Writes ready frames below the ASGI layer; while the client keeps up, the bus writes them.

    Has no task: everything happens inside the call that causes it, and a timer sends heartbeats.
    """

    __slots__ = (
        *("_answers", "_attached", "_beating", "_clock", "_heartbeat_interval_s"),
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
        self._answers = Answers(subscription)  # holds only what could not be written yet
        self._attached = False
        self._beating: Timer | None = None

    def start(self, on_error: Callable[[Exception], None] = lambda error: None) -> None:
        """Attach and send heartbeats. `on_error` is unused: a failing transport is aborted."""
        self.attach()
        self._beat_later()

    def attach(self) -> None:
        """Follow the transport between full and writable until the subscription is closed."""
        self._transport.attach(self._subscription.fall_behind, self.catch_up)
        self._attached = True
        self.catch_up()

    async def stop(self) -> None:
        """Stop the heartbeats; closing the subscription ends the rest."""
        cancel(self._beating)

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Write at once, or queue while the transport is full; False when too many are queued.

        Before `attach`, it is queued too: so `connected` is one write with the first events.
        """
        # `settle` may fill the transport. If it does not, only a replay of the history still owes
        # events before the answer.
        waits = in_order and self._subscription.settle() > self._subscription.position
        if waits or not (self._attached and self._transport.writable):
            return self._answers.add(message, in_order)
        self.write(frame_header(len(message)) + message)
        return True

    def fail(self, error: Exception) -> None:
        """Drop a connection whose transport raised."""
        _log.error("outlet_failed", error_type=type(error).__name__, exc_info=error)
        self._transport.abort("internal_error")

    def beat(self) -> None:
        """Send a heartbeat; to a client that is behind, after its queued answers."""
        beat = Heartbeat(self._clock.timestamp(), self._subscription.position)
        self.answer(encode(beat))

    def _beat_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._beating = set_timer(loop, self._heartbeat_interval_s, self._beat_again)

    def _beat_again(self) -> None:
        self.beat()
        self._beat_later()

    def catch_up(self) -> None:
        """Write until the transport is full, or until nothing is owed: then go direct."""
        while self._transport.writable and not self._subscription.closed:
            if run := self._run_of_frames():
                self.write(run)
            elif self._subscription.go_direct(self):
                return

    def _run_of_frames(self) -> bytes:
        """Take about `RUN_BYTES` of what comes next: due answers, gaps, runs of events."""
        frames: list[bytes] = []
        size = 0
        while size < RUN_BYTES:
            if self._answers.due:
                message = self._answers.take()
            elif run := self._subscription.take_run(RUN_BYTES - size, self._answers.last_before):
                frames.append(frames_of(run))
                size += len(frames[-1])
                continue
            elif (item := self._subscription.take()) is not None:
                message = message_of(item)
            else:
                break
            frames += (frame_header(len(message)), message)
            size += len(message)
        return b"".join(frames)
