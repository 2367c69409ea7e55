"""`ChannelBackend`: what gives each event its number, and brings it to this gateway's bus in order."""

from asyncio import Future
from typing import Protocol, runtime_checkable

import msgspec

from ..events import Event, Position
from .bus import Contents, EventBus


class BackendStatus(msgspec.Struct, frozen=True):
    """How the log behind the bus is; events in counts."""

    name: str
    connected: bool = True
    lag: int = 0  # events in the log that have not come here yet, as far as is known
    waiting: int = 0  # publishes that are not with the log yet
    in_flight: int = 0  # publishes that the log has not answered, or that have not come back
    outages: int = 0  # times that the log went away
    unknown: int = 0  # publishes that ended without an answer
    durable: bool = False  # whether the log survives this process


@runtime_checkable
class ChannelBackend(Protocol):
    """The log behind the bus. One per gateway; `MemoryBackend` unless the settings say otherwise."""

    @property
    def status(self) -> BackendStatus:
        """How the log is, now."""

    async def start(self) -> None:
        """Begin to feed the bus; returns once clients may resume from what is retained."""

    async def stop(self) -> None:
        """Stop feeding the bus and end every task; what is submitted afterwards is refused."""

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Event | Future[Event]:
        """Number an event and fan it out: the event if that is done, else a future of it.

        Order of calls is order of numbers. The same idempotency `key` twice is one event, where
        the log can tell. The future raises `UnavailableError` when the event was not published,
        or may have been.

        Raises:
            WrongLoopError: called from another thread, event loop or process; nothing was done.
        """

    async def catch_up(self, position: Position) -> None:
        """Wait, for a bounded time, until the bus has read up to a number that the log has given.

        Returns at once where the log never gave that number; the bus then calls it wrong.

        Raises:
            UnavailableError: the log is away, or too far ahead: nobody can tell yet.
        """


_MEMORY = BackendStatus("memory")


class MemoryBackend:
    """Numbers events in this process: the log is the bus's own memory, and a restart is a new epoch."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    @property
    def status(self) -> BackendStatus:
        """Always there."""
        return _MEMORY

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Event:
        """Number the event and fan it out at once. Keys are not remembered here."""
        return self._bus.accept(type_, timestamp, self._bus.head + 1, contents)

    async def catch_up(self, position: Position) -> None:
        """The bus is never behind its own memory."""
