"""`connect`, `history`, `publish`, `publish_many`, `emit` without asyncio: for scripts, notebooks and the terminal.

A thread reads the connection and answers the gateway's pings while the script is busy.
"""

import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

import httpx
from websockets.sync.client import ClientConnection, connect as dial

from sightline_client.address import find
from sightline_client.core import HANDSHAKE_S
from sightline_client.dialing import FAILURES, Dialer
from sightline_client.emitting import Emitter, emit
from sightline_client.errors import SightlineError
from sightline_client.events import KnownData
from sightline_client.inbox import QUEUE_SIZE
from sightline_client.messages import Connected, Item, Position
from sightline_client.pages import PAGE, Order, Page, Paging, Time, page_of, query_of
from sightline_client.proof import Proven
from sightline_client.wire import (
    PATH,
    TIMEOUT_S,
    Fields,
    NewEvent,
    Published,
    body_of,
    encode,
    new_event,
    published,
    request_headers,
    unreachable,
    uses_proxies,
)

__all__ = [
    "History",
    "Publisher",
    "Stream",
    "connect",
    "emit",
    "history",
    "publish",
    "publish_many",
]

LOOK_S = 1.0  # within this time a resumed process reads what had arrived meanwhile
LEAVE_S = 2.0  # a thread that is just connecting ends by itself later


