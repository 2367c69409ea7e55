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
from pathlib import Path
from types import FrameType
from typing import TextIO

import click
import msgspec

from sightline_client import Event, Gap
from sightline_client.address import find
from sightline_client.errors import SightlineError
from sightline_client.sync import Stream, connect

from . import deaf_to_ctrl_c, lines, reader_gone
from .own_output import OwnOutput


class RecordingExistsError(SightlineError):
    code = "recording_exists"


def tail(patterns: tuple[str, ...], since: int | None, as_json: bool) -> None:
    """Print until Ctrl-C or until nobody reads any more; a gateway that is away is waited for."""
    _tell_of_reconnects()
    _end_with_the_pipe()
    show = _as_json if as_json else _line_printer()
    place = find().url
    own = OwnOutput.of(sys.stdout.fileno())
    with connect(types=patterns or None, since=since) as stream:
        _say_connected(place, stream, since)
        try:
            for item in stream:
                if not own.leaves_out(item):
                    print(show(item), flush=True)
        finally:
            if own.left_out:
                click.echo(f"sightline: {own.summary.removeprefix(', ')}", err=True)


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


def _say_connected(place: str, stream: Stream, since: int | None = None) -> None:
    """An empty screen then means that nothing happens."""
    connected = stream.connected
    if connected is None:
        return
    start = connected.sequence_number if since is None else since
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
