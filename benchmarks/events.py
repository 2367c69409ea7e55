"""The events that every peer publishes, each encoded afresh by the peer with a number of its own."""

import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.shapes import Fields, file_of

Published = tuple[str, Fields, Fields]  # type, data, metadata


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a server has to publish. The same for every peer, `bun.js` included."""

    events: int = 0  # at least so many,
    seconds: float = 0.0  # and for at least so long
    per_turn: int = 64  # events published before the event loop gets a turn
    window: int = 128  # events that the slowest client may be behind before publishing pauses
    rate: int = 0  # events a second; 0 is flat out
    file: str = msgspec.field(default_factory=lambda: file_of("nested"))  # of events, see `shapes`
    sample: bool = False  # tell where the time went


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a server after publishing."""

    published: int
    seconds: float  # from the first publish to the end of the last
    paused: int = 0  # how often the window stopped the publisher
    samples: dict[str, int] = {}  # samples by function


def now_us() -> int:
    """Microseconds of the one clock that all processes here share, Bun's too."""
    return time.time_ns() // 1000


def feed(order: Order) -> Iterator[Published]:
    """The events of an order's file, over and over; paced ones carry the time of their publishing."""
    lines = [json.loads(line) for line in Path(order.file).read_text().splitlines()]
    events = [(event["type"], event["data"], event["metadata"]) for event in lines]
    return _timed(events) if order.rate else itertools.cycle(events)


def _timed(events: list[Published]) -> Iterator[Published]:
    for type_, data, metadata in itertools.cycle(events):
        yield type_, {"sent": now_us(), **data}, metadata


class Numbered:
    """The envelope as a peer without one would make it: a number and the time, in a dict."""

    def __init__(self) -> None:
        self._number = 0

    def event(self, type_: str, data: Fields, metadata: Fields) -> Fields:
        self._number += 1
        return {
            "type": type_,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "sequence_number": self._number,
            "data": data,
            "metadata": metadata,
        }
