"""The ids of AG-UI events: the position of the gateway's event, and a place among what it became. Pure."""

import re
from collections.abc import Iterable

import msgspec

from ...errors import BadRequestError
from ...events import Position
from ..queries import MAX_SEQUENCE_NUMBER, NAME

_ID = re.compile(r"(?P<number>[0-9]{1,16})(?:\.(?P<index>[0-9]{1,6}))?(?P<ended>!)?")


class EventId(msgspec.Struct, frozen=True):
    """Where a client is: behind `index` AG-UI events of one event, or behind all of them (None).

    `ended`: the client's last AG-UI event is `RUN_ERROR`, so only a new run may follow.
    """

    position: Position
    index: int | None = None
    ended: bool = False


def ids_of(position: Position, count: int, *, ended: bool) -> list[str]:
    """The ids of the `count` AG-UI events of one event; `ended` if the last one is `RUN_ERROR`."""
    base = f"{position.epoch}:{position.sequence_number}"
    return [f"{base}.{index}" for index in range(1, count)] + [f"{base}!" if ended else base]


def last_event_id(headers: Iterable[tuple[bytes, bytes]]) -> EventId | None:
    """The id in `Last-Event-ID`, or None; raises `BadRequestError`."""
    values = {
        value.decode("latin-1") for name, value in headers if name.lower() == b"last-event-id"
    }
    if not values:
        return None
    value = ", ".join(sorted(values))
    epoch, _, rest = value.rpartition(":")
    found = _ID.fullmatch(rest)
    number = 0 if found is None else int(found["number"])
    if not NAME.fullmatch(epoch) or found is None or number > MAX_SEQUENCE_NUMBER:
        raise BadRequestError(
            f"Last-Event-ID {value[:100]!r} is not the id of an event of this stream:"
            " omit it to read the session from its start"
        )
    index = found["index"]
    return EventId(
        Position(number, epoch),
        None if index is None else int(index),
        found["ended"] is not None,
    )
