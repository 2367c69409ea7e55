"""How an event, a gap and the catalog look in a terminal. Pure."""

import json
import re
import textwrap
from datetime import date, datetime
from functools import partial

import msgspec
from rich.cells import cell_len, set_cell_size

from sightline_client import Event, Gap
from sightline_client.events import DATA_CLASSES

_PLAIN_WORD = re.compile(r"[^\s\"'=\[\]{}]+")
_COLOURS = (32, 33, 34, 35, 36)  # green to cyan; red is for what went wrong
_DIM, _RED, _BOLD = 2, 31, 1


def of_event(event: Event, *, colour: bool = False, width: int | None = None) -> str:
    """One line: local time, number, type, fields. `width` in columns cuts the fields."""
    moment = _moment(event)
    time = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    number = f"#{event.sequence_number}"
    fields = " ".join(f"{printable(key)}={_shown(value)}" for key, value in event.fields.items())
    if width is not None:
        room = max(width - len(f"{time} {number} {event.type} "), 10)
        if cell_len(fields) > room:  # an ideograph takes two columns
            fields = set_cell_size(fields, room - 1).rstrip() + "…"
    if not colour:
        return f"{time} {number} {event.type} {fields}".rstrip()
    red = _RED if event.type.endswith((".failed", ".error")) else None
    namespace = sum(event.type.partition(".")[0].encode())
    type_ = _painted(event.type, red or _COLOURS[namespace % len(_COLOURS)], _BOLD)
    return f"{_painted(f'{time} {number}', _DIM)} {type_} {fields}".rstrip()


def of_day(day: date, *, colour: bool = False) -> str:
    """The line before the first event of another day."""
    return _painted(f"--- {day}", _DIM) if colour else f"--- {day}"


def day_of(event: Event) -> date:
    """The local day of the event."""
    return _moment(event).date()


def of_gap(gap: Gap, *, colour: bool = False) -> str:
    """One line that says what is lost and why."""
    how_many = "events were" if gap.dropped is None else f"{gap.dropped} events were"
    where = (
        ""
        if gap.to_sequence_number is None
        else (f" from #{gap.from_sequence_number} to #{gap.to_sequence_number}")
    )
    text = f"--- gap: {how_many} lost{where} ({printable(gap.reason)})"
    if gap.reason == "epoch_changed":
        text = "--- gap: numbers begin again, events may be lost (epoch_changed)"
    return _painted(text, _RED) if colour else text


def of_catalog(width: int | None = None) -> str:
    """A line for each event type; in a terminal, `width` columns wide, a paragraph."""
    entries = [(type_, _names(data), _description(data)) for type_, data in DATA_CLASSES.items()]
    if width is None:
        return "\n".join(f"{type_:<24} {names:<60} {about}" for type_, names, about in entries)
    fill = partial(textwrap.fill, width=width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(f"{type_}\n{fill(names)}\n{fill(about)}" for type_, names, about in entries)


def printable(text: str) -> str:
    """`text` without what a terminal would obey: file names and messages come from anywhere."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _moment(event: Event) -> datetime:
    return datetime.fromisoformat(event.timestamp).astimezone()


def _names(data: type[msgspec.Struct]) -> str:
    fields = msgspec.structs.fields(data)
    return " ".join(f.name if f.required else f"[{f.name}]" for f in fields)


def _description(data: type[msgspec.Struct]) -> str:
    return " ".join((data.__doc__ or "").partition(": ")[2].split())


def _shown(value: object) -> str:
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _painted(text: str, *codes: int) -> str:
    return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"
