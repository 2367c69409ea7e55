"""`tail`, `history` and `record`: events from the client, to the terminal or to a file."""

import logging
import os
import select
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import TextIO

import click
import msgspec

from sightline_client import Event, Gap, Item, Position
from sightline_client.address import find
from sightline_client.errors import SightlineError
from sightline_client.sync import History, Stream, connect, history

from . import deaf_to_ctrl_c, end_once_at, lines, reader_gone
from .own_output import OwnOutput
from .publishing import progress


class RecordingExistsError(SightlineError):
    code = "recording_exists"


def tail(patterns: tuple[str, ...], since: str | None, as_json: bool) -> None:
    """Print until Ctrl-C or until nobody reads any more; a gateway that is away is waited for."""
    _tell_of_reconnects()
    _end_with_the_pipe()
    show = _printer(as_json)
    place = find().url
    own = OwnOutput.of(sys.stdout.fileno())
    start = _start(since, patterns)
    with connect(types=patterns or None, since=start, backfill=True) as stream:
        _say_connected(place, stream)
        try:
            for item in stream:
                if not own.leaves_out(item):
                    print(show(item), flush=True)
        finally:
            if own.left_out:
                click.echo(f"sightline: {own.summary.removeprefix(', ')}", err=True)


def show_history(past: History, q: str | None, limit: int | None, as_json: bool) -> None:
    """Print what is found; on standard error where the history begins, and how much was found."""
    _end_with_the_pipe()
    show = _printer(as_json)
    _say_where_it_begins()
    events = gaps = 0
    more = ""
    with _counting(not sys.stdout.isatty()) as count:
        for item in past:
            if isinstance(item, Gap):
                gaps += 1
            elif events == limit:
                more = "; there are more"
                break
            else:
                events += 1
                count(item)
            print(show(item))
    hits = (
        ""
        if past.matches is None
        else f" of {past.matches:,} that match {lines.printable(q or '')}"
    )
    click.echo(f"{events:,} events{hits}{_also(gaps)}{more}", err=True)


def record(path: str, patterns: tuple[str, ...], since: str | None, until: str | None) -> None:
    """Write events to a new file until Ctrl-C, or SIGTERM, which is what scripts send.

    With `until`, the file holds what the journal does, and the command ends by itself.

    Raises:
        RecordingExistsError: a recording is never overwritten.
    """
    _tell_of_reconnects()
    end_once_at(signal.SIGINT, signal.SIGTERM)
    types = patterns or None
    if until is not None:
        number = _number(since)
        past = history(
            since=since if number is None else None, after=number, until=until, types=types
        )
        coming = iter(past)
        first = next(coming, None)  # a refusal leaves no file behind
        with _new_file(path) as file:
            _write([] if first is None else chain([first], coming), path, file)
        return
    place = find().url
    start = _start(since, patterns)
    with connect(types=types, since=start, backfill=True) as stream, _new_file(path) as file:
        _say_connected(place, stream)
        _write(stream, path, file, f"recording to {path}; Ctrl-C ends it")


def _write(items: Iterable[Item], path: str, file: TextIO, first: str | None = None) -> None:
    """Write items until they end, or until Ctrl-C, which counts from the line `first` on."""
    own = OwnOutput(Path(path))
    events = gaps = 0
    try:
        if first is not None:
            click.echo(first, err=True)
        with _counting(True) as count:
            for item in items:
                if own.leaves_out(item):
                    continue
                if isinstance(item, Gap):
                    gaps += 1
                    click.echo(lines.of_gap(item), err=True)
                else:
                    file.write(item.raw + "\n")
                    events += 1
                    count(item)
    except KeyboardInterrupt:
        deaf_to_ctrl_c()
    finally:
        lost = f", with {gaps} gaps" if gaps else ""
        click.echo(f"recorded {events:,} events{lost}{own.summary}", err=True)


def _number(since: str | None) -> int | None:
    return int(since) if since is not None and since.isascii() and since.isdigit() else None


def _start(since: str | None, patterns: tuple[str, ...]) -> Position | int | None:
    """The position before the first event since a time; None begins live."""
    number = _number(since)
    if since is None or number is not None:
        return number
    past = history(since=since, types=patterns or None, limit=1)
    first = next(iter(past), None)
    position = past.position
    if first is None or position is None:
        return position
    own = first.sequence_number if isinstance(first, Event) else first.from_sequence_number
    return Position((own or 1) - 1, position.epoch)


def _also(gaps: int) -> str:
    return f", {gaps} gap{'s' if gaps > 1 else ''}" if gaps else ""


def _say_where_it_begins() -> None:
    for item in history(limit=1):
        if isinstance(item, Event):
            number, time = item.sequence_number, lines.printable(item.timestamp)
            click.echo(f"the history begins at {time} with event #{number}", err=True)
            return
    click.echo("the history is empty", err=True)


@contextmanager
def _counting(wanted: bool) -> Iterator[Callable[[Event], None]]:
    """Shows on standard error, where that is a terminal, how many events there were and from when."""
    if not wanted or not sys.stderr.isatty():
        yield lambda event: None
        return
    with progress() as bar:
        task = bar.add_task("", total=None)
        counted = 0

        def count(event: Event) -> None:
            nonlocal counted
            counted += 1
            bar.update(
                task, description=f"{counted:,} events, up to {lines.printable(event.timestamp)}"
            )

        yield count


def _say_connected(place: str, stream: Stream) -> None:
    """An empty screen then means that nothing happens."""
    connected, position = stream.connected, stream.position
    if connected is None or position is None:
        return
    what = "every event" if "*" in connected.types else ", ".join(connected.types) or "nothing"
    click.echo(
        f"connected to {place}, listening for {lines.printable(what)}"
        f" after event #{position.sequence_number}",
        err=True,
    )


def _new_file(path: str) -> TextIO:
    try:
        return open(path, "x", encoding="utf-8", buffering=1)  # a line is there when it is written
    except FileExistsError:
        raise RecordingExistsError(f"{path} exists: move it away or choose another name") from None


def _as_json(item: Item) -> str:
    return item.raw if isinstance(item, Event) else msgspec.json.encode(item).decode()


def _printer(as_json: bool) -> Callable[[Item], str]:
    if as_json:
        return _as_json
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR")
    day = datetime.now().astimezone().date()

    def show(item: Item) -> str:
        nonlocal day
        if isinstance(item, Gap):
            return lines.of_gap(item, colour=colour)
        width = shutil.get_terminal_size().columns if terminal else None
        line = lines.of_event(item, colour=colour, width=width)
        before, day = day, lines.day_of(item)
        return line if day == before else f"{lines.of_day(day, colour=colour)}\n{line}"

    return show


def _tell_of_reconnects() -> None:
    logging.basicConfig(format="sightline: %(message)s")  # the client's warnings, to stderr


def _end_with_the_pipe() -> None:
    """Notice a reader that has gone at once, not at the next event, which may be hours away."""
    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return
    main = threading.main_thread().ident
    assert main is not None

    def gone(_signal: int, _frame: FrameType | None) -> None:
        reader_gone()

    def watch() -> None:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)  # errors alone
        poll.poll()
        signal.pthread_kill(main, signal.SIGPIPE)

    signal.signal(signal.SIGPIPE, gone)
    threading.Thread(target=watch, daemon=True).start()
