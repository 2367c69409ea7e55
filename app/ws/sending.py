"""Outlets over ordinary ASGI sends: `ASGIOutlet` for a WebSocket, `SSEOutlet` for an event stream."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable

from ..channels.bus import EventBus
from ..channels.subscription import Subscription
from ..events import Clock, Event, Gap, Position
from .messages import Heartbeat, encode
from .outlet import RUN_BYTES, Answers, message_of

MAX_NOTICES = 8  # that wait for a reader of an event stream; only the newest are kept


class SendingOutlet(ABC):
    """Sends in one task: slower than direct writes, the same items, on any server."""

    def __init__(
        self,
        subscription: Subscription,
        clock: Clock,
        heartbeat_interval_s: float,
        disconnected: tuple[type[Exception], ...] = (),
    ) -> None:
        """`disconnected` are the errors of a send after which the receiving side ends by itself."""
        self._subscription = subscription
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s
        self._disconnected = disconnected
        self._beat_due = 0.0

    @abstractmethod
    def _next(self) -> bytes:
        """Take what comes next; empty when nothing does."""

    @abstractmethod
    async def _write(self, data: bytes) -> None:
        """Send what `_next` returned; wait while the client does not read."""

    def start(self, on_error: Callable[[Exception], None]) -> None:
        """Send in a task; `on_error` is called with an error other than `disconnected`."""
        self._sending = asyncio.create_task(self._send_all(on_error))

    def catch_up(self) -> None:
        """Wake the task."""
        self._subscription.wake()

    async def stop(self) -> None:
        """Cancel the task and wait for its end; whatever was not sent stays owed."""
        self._sending.cancel()
        await asyncio.wait({self._sending})

    async def _send_all(self, on_error: Callable[[Exception], None]) -> None:
        try:
            await self.run()
        except self._disconnected:
            pass
        except Exception as error:
            on_error(error)

    async def run(self) -> None:
        """Send until the subscription is closed; cancelling stops between two sends."""
        self._beat_due = self._clock.monotonic() + self._heartbeat_interval_s
        self._subscription.fall_behind()
        while not self._subscription.closed:
            if data := self._next():
                await self._write(data)
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until an item is owed, `answer` or `catch_up` is called, or a heartbeat is due."""
        try:
            async with asyncio.timeout(max(0.0, self._beat_due - self._clock.monotonic())):
                await self._subscription.wait()
        except TimeoutError:
            pass

    def _beat(self) -> Heartbeat | None:
        """The heartbeat, if it is due; then the next one is due an interval from now."""
        now = self._clock.monotonic()
        if now < self._beat_due:
            return None
        self._beat_due = now + self._heartbeat_interval_s
        return Heartbeat(self._clock.timestamp(), self._subscription.position)


class ASGIOutlet(SendingOutlet):
    """Sends each message as the text of a WebSocket frame."""

    def __init__(
        self,
        subscription: Subscription,
        send: Callable[[str], Awaitable[None]],
        clock: Clock,
        heartbeat_interval_s: float,
        disconnected: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        super().__init__(subscription, clock, heartbeat_interval_s, disconnected)
        self._send = send
        self._answers = Answers(subscription)

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Queue a control message; False when too many wait to be read."""
        added = self._answers.add(message, in_order)
        self._subscription.wake()
        return added

    def _next(self) -> bytes:
        if self._answers.due:
            return self._answers.take()
        if beat := self._beat():
            return encode(beat)
        item = self._subscription.take()
        return b"" if item is None else message_of(item)

    async def _write(self, data: bytes) -> None:
        await self._send(data.decode())


class SSEOutlet(SendingOutlet):
    """Sends blocks of an event stream, several events in one send."""

    def __init__(
        self,
        subscription: Subscription,
        send: Callable[[bytes], Awaitable[None]],
        bus: EventBus,
        heartbeat_interval_s: float,
        first: bytes,
    ) -> None:
        """`first` is the block of `connected`, which is sent before everything else."""
        super().__init__(subscription, bus.clock, heartbeat_interval_s)
        self._send = send
        self._bus = bus
        self._first = first
        self._notices: deque[bytes] = deque(maxlen=MAX_NOTICES)

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Queue a notice behind what is taken next; a reader that stalls gets the newest."""
        self._notices.append(message)
        self._subscription.wake()
        return True

    async def run(self) -> None:
        """Send `connected`, then until the subscription is closed."""
        await self._send(self._first)
        await super().run()

    def _next(self) -> bytes:
        subscription, epoch = self._subscription, self._bus.epoch
        blocks = take_blocks(subscription, epoch)
        while self._notices:  # a notice has no number: its id is the stream's position
            blocks += block(epoch, subscription.position, self._notices.popleft())
        if beat := self._beat():
            blocks += block(epoch, beat.sequence_number, encode(beat))
        return blocks

    async def _write(self, data: bytes) -> None:
        await self._send(data)


def block(epoch: str, number: int, message: bytes) -> bytes:
    """One server-sent event; the browser sends its `id` back as `Last-Event-ID`."""
    return b"id: %s:%d\ndata: %s\n\n" % (epoch.encode(), number, message)


def first_position(position: Position | None, epoch: str, head: int) -> tuple[str, int]:
    """The id of `connected`: the position where the replay begins, or the head without a replay.

    A position of another epoch is echoed, so that a client cut off before the gap still gets it.
    Never echo a number not yet issued: it may be issued later.
    """
    if position is None:
        return epoch, head
    number = position.sequence_number
    if position.epoch in (None, epoch):
        return epoch, number if number <= head else 0
    return str(position.epoch), number


def take_blocks(subscription: Subscription, epoch: str) -> bytes:
    """Take about `RUN_BYTES` from the subscription; the id of a gap is its end, if it has one."""
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
