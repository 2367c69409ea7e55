"""`Follower`: reads the stream into the bus, in order, without skipping a number."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from ...events import Event
from ..bus import EventBus
from . import consumer
from .intake import Intake
from .message import ROOT
from .stream import StreamInfo, seconds

YIELD_EVERY = 64  # messages in a row before the loop gets a turn
_NS = 1_000_000_000
_log = structlog.get_logger("sightline.follower")

Verdict = Literal["next", "old", "lost", "hole"]


class Order:
    """Judges the deliveries of a consumer by two numbers. Pure.

    A consumer counts its deliveries. A skipped count means that a message was lost on the way and
    must be read again. A skipped number between two counts means that the stream no longer has it.
    """

    def __init__(self) -> None:
        self.delivered = 0

    def judge(self, delivered: int, number: int, head: int) -> Verdict:
        """Judge message `number`, which is delivery `delivered`; `head` is the head of the bus."""
        if delivered != self.delivered + 1:
            return "lost"
        self.delivered = delivered
        if number <= head:
            return "old"
        return "next" if number == head + 1 else "hole"


class Follower:
    """One consumer of the stream. It ends at the first doubt; the next one begins at the head."""

    def __init__(
        self,
        client: Client,
        stream: StreamInfo,
        bus: EventBus,
        begin: Callable[[str, int], None],
        seen: Callable[[Event], None],
        caught_up: Callable[[], None],
        intake: Intake,
    ) -> None:
        """`begin` is called when the stream continues elsewhere, `seen` with each new event,
        `caught_up` when everything stored before the start has been read.
        """
        self._intake = intake
        self.lag = 0
        self._client = client
        self._stream = stream
        self._bus = bus
        self._begin = begin
        self._seen = seen
        self._caught_up = caught_up
        self._is_caught_up = False
        self._order = Order()
        self._ready = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._since_pause = 0
        self._heard_at = bus.clock.monotonic()
        # Converts the server's clock to ours, for the age of older events.
        self._to_monotonic = self._heard_at - seconds(stream.ts)

    async def run(self, window_s: float, max_events: int) -> str:
        """Follow until there is a doubt; return its name. Cancelling ends the consumer.

        `window_s` and `max_events` bound what fills the replay log.

        Raises:
            UnavailableError, nats.errors.Error: NATS refused or did not answer.
        """
        state, epoch = self._stream.state, self._stream.epoch
        went_back = epoch == self._bus.epoch and state.last_seq < self._bus.head
        restart = went_back or epoch != self._bus.epoch
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=self._on_message)
        try:
            head = (
                await consumer.before_window(self._client, self._stream, window_s, max_events)
                if restart
                else self._bus.head
            )
            pending = await consumer.create(self._client, self._stream, inbox, head + 1)
            if went_back:
                _log.error("stream_went_back", head=self._bus.head, last=state.last_seq)
            if pending == 0:
                restart = restart or head < state.last_seq  # the messages between were deleted
                head = max(head, state.last_seq)
            if restart:
                self._begin(epoch, head)
            if pending == 0:
                self._on_caught_up()
            self._heard_at = self._bus.clock.monotonic()  # the requests above took time
            self._ready.set()
            while not (await asyncio.wait({self._ended}, timeout=consumer.QUIET_S / 4))[0]:
                if self._bus.clock.monotonic() - self._heard_at > consumer.QUIET_S:
                    return "quiet"
            return self._ended.result()
        finally:
            self.end("cancelled")
            with suppress(NatsError, TimeoutError):  # a frozen server may not answer
                async with asyncio.timeout(1):
                    await subscription.unsubscribe()

    def _on_caught_up(self) -> None:
        if not self._is_caught_up:
            self._is_caught_up = True
            self._caught_up()

    def end(self, why: str) -> None:
        """End soon, with `why` as the doubt."""
        if not self._ended.done():
            self._ended.set_result(why)

    async def _on_message(self, message: Msg) -> None:
        """Handle a message. nats-py calls this for one message at a time."""
        self._heard_at = self._bus.clock.monotonic()
        if not self._ready.is_set():
            await self._ready.wait()
        if self._ended.done():
            return
        try:
            # Judge by subject, never by headers: any client of NATS can write those.
            if not message.subject.startswith(ROOT):
                await self._on_control(message)
            else:
                self._take(message)
                self._since_pause += 1
                if self._since_pause >= YIELD_EVERY:
                    self._since_pause = 0
                    await asyncio.sleep(0)
        except Exception as error:  # nats-py would continue with the next message
            if not self._ended.done():
                self._ended.set_exception(error)

    async def _on_control(self, message: Msg) -> None:
        headers = message.headers or {}
        if reply := message.reply or headers.get("Nats-Consumer-Stalled"):
            await self._client.publish(
                reply
            )  # flow control: every earlier message has been handled
        elif int(headers.get("Nats-Last-Consumer", 0)) != self._order.delivered:
            self.end("lost")

    def _take(self, message: Msg) -> None:
        tokens = message.reply.split(".")
        if len(tokens) > 9:  # the longer form starts with domain and account
            tokens = tokens[2:]
        number, delivered = int(tokens[5]), int(tokens[6])
        verdict = self._order.judge(delivered, number, self._bus.head)
        if verdict == "lost":
            self.end("lost")
            return
        if verdict == "hole":
            _log.warning("stream_hole", after=self._bus.head, before=number)
            self._begin(self._stream.epoch, number - 1)
        elif verdict == "old":
            return
        self.lag = int(tokens[8])
        stored_at = int(tokens[7]) / _NS
        try:
            type_, timestamp, contents = self._intake.read(message.subject, message.data)
        except ValueError as error:
            type_, timestamp, contents = self._intake.in_place_of(number, stored_at, error)
            _log.error("foreign_message", sequence_number=number, error=contents[0].decode())
        accepted_at = self._heard_at
        if not self._is_caught_up:  # live events are new, even if the server's clock jumps
            accepted_at = min(accepted_at, stored_at + self._to_monotonic)
        self._seen(self._bus.accept(type_, timestamp, number, contents, accepted_at))
        if number >= self._stream.state.last_seq:
            self._on_caught_up()
        elif self.lag == 0:
            self.end("tail")  # the later messages seem deleted: a new consumer shows
