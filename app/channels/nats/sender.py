"""`Sender`: hands publishes to NATS in order, and handles the answers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ..bus import EventBus
from . import stream
from .connection import TROUBLE
from .intake import Intake
from .message import subject_of
from .outbox import Outbox, Publish
from .stream import ApiError

_UNAVAILABLE = 503  # not stored, as during an election or with a full disk


class _Ack(msgspec.Struct):
    stream: str = ""
    domain: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


_log = structlog.get_logger("sightline.sender")
_decode_ack = msgspec.json.Decoder(_Ack).decode


class Sender:
    """Sends the outbox, over one connection after another."""

    def __init__(
        self,
        bus: EventBus,
        outbox: Outbox,
        stream_name: str,
        doubt: Callable[[str], None],
        intake: Intake,
    ) -> None:
        """`doubt` is called when an answer contradicts the stream that is followed here."""
        self._bus = bus
        self._outbox = outbox
        self._stream_name = stream_name
        self._doubt = doubt
        self._intake = intake
        self.domain = ""
        """The JetStream domain of the stream; set once the stream is found."""
        self._inbox = ""  # kept over reconnects: an answer may come late
        self._something_to_do = asyncio.Event()
        # Numbers that the replay log no longer has; bounded, as the outbox holds their publishes.
        self._expired: asyncio.Queue[tuple[int, Publish]] = asyncio.Queue()

    def wake(self) -> None:
        """Have `send` look at the outbox again."""
        self._something_to_do.set()

    async def send(self, client: Client) -> None:
        """Hand publishes to NATS as the outbox allows. Runs until cancelled."""
        self._inbox = self._inbox or client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        while True:
            self._something_to_do.clear()
            while (publish := self._outbox.next(self._bus.clock.monotonic())) is not None:
                await client.publish(
                    subject_of(publish.type),
                    publish.body,
                    reply=f"{self._inbox}.{publish.order}",
                    headers={"Nats-Msg-Id": publish.key} if publish.key else None,
                )
            await self._something_to_do.wait()

    async def _on_answer(self, message: Msg) -> None:
        order = int(message.subject.rpartition(".")[2])
        untaken = message.headers and message.headers.get("Status") == str(_UNAVAILABLE)
        # After an unreadable answer the publish stays in flight until its deadline.
        ack = None if untaken else _decode_ack(message.data)
        if ack is not None and not self._is_of_our_stream(ack):
            _log.error("foreign_stream_answers", stream=ack.stream, domain=ack.domain)
            return
        publish = self._outbox.answered(order)
        self.wake()
        if publish is None:
            return
        if ack is None:
            self._outbox.refuse(publish, "no stream takes the message")
        elif ack.error is not None and ack.error.code == _UNAVAILABLE:
            self._outbox.refuse(publish, ack.error.description)
        elif ack.error is not None:
            publish.fail(f"NATS refused it: {ack.error.description}; it was not published")
        else:
            self._stored(publish, ack.seq, ack.duplicate)

    def _is_of_our_stream(self, ack: _Ack) -> bool:
        if ack.stream not in ("", self._stream_name):
            return False
        return ack.error is not None or ack.domain == self.domain

    def _stored(self, publish: Publish, number: int, duplicate: bool) -> None:
        """Resolve the publish now if the follower was faster than the answer."""
        self._outbox.store(publish, number, duplicate)
        if number > self._bus.head:
            return
        event = self._bus.find(number)
        if event is None:
            self._expired.put_nowait((number, publish))
        elif publish.is_kept_in(event):
            self._outbox.seen(event)
        else:
            self._doubt("number_given_twice")  # not the stream that is followed here

    async def look_up(self, client: Client) -> None:
        """Resolve publishes whose event the replay log no longer has. Runs until cancelled."""
        while True:
            number, publish = await self._expired.get()
            with suppress(*TROUBLE, ValueError):  # the publish then fails at its deadline
                stored = await stream.fetch(client, self._stream_name, number)
                if stored is None:
                    continue
                event = self._intake.read_event(*stored, number)
                if publish.is_kept_in(event):
                    self._outbox.seen(event)
                else:
                    self._doubt("number_given_twice")
