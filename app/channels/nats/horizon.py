"""`Horizon`: asks the stream about positions ahead of this gateway, and waits for them."""

import asyncio
from collections.abc import Callable

from nats.aio.client import Client

from ...errors import UnavailableError
from ...events import Position
from ..bus import EventBus
from . import stream
from .connection import TROUBLE

WAIT_S = 2.0
_NEVER = 2**63


class Horizon:
    """Handles clients whose position is ahead of this gateway: a higher number, or a new epoch."""

    def __init__(
        self, bus: EventBus, wanted: stream.StreamConfig, doubt: Callable[[str], None]
    ) -> None:
        """`doubt` is called if the stream has another epoch than the bus."""
        self._bus = bus
        self._wanted = wanted
        self._doubt = doubt
        self._waiting: set[asyncio.Future[None]] = set()
        self._nearest = _NEVER  # the lowest number waited for

    async def reach(self, position: Position, client: Client | None) -> None:
        """Wait until the bus has read up to `position`. Return at once if the stream never gave it.

        Raises:
            UnavailableError: NATS is unreachable (`client` is None), or the bus is too slow.
        """
        number = position.sequence_number
        if position.epoch in (None, self._bus.epoch) and number <= self._bus.head:
            return
        try:
            if client is None:
                raise TimeoutError
            found = await stream.find_or_create(client, self._wanted)
            if position.epoch not in (None, found.epoch):
                number = 0  # an ended or unknown epoch: the bus answers with a gap
            if found.epoch != self._bus.epoch:
                self._doubt("another_epoch")
            elif number > found.state.last_seq:
                return
            await self._read(found.epoch, min(number, found.state.last_seq))
        except TROUBLE as error:
            raise UnavailableError(
                f"this gateway has read up to number {self._bus.head} and cannot tell now whether"
                f" {position.sequence_number} is right: NATS is away or this gateway is behind;"
                " try again"
            ) from error

    async def _read(self, epoch: str, number: int) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S):
            while self._bus.epoch != epoch or self._bus.head < number:
                moved: asyncio.Future[None] = loop.create_future()
                self._waiting.add(moved)
                self._nearest = min(self._nearest, number)
                try:
                    await moved
                finally:
                    self._waiting.discard(moved)

    def moved(self) -> None:
        """Wake the waiting, if the bus has read far enough."""
        if self._bus.head >= self._nearest:
            self._nearest = _NEVER
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
