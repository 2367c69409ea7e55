"""`Pending`: the events that wait for the disk, bounded; the oldest are dropped."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..events import Event

BATCH_EVENTS = 1000  # in one transaction, or
BATCH_BYTES = 4 * 1024 * 1024  # of messages; fewer in a small journal
MAX_WAITING = 50_000  # events while the file cannot be written, or
MAX_WAITING_BYTES = 64 * 1024 * 1024


class Start(NamedTuple):
    """Marks that the next events follow number `head` of `epoch`."""

    epoch: str
    head: int


class Pending:
    """A queue from the loop to the thread that stores.

    Invariant: the loop appends, and drops on the left; the thread takes from the left. Each side
    has its own count of bytes, so only taking from the left needs a lock.
    """

    def __init__(self, batch_bytes: int = BATCH_BYTES) -> None:
        """`batch_bytes`: a batch ends with the event that reaches this size of messages."""
        self._batch_bytes = batch_bytes
        self.lost = 0  # events that were dropped
        self._items: deque[Event | Start] = deque()
        self._added_bytes = 0  # by the loop, without those dropped
        self._taken_bytes = 0  # by the thread
        self._of_epoch = 0  # events appended since the last start
        self._taking = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def begin(self, start: Start) -> None:
        """The next events follow `start`."""
        self._items.append(start)
        self._of_epoch = 0

    def extend(self, events: Sequence[Event]) -> None:
        """Append events."""
        self._added_bytes += sum([len(event.encoded) for event in events])
        self._items.extend(events)
        self._of_epoch += len(events)

    def drop_excess(self) -> int:
        """Drop the oldest events above the bounds.

        Return the last dropped number of the present epoch, or 0 if none was dropped.
        """
        number = 0
        if not self._is_too_much:
            return number
        starts: list[Event | Start] = []  # they must reach the thread before later events
        with self._taking:
            while self._items and self._is_too_much:
                item = self._items.popleft()
                if isinstance(item, Start):
                    starts.append(item)
                    continue
                self._added_bytes -= len(item.encoded)
                self.lost += 1
                # Fewer items are left than the present epoch added, so this was one of them.
                if len(self._items) < self._of_epoch:
                    number = item.sequence_number
            self._items.extendleft(reversed(starts))
        return number

    @property
    def _is_too_much(self) -> bool:
        waiting_bytes = self._added_bytes - self._taken_bytes
        return len(self._items) > MAX_WAITING or waiting_bytes > MAX_WAITING_BYTES

    def take(self) -> Start | list[Event]:
        """Take the events of the next transaction, or the start of another epoch."""
        batch: list[Event] = []
        size = 0
        with self._taking:
            while self._items and len(batch) < BATCH_EVENTS and size < self._batch_bytes:
                item = self._items[0]
                if isinstance(item, Start):
                    if batch:
                        break
                    self._items.popleft()
                    return item
                self._items.popleft()
                size += len(item.encoded)
                batch.append(item)
        self._taken_bytes += size
        return batch
