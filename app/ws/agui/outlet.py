"""`AguiOutlet`: sends one session as AG-UI events, from its start or from where the client was."""

from collections.abc import Awaitable, Callable

from ...channels.bus import EventBus
from ...channels.subscription import Subscription
from ...events import Event, Gap, Position
from ..messages import encode
from ..outlet import RUN_BYTES
from ..sending import SendingOutlet
from .ids import EventId
from .reading import ThreadReader
from .stream import Numbered, ThreadStream

FIRST = b": AG-UI events\n\n"  # comments, which clients skip
BEAT = b":\n\n"


class AguiOutlet(SendingOutlet):
    """Reads the history, then what the subscription brings; a loss there is read from the history.

    The subscription began before the history was read, so nothing is missing in between; what comes
    both ways is skipped by its number.
    """

    def __init__(
        self,
        reader: ThreadReader,
        behind: EventId | None,
        subscription: Subscription,
        send: Callable[[bytes], Awaitable[None]],
        bus: EventBus,
        heartbeat_interval_s: float,
    ) -> None:
        super().__init__(subscription, bus.clock, heartbeat_interval_s)
        self._send = send
        self._bus = bus
        self._reader = reader
        self._stream = ThreadStream(reader.thread_id, behind, whole=reader.whole)
        self._blocks: list[bytes] = []
        self._size = 0

    def answer(self, message: bytes, in_order: bool = False) -> bool:
        """Leave out a notice of the gateway: it is no part of a session."""
        return True

    async def run(self) -> None:
        """Send until the subscription is closed; raises `UnavailableError` from the journal."""
        self._beat_due = self._clock.monotonic() + self._heartbeat_interval_s
        await self._write(FIRST)
        await self._read_behind(None)
        rest = self._stream.end_of_history()
        self._add(self._stream.begin_again() if rest is None else rest)
        if rest is None:
            await self._read_behind(None)
        while not self._subscription.closed:
            item = self._subscription.take()
            if isinstance(item, Gap):
                await self._read_behind(self._reader.reached)
            elif item is not None:
                self._live(item)
            if item is not None and self._size < RUN_BYTES:
                continue
            if data := self._next():
                await self._write(data)
            else:
                await self._wait()

    async def _read_behind(self, position: Position | None) -> None:
        async for item in self._reader.behind(position):
            if isinstance(item, Gap):
                self._add(self._stream.lost(self._reader.reached or Position(0, self._bus.epoch)))
            else:
                self._add(self._stream.event(*item))
            if self._size >= RUN_BYTES:
                await self._write(self._next())
            if self._subscription.closed:
                return

    def _live(self, event: Event) -> None:
        reached = self._reader.reached
        number, epoch = event.sequence_number, self._bus.epoch
        if reached is not None and reached.epoch == epoch and number <= reached.sequence_number:
            return
        self._reader.reached = Position(number, epoch)
        if (message := self._reader.read(event.encoded)) is not None:
            self._add(self._stream.event(epoch, message))

    def _add(self, written: Numbered) -> None:
        for id_, event in written:
            self._blocks.append(b"id: %s\ndata: %s\n\n" % (id_.encode(), encode(event)))
            self._size += len(self._blocks[-1])

    def _next(self) -> bytes:
        blocks, self._blocks, self._size = b"".join(self._blocks), [], 0
        if not blocks and self._beat() is not None:
            return BEAT
        return blocks

    async def _write(self, data: bytes) -> None:
        await self._send(data)
