"""`Follower`: brings what is in the stream to the bus, in order, with no number passed over."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from ...events import Event
from ..bus import Contents, EventBus
from .message import ROOT, read_message
from .stream import StreamInfo, request, seconds

HEARTBEAT_S = 1.0  # the server says at least so often that it has nothing new
QUIET_S = 3.0  # without a word for so long, the consumer is gone
YIELD_EVERY = 64  # messages before the loop gets a turn
_NS = 1_000_000_000
_log = structlog.get_logger("sightline.follower")

Verdict = Literal["next", "old", "lost", "hole"]


class Order:
    """Judges what a consumer delivers by two numbers. Pure.

    A consumer counts its deliveries. A count that is missing is a message lost on the way, which
    is read again; a number that is missing between two counts is not in the stream any more.
    """

    def __init__(self) -> None:
        self.delivered = 0

    def judge(self, delivered: int, number: int, head: int) -> Verdict:
        """What to do with message `number`, the consumer's delivery number `delivered`."""
        if delivered != self.delivered + 1:
            return "lost"
        self.delivered = delivered
        if number <= head:
            return "old"
        return "next" if number == head + 1 else "hole"


class _ConsumerConfig(msgspec.Struct, kw_only=True):
    deliver_subject: str
    deliver_policy: str
    opt_start_seq: int | msgspec.UnsetType = msgspec.UNSET
    opt_start_time: str | msgspec.UnsetType = msgspec.UNSET
    ack_policy: str = "none"
    flow_control: bool = True
    idle_heartbeat: int = msgspec.field(default_factory=lambda: int(HEARTBEAT_S * _NS))
    inactive_threshold: int = msgspec.field(default_factory=lambda: int(2 * QUIET_S * _NS))
    mem_storage: bool = True
    num_replicas: int = 1


def _from_number(inbox: str, number: int) -> _ConsumerConfig:
    return _ConsumerConfig(
        deliver_subject=inbox, deliver_policy="by_start_sequence", opt_start_seq=number
    )


class _ConsumerRequest(msgspec.Struct):
    stream_name: str
    config: _ConsumerConfig


class _Delivered(msgspec.Struct):
    stream_seq: int


class _ConsumerInfo(msgspec.Struct):
    delivered: _Delivered
    num_pending: int


