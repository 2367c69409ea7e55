"""`ThreadReader`: reads the events of one session, from the journal and from what is retained."""

from collections.abc import AsyncIterator

import msgspec

from ...channels.bus import EventBus
from ...channels.filters import EventFilter
from ...channels.replay import ReplayStore
from ...errors import JournalUnavailableError
from ...events import Gap, Position
from ...journal.history import Question
from ...journal.journal import Journal
from ..queries import parse_position
from .thread import Message

PAGE_EVENTS = 100
decode = msgspec.json.Decoder(Message).decode


class ThreadReader:
    """Reads one session in order. It remembers how far it read, whether events matched or not."""

    def __init__(
        self,
        thread_id: str,
        bus: EventBus,
        store: ReplayStore,
        journal: Journal | None,
        event_filter: EventFilter,
    ) -> None:
        self.reached: Position | None = None
        self.thread_id = thread_id
        # Part of the bytes of each event of the session: it saves decoding the others.
        self._marks = msgspec.json.encode(thread_id)
        self._bus = bus
        self._store = store
        self._journal = journal
        self._filter = event_filter

    def read(self, encoded: bytes) -> Message | None:
        """The event, if it is one of the session."""
        if self._marks not in encoded:
            return None
        message = decode(encoded)
        return message if message.data.get("session_id") == self.thread_id else None

    @property
    def whole(self) -> bool:
        """Whether no event was deleted before the oldest one that can be read."""
        if self._journal is not None and self._journal.start is not None:
            return self._journal.start[0].endswith(":1")
        return self._store.first == 1

    async def behind(self, position: Position | None) -> AsyncIterator[tuple[str, Message] | Gap]:
        """All events behind a position, or all there are: each with its epoch, and every loss.

        Raises:
            UnavailableError: the journal cannot be read.
        """
        self.reached = position
        waited_at: Position | None = None
        while self._journal is not None:
            question = Question(
                limit=PAGE_EVENTS,
                after=self.reached,
                event_filter=self._filter,
                session=self.thread_id,
            )
            page = await self._journal.page(question)
            if page is None:
                break
            if page.gap is not None:
                yield page.gap
            for encoded in page.messages:
                if (message := self.read(encoded)) is not None:
                    self.reached = Position(message.sequence_number, page.epoch)
                    yield page.epoch, message
            self.reached = Position(page.next, page.epoch)
            if page.newer is not None:
                self.reached = parse_position("newer", page.newer)
            elif self.reached == waited_at or not await self._rest_is_stored(self._journal):
                break
            else:
                waited_at = self.reached
        for item in self._retained():
            yield item

    async def _rest_is_stored(self, journal: Journal) -> bool:
        """Whether the rest is in the journal alone, after waiting for it: a disk may be slow."""
        if self._store.first - 1 <= self._number_reached():
            return False
        try:
            await journal.stored(self._bus.head)
        except JournalUnavailableError:
            return False
        return True

    def _number_reached(self) -> int:
        """The last number read of the present epoch."""
        reached = self.reached
        return reached.sequence_number if reached and reached.epoch == self._bus.epoch else 0

    def _retained(self) -> list[tuple[str, Message] | Gap]:
        """The rest, which is not in the journal yet, or where there is none."""
        epoch, store, number = self._bus.epoch, self._store, self._number_reached()
        items: list[tuple[str, Message] | Gap] = []
        if store.first - 1 > number:
            items.append(Gap(number + 1, store.first - 1, None, "expired"))
        for event in store.after(number, self._filter):
            if (message := self.read(event.encoded)) is not None:
                items.append((epoch, message))
        self.reached = Position(self._bus.head, epoch)
        return items
