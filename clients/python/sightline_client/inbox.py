"""`Inbox`: what a connection received and the consumer has not asked for yet. Bounded, without I/O."""

from collections import deque
from typing import NamedTuple

from sightline_client.messages import Event, Gap, Item, Position

QUEUE_SIZE = 1000  # items, as many as the gateway's own queue for a client holds
QUEUE_MAX_CHARACTERS = 16 * 1024 * 1024
EPOCH_CHANGED = "epoch_changed"


class Entry(NamedTuple):
    """An item, or None where only the position moves; and the position once it is processed."""

    item: Item | None
    after: Position | None


class Inbox:
    """A queue that drops its oldest items when it is full, and puts one gap in their place."""

    def __init__(self, size: int = QUEUE_SIZE, max_characters: int = QUEUE_MAX_CHARACTERS) -> None:
        if size < 1:
            raise ValueError(f"queue_size is {size}: give at least 1")
        self._size = size
        self._max_characters = max_characters
        # In place of what was dropped: a gap, or one, an `epoch_changed` and another one.
        self._losses: list[Entry] = []
        self._entries: deque[Entry] = deque()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._losses) + len(self._entries)

    def has_epoch(self, epoch: str | None) -> bool:
        """Whether an entry leads to a position in this epoch."""
        entries = (*self._losses, *self._entries)
        return any(entry.after is not None and entry.after.epoch == epoch for entry in entries)

    def put(self, entry: Entry) -> None:
        """Add an entry behind all others."""
        if entry.item is None and self._entries and self._entries[-1].item is None:
            self._entries.pop()
        self._entries.append(entry)
        self._characters += _characters(entry)
        while len(self._entries) > self._size or (
            self._characters > self._max_characters and len(self._entries) > 1
        ):
            self._drop(self._entries.popleft())

    def take(self) -> Entry | None:
        """Remove and return the oldest entry; None if there is none."""
        if self._losses:
            return self._losses.pop(0)
        if not self._entries:
            return None
        entry = self._entries.popleft()
        self._characters -= _characters(entry)
        return entry

    def _drop(self, entry: Entry) -> None:
        self._characters -= _characters(entry)
        if entry.item is None:  # what comes behind moves the position further
            return
        if isinstance(entry.item, Gap) and entry.item.reason == EPOCH_CHANGED:
            # Its loss has no known size, so it covers the losses before it
            # back to an earlier change; without it the numbers behind it would be misread.
            before = [] if not self._losses or _is_change(self._losses[0]) else self._losses[:1]
            self._losses = [*before, entry]
            return
        lost = self._losses[-1] if self._losses and not _is_change(self._losses[-1]) else None
        if lost is not None:
            self._losses.pop()
        self._losses.append(_merged(lost, entry))


def _is_change(entry: Entry) -> bool:
    return isinstance(entry.item, Gap) and entry.item.reason == EPOCH_CHANGED


def _merged(lost: Entry | None, entry: Entry) -> Entry:
    """One gap for two neighbouring gaps."""
    gap = _loss_of(entry.item)
    if lost is None:
        return Entry(gap, entry.after)
    before = _loss_of(lost.item)
    dropped = (
        None if before.dropped is None or gap.dropped is None else before.dropped + gap.dropped
    )
    first = before.from_sequence_number
    return Entry(
        Gap(
            gap.from_sequence_number if first is None else first,
            before.to_sequence_number if gap.to_sequence_number is None else gap.to_sequence_number,
            dropped,
            gap.reason,
        ),
        entry.after or lost.after,
    )


def _loss_of(item: Item | None) -> Gap:
    match item:
        case Event(sequence_number=number):
            return Gap(number, number, 1, "slow_consumer")
        case Gap(from_sequence_number=first, to_sequence_number=last, dropped=dropped):
            return Gap(first, last, dropped, "slow_consumer")
        case _:
            raise AssertionError("an entry without an item is no loss")


def _characters(entry: Entry) -> int:
    return len(entry.item.raw) if isinstance(entry.item, Event) else 0
