"""`sightline journal …`: inspect, export and prune the journal of this folder."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import BinaryIO, ParamSpec

import click
import msgspec

from ..channels.filters import EventFilter
from ..errors import SightlineError
from ..events import Position
from ..journal.forgetting import Forgotten, forget
from ..journal.history import Question, terms_of
from ..journal.mark import leave_mark, take_mark
from ..journal.reader import Reader
from ..journal.record import to_timestamp
from ..journal.retention import size_on_disk
from ..journal.times import to_unix_ms
from ..settings import Settings
from ..state import require_ours

PAGE = 1000
_P = ParamSpec("_P")


def _plain_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Report an error of the command in one line."""

    @wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (SightlineError, sqlite3.Error, OSError) as error:
            raise click.ClickException(str(error)) from None

    return guarded


@click.group
def journal() -> None:
    """Inspect, export and prune the journal of the gateway in this folder."""


@journal.command
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_plain_errors
def info(as_json: bool) -> None:
    """Show the journal's size, time span and events by type."""
    path = _path()
    with _reading(path) as reader:
        found = reader.summary()
    if as_json:
        shown = {"path": str(path), "bytes": size_on_disk(path), **msgspec.to_builtins(found)}
        click.echo(msgspec.json.encode(shown))
        return
    click.echo(f"{path}: {found.events:,} events, {size_on_disk(path) / 1e6:,.1f} MB")
    if found.from_ms is not None and found.until_ms is not None:
        click.echo(f"from {to_timestamp(found.from_ms)} to {to_timestamp(found.until_ms)}")
    click.echo(f"{found.epochs} epochs, {found.holes:,} events published but not stored")
    for type_, count in found.types.items():
        click.echo(f"{count:12,}  {type_}")


@journal.command
@click.argument("file", type=click.File("wb"), default="-")
@click.option("--since", help="Only from this time: ISO 8601, or an age such as 2h or 7d.")
@click.option("--until", help="Only before this time.")
@click.option(
    "--type", "types", multiple=True, help="Only types that match a pattern, such as `git.*`."
)
@click.option("--agent", help="Only what this agent did.")
@click.option("--q", "words", help="Only events with all these words.")
@_plain_errors
def export(
    file: BinaryIO,
    since: str | None,
    until: str | None,
    types: tuple[str, ...],
    agent: str | None,
    words: str | None,
) -> None:
    """Write events, oldest first, one JSON message a line, for `events replay`."""
    question = Question(
        limit=PAGE,
        since_ms=_time(since),
        until_ms=_time(until),
        event_filter=EventFilter(types or ("*",)),
        agent=agent,
        words=() if words is None else terms_of(words),
    )
    with _reading(_path()) as reader:
        for message in _messages(reader, question):
            file.write(message + b"\n")


@journal.command
@click.option("--before", required=True, help="ISO 8601, or an age such as 7d.")
@_plain_errors
def prune(before: str) -> None:
    """Delete all events before a time."""
    _forget(Forgotten(before_ms=_time(before)))


@journal.command(name="forget")
@click.option("--before", help="Only before this time: ISO 8601, or an age such as 7d.")
@click.option(
    "--type", "types", multiple=True, help="Only types that match a pattern, such as `chat.*`."
)
@click.option("--agent", help="Only what this agent did.")
@_plain_errors
def forget_some(before: str | None, types: tuple[str, ...], agent: str | None) -> None:
    """Delete the events that match all options, also from the search index and the disk."""
    if before is None and not types and agent is None:
        raise click.UsageError("say what to forget: --before, --type or --agent")
    _forget(
        Forgotten(before_ms=_time(before), event_filter=EventFilter(types or ("*",)), agent=agent)
    )


def _forget(what: Forgotten) -> None:
    path = _path()
    # Deleting publishes nothing, so the epoch can continue after a clean stop.
    mark = take_mark(path)
    try:
        count = sum(forget(path, what))
    finally:
        if mark is not None:
            leave_mark(path, mark.epoch, mark.head)
    click.echo(f"{count:,} events forgotten")


def _messages(reader: Reader, question: Question) -> Iterator[bytes]:
    while True:
        page = reader.page(question)
        if page is None:
            return
        yield from page.messages
        if page.newer is None:
            return
        epoch, _, number = page.newer.rpartition(":")
        question = msgspec.structs.replace(question, after=Position(int(number), epoch))


def _path() -> Path:
    path = Settings.from_environ(os.environ).journal_path
    if path is None:
        raise click.ClickException("there is no journal: SIGHTLINE_JOURNAL switches it off")
    require_ours(path)
    if not path.exists():
        raise click.ClickException(f"no {path} here: start the gateway in this folder first")
    return path


@contextmanager
def _reading(path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    try:
        yield reader
    finally:
        reader.close()


def _time(text: str | None) -> int | None:
    return None if text is None else to_unix_ms(text, time.time())
