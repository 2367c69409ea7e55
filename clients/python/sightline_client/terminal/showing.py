"""`sessions`: the sessions of agents, from what the gateway keeps and, with `--watch`, as they go on."""

import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Sequence

import click
import msgspec

from sightline_client import Event, Gap, Position
from sightline_client.errors import RefusedError, SightlineError
from sightline_client.sessions import Sessions, View
from sightline_client.sync import connect, history

from .session_lines import of_sessions

PATTERN = "agent.*"
REFRESH_S = 1.0
_Item = Event | Gap | SightlineError


def sessions(since: str, as_json: bool, watch: bool) -> None:
    """Print the sessions; with `watch` again whenever something changes, until Ctrl-C."""
    found = Sessions()
    position = _read_kept(found, since)
    if not watch:
        _print(found.view(time.time()), as_json)
        return
    items: queue.Queue[_Item] = queue.Queue(maxsize=1000)
    threading.Thread(target=_follow, args=(position, items), daemon=True).start()
    _watch(found, items, as_json)


def _watch(found: Sessions, items: "queue.Queue[_Item]", as_json: bool) -> None:
    shown: Sequence[object] = ()
    while True:
        views = found.view(time.time())
        # Every span grows as time goes by: that alone is no news. At 0 they are what events say.
        news: Sequence[object] = [
            msgspec.json.encode(found.view(0)),
            *(view.state for view in views),
        ]
        if sys.stdout.isatty() or news != shown:
            _print(views, as_json, clear=True)
            shown = news
        try:
            _take(found, items.get(timeout=REFRESH_S))
            while True:
                _take(found, items.get_nowait())
        except queue.Empty:
            continue


def _take(found: Sessions, item: _Item) -> None:
    if isinstance(item, SightlineError):
        raise item
    if isinstance(item, Gap):
        found.lost(item.reason == "epoch_changed")
    else:
        found.apply(item.type, item.fields, item.timestamp, item.metadata, item.sequence_number)


def _follow(position: Position | None, items: "queue.Queue[_Item]") -> None:
    try:
        with connect(types=[PATTERN], since=position) as stream:
            for item in stream:
                items.put(item)
    except SightlineError as error:
        items.put(error)


def _print(views: list[View], as_json: bool, clear: bool = False) -> None:
    if as_json:
        print(msgspec.json.encode(views).decode(), flush=True)
        return
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    colour = terminal and not os.environ.get("NO_COLOR")
    if clear and terminal:
        click.echo("\x1b[H\x1b[J", nl=False)
    lines = of_sessions(views, time.time(), colour=colour, width=width)
    print("\n".join(lines), flush=True)


def _read_kept(found: Sessions, since: str) -> Position | None:
    """Take all that the gateway keeps, from its journal if it has one; return how far that goes."""
    past = history(types=[PATTERN], since=since)
    try:
        for item in past:
            _take(found, item)
    except RefusedError as error:
        if "journal" not in str(error):
            raise
        past = history(types=[PATTERN], after=0)  # the gateway retains only the latest
        for item in past:
            _take(found, item)
    return past.position