class Follower:
    """One consumer of the stream. It ends with the first doubt; the next one begins at the head."""

    def __init__(
        self,
        client: Client,
        stream: StreamInfo,
        bus: EventBus,
        begin: Callable[[str, int], None],
        seen: Callable[[Event], None],
        caught_up: Callable[[], None],
        max_event_bytes: int | None = None,
    ) -> None:
        """`begin` is called where the stream goes on elsewhere, `seen` with each new event,
        `caught_up` once all is read that was there at the beginning. A message with more than
        `max_event_bytes` is no event.
        """
        self._max_event_bytes = max_event_bytes
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
        # From the server's clock to ours, so that the age of what was there before us is right.
        self._to_monotonic = self._heard_at - seconds(stream.ts)

    async def run(self, window_s: float, max_events: int) -> str:
        """Follow until something is in doubt; return what. Cancelling ends the consumer.

        `window_s` and `max_events` bound what is read to fill the replay log.

        Raises:
            UnavailableError, nats.errors.Error: NATS does not do as it is asked.
        """
        state, epoch = self._stream.state, self._stream.epoch
        went_back = epoch == self._bus.epoch and state.last_seq < self._bus.head
        anew = went_back or epoch != self._bus.epoch
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=self._on_message)
        try:
            head = await self._before_window(window_s, max_events) if anew else self._bus.head
            consumer = await self._create(_from_number(inbox, head + 1))
            if went_back:
                _log.error("stream_went_back", head=self._bus.head, last=state.last_seq)
            if consumer.num_pending == 0:
                anew = anew or head < state.last_seq  # the rest has been deleted
                head = max(head, state.last_seq)
            if anew:
                self._begin(epoch, head)
            if consumer.num_pending == 0:
                self._on_caught_up()
            self._heard_at = self._bus.clock.monotonic()  # what was asked above took its time
            self._ready.set()
            while not (await asyncio.wait({self._ended}, timeout=QUIET_S / 4))[0]:
                if self._bus.clock.monotonic() - self._heard_at > QUIET_S:
                    return "quiet"
            return self._ended.result()
        finally:
            self.end("cancelled")
            with suppress(NatsError, TimeoutError):  # a frozen server may not take it
                async with asyncio.timeout(1):
                    await subscription.unsubscribe()

    async def _before_window(self, window_s: float, max_events: int) -> int:
        """The number before the first that the replay log may still hold."""
        # A consumer that nobody listens to tells which number a time is at.
        since = datetime.fromtimestamp(seconds(self._stream.ts) - window_s, UTC)
        probe = await self._create(
            _ConsumerConfig(
                deliver_subject=self._client.new_inbox(),
                deliver_policy="by_start_time",
                opt_start_time=since.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            )
        )
        state = self._stream.state
        return max(probe.delivered.stream_seq, state.last_seq - max_events, state.first_seq - 1)

    async def _create(self, config: _ConsumerConfig) -> _ConsumerInfo:
        name = self._stream.config.name
        body = msgspec.json.encode(_ConsumerRequest(name, config))
        answer = await request(self._client, f"CONSUMER.CREATE.{name}", body)
        return msgspec.json.decode(answer, type=_ConsumerInfo)

    def _on_caught_up(self) -> None:
        if not self._is_caught_up:
            self._is_caught_up = True
            self._caught_up()

    def end(self, why: str) -> None:
        """Stop at the next moment: somebody else has a doubt."""
        if not self._ended.done():
            self._ended.set_result(why)

    async def _on_message(self, message: Msg) -> None:
        """Called by nats-py, one message after the other."""
        self._heard_at = self._bus.clock.monotonic()
        if not self._ready.is_set():
            await self._ready.wait()
        if self._ended.done():
            return
        try:
            # Never by a header: those of a stored message are anybody's to write.
            if not message.subject.startswith(ROOT):
                await self._on_control(message)
            else:
                self._take(message)
                self._since_pause += 1
                if self._since_pause >= YIELD_EVERY:
                    self._since_pause = 0
                    await asyncio.sleep(0)
        except Exception as error:  # nats-py would go on with the next message
            if not self._ended.done():
                self._ended.set_exception(error)

    async def _on_control(self, message: Msg) -> None:
        headers = message.headers or {}
        if reply := message.reply or headers.get("Nats-Consumer-Stalled"):
            await self._client.publish(reply)  # flow control: all before it has been taken
        elif int(headers.get("Nats-Last-Consumer", 0)) != self._order.delivered:
            self.end("lost")

    def _take(self, message: Msg) -> None:
        tokens = message.reply.split(".")
        if len(tokens) > 9:  # the longer form names domain and account first
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
            type_, timestamp, contents = read_message(
                message.subject, message.data, self._max_event_bytes
            )
        except ValueError as error:
            _log.error("foreign_message", sequence_number=number, error=str(error))
            type_, timestamp, contents = _in_its_place(number, stored_at, error)
        accepted_at = self._heard_at
        if not self._is_caught_up:  # live events are new, wherever the server's clock jumps
            accepted_at = min(accepted_at, stored_at + self._to_monotonic)
        self._seen(self._bus.accept(type_, timestamp, number, contents, accepted_at))
        if number >= self._stream.state.last_seq:
            self._on_caught_up()
        elif self.lag == 0:
            self.end("tail")  # what is behind it seems to be deleted: begin again there to know


def _in_its_place(number: int, stored_at: float, error: ValueError) -> tuple[str, str, Contents]:
    """An event under the number of a message that is none: the same one on every gateway."""
    said = {
        "message": f"message {number} of the stream is not an event: {error}",
        "code": "foreign_message",
        "component": "nats",
    }
    time = datetime.fromtimestamp(stored_at, UTC)
    timestamp = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
    return (
        "system.error",
        timestamp,
        (msgspec.json.encode(said), b"{}"),
    )
