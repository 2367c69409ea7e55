"""`ChannelBackend`: what gives each event its number, and brings it to this gateway's bus in order."""

from asyncio import Future
from typing import Protocol, runtime_checkable

from app.channels.bus import Contents, EventBus
from app.events import Event


@runtime_checkable
class ChannelBackend(Protocol):
    """The log behind the bus. One per gateway; `MemoryBackend` unless the settings say otherwise."""

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
        """

    async def catch_up(self, sequence_number: int) -> None:
        """Wait, for a bounded time, until the bus has read up to a number that the log has given.

        Returns at once where the log never gave that number; the bus then calls it wrong.
        """


class MemoryBackend:
    """Numbers events in this process: the log is the bus's own memory, and a restart is a new epoch."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    async def start(self) -> None:
        """Nothing to begin."""

    async def stop(self) -> None:
        """Nothing to end."""

    def submit(
        self, type_: str, timestamp: str, contents: Contents, key: str | None = None
    ) -> Event:
        """Number the event and fan it out at once. Keys are not remembered here."""
        return self._bus.accept(type_, timestamp, self._bus.head + 1, contents)

    async def catch_up(self, sequence_number: int) -> None:
        """The bus is never behind its own memory."""
