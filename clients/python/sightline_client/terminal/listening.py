"""`tail` and `record`: a stream from the client, to the terminal or to a file."""

import logging
import os
import select
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import NamedTuple, TextIO

import click
import msgspec

from sightline_client import Event, Gap, Position
from sightline_client.address import find
from sightline_client.errors import SightlineError
from sightline_client.pages import PAGE
from sightline_client.sync import Stream, connect, history as read_history

from . import deaf_to_ctrl_c, lines, reader_gone
from .own_output import OwnOutput


class RecordingExistsError(SightlineError):
    code = "recording_exists"


class Asked(NamedTuple):
    """What of the history is asked for; None is no restriction."""

    patterns: tuple[str, ...] | None
    since: str | None = None
    until: str | None = None
    agent: str | None = None
    session: str | None = None
    words: str | None = None


def tail(patterns: tuple[str, ...], since: str | None, as_json: bool) -> None:
    """Print until Ctrl-C or until nobody reads any more; a gateway that is away is waited for.

    `since` is the number of an event, or a time: then the history since that time comes first.
    """
    _tell_of_reconnects()
    _end_with_the_pipe()
    show = _as_json if as_json else _line_printer()
    place = find().url
    own = OwnOutput.of(sys.stdout.fileno())
    start: Position | int | None = None
    if since is not None and since.isdecimal():
        start = int(since)
    elif since is not None:
        past = read_history(types=patterns or None, since=since)
        for item in past:
            if not own.leaves_out(item):
                print(show(item), flush=True)
        start = past.position
    with connect(types=patterns or None, since=start) as stream:
        _say_connected(place, stream, start)
        try:
            for item in stream:
                if not own.leaves_out(item):
                    print(show(item), flush=True)
        finally:
            if own.left_out:
                click.echo(f"sightline: {own.summary.removeprefix(', ')}", err=True)


def history(asked: Asked, desc: bool, limit: int | None, as_json: bool) -> None:
    """Print what the gateway has kept, then to the terminal how many events there were."""
    _end_with_the_pipe()
    show = _as_json if as_json else _line_printer()
    past = read_history(
        types=asked.patterns,
        since=asked.since,
        until=asked.until,
        agent=asked.agent,
        session_id=asked.session,
        q=asked.words,
        order="desc" if desc else "asc",
        limit=min(limit or PAGE, PAGE),
    )
    own = OwnOutput.of(sys.stdout.fileno())
    events = 0
    for item in islice(past, limit):
        if own.leaves_out(item):
            continue
        events += isinstance(item, Event)
        print(show(item), flush=True)
    of = "" if past.matches is None else f" of {past.matches:,} that match"
    click.echo(f"{events:,} {'event' if events == 1 else 'events'}{of}", err=True)


def record(path: str, patterns: tuple[str, ...]) -> None:
    """Write events to a new file until Ctrl-C, or SIGTERM, which is what scripts send.

    Raises:
        RecordingExistsError: a recording is never overwritten.
    """
    _tell_of_reconnects()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    events = gaps = 0
    place = find().url
    own = OwnOutput(Path(path))
    with connect(types=patterns or None) as stream, _new_file(path) as file:
        _say_connected(place, stream)
        try:
            click.echo(f"recording to {path}; Ctrl-C ends it", err=True)
            for item in stream:
                if own.leaves_out(item):
                    continue
                if isinstance(item, Gap):
                    gaps += 1
                    click.echo(lines.of_gap(item), err=True)
                else:
                    file.write(item.raw + "\n")
                    events += 1
        except KeyboardInterrupt:
            deaf_to_ctrl_c()
        finally:
            lost = f", with {gaps} gaps" if gaps else ""
            click.echo(f"recorded {events:,} events{lost}{own.summary}", err=True)


def _say_connected(place: str, stream: Stream, since: Position | int | None = None) -> None:
    """An empty screen then means that nothing happens."""
    connected = stream.connected
    if connected is None:
        return
    start = since.sequence_number if isinstance(since, Position) else since
    start = connected.sequence_number if start is None else start
    what = "every event" if "*" in connected.types else ", ".join(connected.types) or "nothing"
    click.echo(
        f"connected to {place}, listening for {lines.printable(what)} after event #{start}",
        err=True,
    )


def _new_file(path: str) -> TextIO:
    try:
        return open(path, "x", encoding="utf-8", buffering=1)  # a line is there when it is written
    except FileExistsError:
        raise RecordingExistsError(f"{path} exists: move it away or choose another name") from None


def _as_json(item: Event | Gap) -> str:
    return item.raw if isinstance(item, Event) else msgspec.json.encode(item).decode()


def _line_printer() -> Callable[[Event | Gap], str]:
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR")

    def show(item: Event | Gap) -> str:
        if isinstance(item, Gap):
            return lines.of_gap(item, colour=colour)
        width = shutil.get_terminal_size().columns if terminal else None
        return lines.of_event(item, colour=colour, width=width)

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
