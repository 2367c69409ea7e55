"""Recordings: an event a line, as the gateway sends them. Read, checked and timed without I/O."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from sightline_client import NewEvent
from sightline_client.errors import SightlineError

SHAPE = '{"type":"workflow.started","timestamp":"2026-11-22T21:00:00.123Z","data":{…}}'
MAX_LINE_BYTES = 4 * 1024 * 1024


class RecordingError(SightlineError):
    """A line is not an event; the message names it."""

    code = "invalid_recording"


class Recorded(msgspec.Struct, frozen=True):
    """An event of a recording. `at_s` is when it was accepted, in Unix seconds, where said."""

    line: int
    event: NewEvent
    at_s: float | None = None


class _Line(msgspec.Struct):
    type: str
    data: dict[str, object]
    metadata: dict[str, object] = {}
    timestamp: datetime | None = None


class _Type(msgspec.Struct):
    type: str


_decode_type = msgspec.json.Decoder(_Type).decode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_data = msgspec.json.Decoder(dict[str, object]).decode


def read_events(lines: Iterable[bytes], name: str, first: int = 1) -> Iterator[Recorded]:
    """Read a recording; empty lines and control messages, such as gaps, are passed over.

    Raises:
        RecordingError: a line is anything else.
    """
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            if "." not in _decode_type(line).type:
                continue
            read = _decode_line(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise RecordingError(
                f"{name}, line {number} is not an event: {error}; expected {SHAPE}"
            ) from error
        at_s = None if read.timestamp is None else read.timestamp.timestamp()
        yield Recorded(number, NewEvent(read.type, read.data, read.metadata), at_s)


def read_data(lines: Iterable[bytes], type_: str, name: str, first: int = 1) -> Iterator[Recorded]:
    """Read the data of events of one type, an object a line.

    Raises:
        RecordingError: a line is not an object.
    """
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            yield Recorded(number, NewEvent(type_, _decode_data(line)))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise RecordingError(
                f"{name}, line {number} is not the data of an event: {error}; expected an object"
            ) from error


def schedule(
    recording: Iterable[Recorded], speed: float, rate: float | None, name: str
) -> Iterator[tuple[float, Recorded]]:
    """When each event is due, in seconds from the start: by its timestamp, or `rate` a second.

    Time that runs backwards, as where two recordings meet, counts as no time.

    Raises:
        RecordingError: an event has no timestamp, and there is no `rate`.
    """
    due_s = 0.0
    before_s: float | None = None
    for index, recorded in enumerate(recording):
        if rate is not None:
            due_s = index / rate
        elif recorded.at_s is None:
            raise RecordingError(
                f"{name}, line {recorded.line} has no timestamp: replay with --rate"
            )
        else:
            due_s += max(recorded.at_s - before_s, 0) / speed if before_s is not None else 0
            before_s = recorded.at_s
        yield due_s, recorded
