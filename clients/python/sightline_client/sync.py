"""`connect`, `publish`, `publish_many` without asyncio: for scripts, notebooks and the terminal.

A thread of the `websockets` library answers the gateway's pings while the script is busy.
"""

import random
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import httpx
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as dial

from sightline_client.address import find
from sightline_client.core import HANDSHAKE_S
from sightline_client.dialing import FAILURES, Dialer
from sightline_client.events import KnownData
from sightline_client.messages import Connected, Item, Position
from sightline_client.proof import Proven
from sightline_client.publishing import (
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


class Stream:
    """Iterate over it once, in one thread. Made by `connect`."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._core = dialer.core
        self._socket: ClientConnection | None = None
        self._closing = ExitStack()

    @property
    def position(self) -> Position | None:
        """The last number processed and its epoch; `since=` resumes there, also in a new process."""
        return self._core.position

    @property
    def connected(self) -> Connected | None:
        """What the gateway said at the start of the latest connection: limits, the whole filter."""
        return self._core.connected

    def __enter__(self) -> Self:
        self._socket = self._connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hang_up()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        """Wait for the next item; asking for it says that the one before is processed."""
        self._core.processed()
        while True:
            if self._socket is None:
                self._socket = self._connect()
            try:
                text = self._socket.recv(self._core.silence_s, decode=True)
            except FAILURES as error:
                self._hang_up()
                self._wait(error)
            else:
                if (item := self._dialer.read(text)) is not None:
                    return item

    def _connect(self) -> ClientConnection:
        while True:
            try:
                return self._open()
            except FAILURES as error:
                self._wait(error)

    def _open(self) -> ClientConnection:
        url, options = self._dialer.target()
        with ExitStack() as opening:
            socket = opening.enter_context(dial(url, **options))
            self._dialer.begin(socket.recv(HANDSHAKE_S, decode=True))
            self._closing = opening.pop_all()
        return socket

    def _wait(self, error: Exception) -> None:
        time.sleep(self._dialer.wait_s(error, time.monotonic(), random.random()))

    def _hang_up(self) -> None:
        self._socket = None
        self._closing.close()


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    types: Iterable[str | type[KnownData]] | None = None,
    since: Position | int | None = None,
    client_id: str | None = None,
    give_up_after_s: float | None = None,
) -> Stream:
    """As `sightline_client.connect`, with a plain `with` and `for`."""
    return Stream(Dialer(url, token, types, since, client_id, give_up_after_s))


class Publisher:
    """As `sightline_client.Publisher`, with a plain `with`."""

    def __init__(self, url: str | None = None, *, token: str | None = None) -> None:
        self._gateway = Proven(lambda: find(url, token))
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