class Stream:
    """Iterate over it once, in one thread. Made by `connect`.

    A thread of its own reads the connection, and makes it again, whatever the consumer does.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._core = dialer.core
        self._socket: ClientConnection | None = None
        self._pages: Pages | None = None
        self._reading: threading.Thread | None = None
        self._news = threading.Condition()  # guards the inbox, the positions and the failure
        self._failure: Exception | None = None
        self._leaving = threading.Event()
        self._closing = ExitStack()

    @property
    def position(self) -> Position | None:
        """The last number processed and its epoch; `since=` resumes there, also in a new process."""
        return self._core.position

    @property
    def connected(self) -> Connected | None:
        """The `connected` message of the latest connection: limits, the whole filter."""
        return self._core.connected

    def __enter__(self) -> Self:
        self._socket = self._connect()
        self._reading = threading.Thread(target=self._read, name="sightline-client", daemon=True)
        self._reading.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.set()
        if (socket := self._socket) is not None:
            socket.close()
        if self._reading is not None:
            self._reading.join(LEAVE_S)
        self._close_pages()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        """Wait for the next item; asking for it says that the one before is processed."""
        with self._news:
            self._core.processed()
        while True:
            with self._news:
                if (item := self._dialer.outbox.take()) is not None:
                    return item
                query = self._dialer.outbox.query
                if query is None:
                    if self._failure is not None:
                        raise self._failure
                    self._news.wait()
            if query is not None:
                self._fill(query)

    def _fill(self, query: dict[str, str]) -> None:
        """Ask for a page of the history."""
        try:
            self._pages = self._pages or Pages(Proven(self._dialer.find))
            wait_s = self._dialer.outbox.read(self._pages.get(query), random.random())
        except SightlineError as error:
            self._close_pages()  # the gateway may be elsewhere now
            wait_s = self._dialer.outbox.failed(self._failure or error, random.random())
        self._leaving.wait(wait_s)

    def _close_pages(self) -> None:
        pages, self._pages = self._pages, None
        if pages is not None:
            pages.close()

    def _read(self) -> None:
        """Fill the inbox until left, or until a failure that retrying cannot mend: the consumer gets it."""
        try:
            while not self._leaving.is_set():
                try:
                    self._socket = self._socket or self._connect()
                    data = _receive(self._socket, self._core.silence_s)
                    with self._news:
                        self._dialer.receive(data)
                        self._news.notify()
                except FAILURES as error:
                    self._hang_up()
                    if not self._leaving.is_set():
                        self._wait(error)
            self._hang_up()
        except Exception as error:
            with self._news:
                self._failure = error
                self._news.notify()

    def _connect(self) -> ClientConnection:
        while True:
            try:
                return self._open()
            except FAILURES as error:
                if self._leaving.is_set():
                    raise
                self._wait(error)

    def _open(self) -> ClientConnection:
        url, options = self._dialer.target()
        with ExitStack() as opening:
            socket = opening.enter_context(dial(url, **options))
            first = socket.recv(HANDSHAKE_S)
            with self._news:
                self._dialer.begin(first)
            self._closing = opening.pop_all()
        return socket

    def _wait(self, error: Exception) -> None:
        self._leaving.wait(self._dialer.wait_s(error, time.monotonic(), random.random()))

    def _hang_up(self) -> None:
        self._socket = None
        self._closing.close()


def _receive(socket: ClientConnection, silence_s: float) -> str | bytes:
    try:
        return socket.recv(silence_s)
    except TimeoutError:
        # After a suspension the time has passed before the process has looked at its socket.
        return socket.recv(LOOK_S)


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    types: Iterable[str | type[KnownData]] | None = None,
    since: Position | int | None = None,
    client_id: str | None = None,
    give_up_after_s: float | None = None,
    queue_size: int = QUEUE_SIZE,
    backfill: bool = False,
) -> Stream:
    """As `sightline_client.connect`, with a plain `with` and `for`."""
    return Stream(
        Dialer(url, token, types, since, client_id, give_up_after_s, queue_size, backfill)
    )


class Pages:
    """As `sightline_client.history.Pages`."""

    def __init__(self, gateway: Proven) -> None:
        self._gateway = gateway
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=uses_proxies(gateway.found))

    def get(self, query: dict[str, str]) -> Page:
        """Ask for one page; raises as its asynchronous namesake."""
        answer = self._try(query)
        if answer.status_code == 401 and self._gateway.refused():
            answer = self._try(query)
        return page_of(answer)

    def close(self) -> None:
        self._http.close()

    def _try(self, query: dict[str, str]) -> httpx.Response:
        headers = self._gateway.headers
        address = self._gateway.found
        try:
            return self._http.get(address.url + PATH, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise unreachable(address, error) from error


class History:
    """As `sightline_client.History`, with a plain `for`."""

    def __init__(self, url: str | None, token: str | None, query: dict[str, str]) -> None:
        self._find = partial(find, url, token)
        self._paging = Paging(query)
        self._query = query

    @property
    def matches(self) -> int | None:
        """How many events match `q`, from the first item on; None where counting takes too long."""
        return self._paging.matches

    @property
    def position(self) -> Position | None:
        """Of the last item; at the end of the iteration, how far the history goes: `since=` there."""
        return self._paging.position

    def __iter__(self) -> Iterator[Item]:
        """Read from the beginning."""
        paging = self._paging = Paging(self._query)
        pages = Pages(Proven(self._find))
        try:
            while paging.query is not None:
                yield from paging.read(pages.get(paging.query))
        finally:
            pages.close()


def history(
    url: str | None = None,
    *,
    token: str | None = None,
    after: Position | int | None = None,
    before: Position | int | None = None,
    order: Order = "asc",
    since: Time | None = None,
    until: Time | None = None,
    types: Iterable[str | type[KnownData]] | None = None,
    agent: str | None = None,
    session_id: str | None = None,
    q: str | None = None,
    limit: int = PAGE,
) -> History:
    """As `sightline_client.history`, with a plain `for`."""
    query = query_of(
        after=after,
        before=before,
        order=order,
        since=since,
        until=until,
        types=types,
        agent=agent,
        session_id=session_id,
        q=q,
        limit=limit,
    )
    return History(url, token, query)


class Publisher:
    """As `sightline_client.Publisher`, with a plain `with`."""

    def __init__(self, url: str | None = None, *, token: str | None = None) -> None:
        self._emitter: Emitter | None = None
        self._find = partial(find, url, token)
        self._gateway = Proven(self._find)
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=uses_proxies(self._gateway.found))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()
        if self._emitter is not None:
            self._emitter.close()

    def publish(
        self,
        event: NewEvent | KnownData | str,
        data: Fields | None = None,
        metadata: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Published:
        """Publish one event; raises as its asynchronous namesake."""
        return self._post(encode(new_event(event, data, metadata)), idempotency_key)[0]

    def publish_many(
        self, events: Iterable[NewEvent | KnownData], *, idempotency_key: str | None = None
    ) -> list[Published]:
        """Publish up to 1,000 events in order, all or none; raises as its asynchronous namesake."""
        return self._post(body_of([new_event(event) for event in events]), idempotency_key)

    def emit(
        self,
        event: NewEvent | KnownData | str,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> None:
        """Publish one event without waiting, and never raise; `lost` counts what does not arrive.

        While the gateway is away the newest 1,000 events are kept. Leaving waits up to two seconds
        for what is still to be sent.
        """
        if self._emitter is None:
            self._emitter = Emitter(self._find)
        self._emitter.emit(event, data, metadata)

    @property
    def lost(self) -> int:
        """How many emitted events were refused, or dropped while the gateway was away."""
        return self._emitter.lost if self._emitter else 0

    def _post(self, body: bytes, idempotency_key: str | None) -> list[Published]:
        answer = self._try_to_post(body, idempotency_key)
        if answer.status_code == 401 and self._gateway.refused():
            answer = self._try_to_post(body, idempotency_key)
        return published(answer)

    def _try_to_post(self, body: bytes, idempotency_key: str | None) -> httpx.Response:
        headers = request_headers(idempotency_key) | self._gateway.headers
        address = self._gateway.found
        try:
            return self._http.post(address.url + PATH, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise unreachable(address, error) from error


def publish(
    event: NewEvent | KnownData | str,
    data: Fields | None = None,
    metadata: Fields | None = None,
    *,
    idempotency_key: str | None = None,
    url: str | None = None,
    token: str | None = None,
) -> Published:
    """`Publisher.publish` over a connection of its own."""
    with Publisher(url, token=token) as publisher:
        return publisher.publish(event, data, metadata, idempotency_key=idempotency_key)


def publish_many(
    events: Iterable[NewEvent | KnownData],
    *,
    idempotency_key: str | None = None,
    url: str | None = None,
    token: str | None = None,
) -> list[Published]:
    """`Publisher.publish_many` over a connection of its own."""
    with Publisher(url, token=token) as publisher:
        return publisher.publish_many(events, idempotency_key=idempotency_key)
