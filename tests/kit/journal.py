"""Events as the journal takes them, without a gateway."""

import msgspec

from app.events import Event
from app.journal.record import to_timestamp

NOW_MS = 1_700_000_000_000


def event(number: int, text: str, agent: str) -> Event:
    """An event whose time follows its number: `NOW_MS + number`."""
    stamp = to_timestamp(NOW_MS + number)
    message = {
        "type": "a.b",
        "timestamp": stamp,
        "sequence_number": number,
        "data": {"text": text},
        "metadata": {"agent": agent},
    }
    return Event("a.b", stamp, number, 0.0, msgspec.json.encode(message))
