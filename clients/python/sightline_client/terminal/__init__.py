"""`litestar events …`: listen, publish, record and replay from a terminal. See docs/terminal.md.

Litestar loads this file for each of its commands, so the client and all else that takes time to
import, or is an extra, waits for the command that needs it.
"""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, NoReturn

import click

CTRL_C = 130  # what shells expect of a command that ended at it


@click.group()
def events() -> None:
    """Listen to the gateway of this folder, and publish to it."""


@events.command()
@click.argument("patterns", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print messages as they came, one a line.")
@click.option(
    "--since",
    metavar="TIME|N",
    help="Begin earlier: at an age such as 30m, 2h or 3d, at ISO 8601, or after event number N.",
)
def tail(patterns: tuple[str, ...], as_json: bool, since: str | None) -> None:
    """Show events as they happen: all, or those that match PATTERNS such as 'workflow.*'."""
    with _one_line_errors():
        from . import listening

        listening.tail(patterns, since, as_json)


@events.command()
@click.option("--since", metavar="TIME", help="From this time on: ISO 8601, or an age such as 2h.")
@click.option("--until", metavar="TIME", help="Only before this time.")
@click.option("--agent", metavar="NAME", help="Only what this agent did.")
@click.option("--session", metavar="ID", help="Only of this session of an agent.")
@click.option(
    "--type", "types", multiple=True, metavar="PATTERN", help="Such as 'git.*'; repeatable."
)
@click.option("--q", metavar="WORDS", help='Events with all these words; a phrase in "quotes".')
@click.option(
    "--order", type=click.Choice(["asc", "desc"]), default="asc", help="desc: newest first."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N events [all].")
@click.option("--json", "as_json", is_flag=True, help="Print messages as they came, one a line.")
def history(
    since: str | None,
    until: str | None,
    agent: str | None,
    session: str | None,
    types: tuple[str, ...],
    q: str | None,
    order: Literal["asc", "desc"],
    limit: int | None,
    as_json: bool,
) -> None:
    """Show past events from the gateway's journal: all, or those that fit every option."""
    with _one_line_errors():
        from sightline_client.pages import PAGE
        from sightline_client.sync import history as read

        from . import listening

        past = read(
            since=since,
            until=until,
            agent=agent,
            session_id=session,
            types=types or None,
            q=q,
            order=order,
            limit=PAGE if limit is None else min(limit, PAGE),
        )
        listening.show_history(past, q, limit, as_json)


@events.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("patterns", nargs=-1)
@click.option("--since", metavar="TIME|N", help="Begin earlier, as `tail --since` does.")
@click.option("--until", metavar="TIME", help="End at this time: only what the journal holds.")
def record(file: str, patterns: tuple[str, ...], since: str | None, until: str | None) -> None:
    """Write events to FILE, one a line, until Ctrl-C; `replay` publishes them again."""
    with _one_line_errors():
        from . import listening

        listening.record(file, patterns, since, until)


@events.command()
@click.argument("type", metavar="TYPE|-")
@click.argument("fields", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]... | -")
@click.option("--data", metavar="JSON", help="The whole data, an object.")
@click.option("--metadata", metavar="JSON", help="An object about the event.")
def publish(type: str, fields: tuple[str, ...], data: str | None, metadata: str | None) -> None:
    """Publish one event and print its number; `-` reads events from standard input, one a line.

    `TYPE -` reads one object of data a line instead.
    """
    with _one_line_errors():
        from . import publishing

        publishing.publish(type, fields, data, metadata)


@events.command()
def types() -> None:
    """List the event types with their fields; [these] may be left out."""
    with _one_line_errors():
        from . import lines

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(lines.of_catalog(width))


@events.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="Times as fast [1].")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events a second instead.")
def replay(file: str, speed: float | None, rate: float | None) -> None:
    """Publish the events of FILE again, in the time that they took, or faster."""
    if speed is not None and rate is not None:
        raise click.UsageError("give --speed or --rate, not both")
    with _one_line_errors():
        from . import replaying

        replaying.replay(file, speed or 1.0, rate)


@events.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.option("--watch", is_flag=True, help="Go on, and print again whenever something changes.")
@click.option("--since", default="24h", metavar="TIME", help="An age or ISO 8601 [24h].")
def sessions(as_json: bool, watch: bool, since: str) -> None:
    """Show the sessions of agents: what needs a person first, with sub-agents, calls and cost."""
    with _one_line_errors():
        from . import showing

        showing.sessions(since, as_json, watch)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End as a tool in a shell does: one line for what went wrong, none for Ctrl-C or a closed pipe."""
    end_once_at(signal.SIGINT)
    try:
        yield
    except KeyboardInterrupt:
        deaf_to_ctrl_c()
        raise SystemExit(CTRL_C) from None
    except BrokenPipeError:
        reader_gone()
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        _fail("this needs `pip install 'sightline-client[terminal]'`")
    except Exception as error:
        if isinstance(error, (click.ClickException, click.exceptions.Exit)) or not _is_told(error):
            raise
        _fail(str(error))


def end_once_at(*signals: signal.Signals) -> None:
    """Raise `KeyboardInterrupt` at the first of these signals, and ignore all after it.

    A second one would break into the end of the command, with a traceback. `deaf_to_ctrl_c` where the
    exception arrives is too late alone: the second one may come before that.
    """
    has_come = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        if not has_come:
            has_come = True
            raise KeyboardInterrupt

    for one in signals:
        signal.signal(one, end)


def deaf_to_ctrl_c() -> None:
    """Ignore Ctrl-C from now on: Python gives back the usual handler at its end, which would kill it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def reader_gone() -> NoReturn:
    """End because nobody reads standard output any more; that is no failure."""
    # Python would flush into the closed pipe once more at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)


def _is_told(error: Exception) -> bool:
    """Whether its text is written for the user: the client's errors, ours, and the system's."""
    from sightline_client import SightlineError

    return isinstance(error, (SightlineError, OSError))


def _fail(message: str) -> NoReturn:
    """One line as it is: a `ClickException` would be wrapped into a box."""
    click.echo(f"sightline: {message}", err=True)
    raise SystemExit(1)
