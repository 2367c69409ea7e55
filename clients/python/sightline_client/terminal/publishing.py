"""`publish`: one event from the command line, or many from standard input."""

import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from sightline_client import NewEvent, batches
from sightline_client.errors import InvalidDataError, PublishError
from sightline_client.sync import Publisher

from .recordings import MAX_LINE_BYTES, Recorded, RecordingError, read_data, read_events

STDIN = "standard input"
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


def publish(type_: str, fields: Sequence[str], data: str | None, metadata: str | None) -> None:
    """Publish what the command line says.

    Raises:
        click.UsageError: it contradicts itself, or a part is not what it should be.
    """
    from_stdin = type_ == "-" or list(fields) == ["-"]
    if from_stdin and (data or metadata or (type_ == "-" and fields)):
        raise click.UsageError("- takes whole lines from standard input: give no fields beside it")
    if data is not None and fields:
        raise click.UsageError("give --data or fields, not both")
    if from_stdin:
        publish_stdin(None if type_ == "-" else type_)
        return
    given = fields_of(fields) if data is None else _object("--data", data)
    about = {} if metadata is None else _object("--metadata", metadata)
    with Publisher() as publisher:
        try:
            published = publisher.publish(type_, given, about)
        except InvalidDataError as error:
            hint = "; key=value is text, key:=value is JSON such as 3 or true" if fields else ""
            raise type(error)(f"{error}{hint}", error.status, error.code) from None
    click.echo(msgspec.json.encode(published))


def fields_of(words: Sequence[str]) -> dict[str, object]:
    """`key=value` is text, `key:=value` any JSON.

    Raises:
        click.UsageError: a word is neither.
    """
    data: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            data[key.removesuffix(":")] = json.loads(value) if key.endswith(":") else value
        except json.JSONDecodeError as error:
            raise click.UsageError(f"{word!r}: what follows := is not JSON ({error})") from None
        if not equals or not key.removesuffix(":"):
            raise click.UsageError(f"{word!r} is not KEY=VALUE, nor KEY:=JSON")
    return data


def _object(option: str, text: str) -> dict[str, object]:
    try:
        return _decode_object(text)
    except msgspec.MsgspecError as error:
        raise click.UsageError(f"{option} is not a JSON object: {error}") from None


def publish_stdin(type_: str | None) -> None:
    """Publish each line as soon as it has arrived; those that arrive together go together."""
    fd = sys.stdin.fileno()
    status = os.fstat(fd)
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    line, count, first, last = 1, 0, 0, 0
    with Publisher() as publisher, progress() as bar:
        task = bar.add_task("", total=total)
        try:
            for lines, size_bytes in _arriving(fd):
                recorded, bad = _readable(lines, type_, line)
                for last in send(publisher, recorded, STDIN):
                    first = first or last
                    count += 1
                if bad is not None:
                    raise bad
                line += len(lines)
                bar.update(task, advance=size_bytes, description=f"{count:,} events")
        finally:
            span = f", #{first} to #{last}" if count else ""
            click.echo(f"published {count:,} events{span}", err=True)


def _readable(
    lines: Sequence[bytes], type_: str | None, first: int
) -> tuple[list[Recorded], RecordingError | None]:
    """The events up to the first bad line, and what is wrong with that one."""
    recorded: list[Recorded] = []
    read = (
        read_events(lines, STDIN, first) if type_ is None else read_data(lines, type_, STDIN, first)
    )
    try:
        for item in read:
            recorded.append(item)
    except RecordingError as error:
        return recorded, error
    return recorded, None


def _arriving(fd: int) -> Iterator[tuple[list[bytes], int]]:
    """What has arrived, in whole lines, with its size."""
    rest = b""
    while chunk := os.read(fd, 1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise RecordingError(f"a line of {STDIN} is over {MAX_LINE_BYTES} bytes")
        yield lines, len(chunk)
    if rest:
        yield [rest], 0


def send(publisher: Publisher, recorded: Sequence[Recorded], name: str) -> Iterator[int]:
    """Publish in order, and yield the number of each event.

    Raises:
        PublishError: an event is refused: the message names its line, all before it are published.
    """
    done = 0
    for batch in batches([item.event for item in recorded]):
        lines = recorded[done : done + len(batch)]
        try:
            yield from (item.sequence_number for item in publisher.publish_many(batch))
        except PublishError:  # none was published; one by one, the line at fault shows itself
            for item in lines:
                yield _send_one(publisher, item.event, f"{name}, line {item.line}")
        done += len(batch)


def _send_one(publisher: Publisher, event: NewEvent, where: str) -> int:
    try:
        return publisher.publish(event).sequence_number
    except PublishError as error:
        raise type(error)(f"{where}: {error}", error.status, error.code) from None


def progress() -> Progress:
    """A bar on standard error, where that is a terminal; nothing stays of it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
