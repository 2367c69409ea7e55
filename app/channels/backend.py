"""`ChannelBackend`: numbers each event and brings it to this gateway's bus in order."""

from asyncio import Future
from typing import Protocol, runtime_checkable

import msgspec

from ..events import Event, Position
from .bus import Contents, EventBus


class BackendStatus(msgspec.Struct, frozen=True):
    """State of the log behind the bus. `lag` to `unknown` are counts."""

    name: str
    connected: bool = True
    lag: int = 0  # events in the log not yet read here, as far as known
    waiting: int = 0  # publishes not yet handed to the log
    in_flight: int = 0  # publishes not yet answered by the log, or not yet read back
    outages: int = 0  # times that the log became unreachable
    unknown: int = 0  # publishes whose outcome is unknown
    durable: bool = False  # whether the log survives this process


@runtime_checkable
class ChannelBackend(Protocol):
    """The log behind the bus, one per gateway. The default is `MemoryBackend`."""

    @property
    def status(self) -> BackendStatus:
        """The current state of the log."""

    async def start(self) -> None:
        """Start feeding the bus; returns when clients can resume from the retained events."""

    async def stop(self) -> None:
        """Stop feeding the bus and end every task; later submits are refused."""

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Event | Future[Event]:
        """Number an event and fan it out: returns the event, or a future if that takes time.

        Numbers follow the order of calls. Two submits with the same idempotency `key` are one event
        if the log remembers keys. The future raises `UnavailableError` if the event was not
        published, or if that is unknown; the message says which.

        Raises:
            WrongLoopError: called from another thread, event loop or process; nothing was done.
        """

    async def catch_up(self, position: Position) -> None:
        """Wait, for a bounded time, until the bus has read the log up to `position`.

        Returns at once if the log never gave that number; the bus then answers with a gap.

        Raises:
            UnavailableError: the log is unreachable or too far ahead to decide.
        """


_MEMORY = BackendStatus("memory")


class MemoryBackend:
    """Numbers events in this process. The bus's memory is the log, and a restart is a new epoch."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    @property
    def status(self) -> BackendStatus:
        """Always connected."""
        return _MEMORY

    async def start(self) -> None:
        """Does nothing."""

    async def stop(self) -> None:
        """Does nothing."""

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Event:
        """Number the event and fan it out at once. `key` is ignored."""
        return self._bus.accept(type_, timestamp, self._bus.head + 1, contents)

    async def catch_up(self, position: Position) -> None:
        """Does nothing: the bus is never behind its own memory."""
