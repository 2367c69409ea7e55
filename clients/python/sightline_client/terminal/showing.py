"""`sessions`: the sessions of agents, from what the gateway keeps and, with `--watch`, as they go on."""

import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Sequence

import click
import httpx
import msgspec

from sightline_client import Event, Gap, Position
from sightline_client.address import find
from sightline_client.errors import SightlineError, refusal
from sightline_client.messages import decode
from sightline_client.proof import Proven
from sightline_client.sessions import Sessions, View
from sightline_client.sync import connect
from sightline_client.wire import PATH, TIMEOUT_S, unreachable, uses_proxies

from .session_lines import of_sessions

PATTERN = "agent.*"
REFRESH_S = 1.0
_Item = Event | Gap | SightlineError


class _Page(msgspec.Struct):
    epoch: str
    events: list[msgspec.Raw]
    next: int
    gap: msgspec.Raw | None = None
    newer: str | None = None


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


def _follow(position: Position, items: "queue.Queue[_Item]") -> None:
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


def _read_kept(found: Sessions, since: str) -> Position:
    """Take all that the gateway keeps, from its journal where it has one; return how far it goes."""
    gateway = Proven(find)
    epoch: str | None = None
    query = {"types": PATTERN, "limit": "1000", "since": since, "order": "asc"}
    with httpx.Client(timeout=TIMEOUT_S, trust_env=uses_proxies(gateway.found)) as http:
        while True:
            answer = _get(http, gateway, query)
            if answer.status_code == 400 and "since" in query and "journal" in answer.text:
                query = {"types": PATTERN, "limit": "1000"}  # it keeps the latest alone
                continue
            if answer.status_code != 200:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                raise refusal(answer.status_code, headers, answer.content)
            page = msgspec.json.decode(answer.content, type=_Page)
            if page.gap is not None or epoch not in (None, page.epoch):
                found.lost(page.epoch != epoch)
            epoch = page.epoch
            for raw in page.events:
                event = decode(bytes(raw).decode())
                assert isinstance(event, Event)
                _take(found, event)
            if page.newer is not None and page.newer != query.get("after"):
                query["after"] = page.newer
            elif page.events and "since" not in query:
                query |= {"after": str(page.next), "epoch": page.epoch}
            else:
                return Position(page.next, page.epoch)


def _get(http: httpx.Client, gateway: Proven, query: dict[str, str]) -> httpx.Response:
    try:
        answer = http.get(gateway.found.url + PATH, params=query, headers=gateway.headers)
        if answer.status_code == 401 and gateway.refused():
            answer = http.get(gateway.found.url + PATH, params=query, headers=gateway.headers)
        return answer
    except httpx.HTTPError as error:
        raise unreachable(gateway.found, error) from error
