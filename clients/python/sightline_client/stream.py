"""`connect`: the events of a gateway, for asyncio."""

import asyncio
import random
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect as dial

from sightline_client.core import HANDSHAKE_S
from sightline_client.dialing import FAILURES, Dialer
from sightline_client.errors import SightlineError
from sightline_client.events import KnownData
from sightline_client.history import Pages
from sightline_client.inbox import QUEUE_SIZE
from sightline_client.messages import Connected, Item, Position
from sightline_client.proof import Proven

YIELD_S = 0.005  # how long a consumer that never waits may keep the connection from being read
LOOK_S = 1.0  # within this time a resumed process reads what had arrived meanwhile


class Stream:
    """Iterate over it once, in one task. Made by `connect`.

    A task of its own reads the connection, and makes it again, whatever the consumer does.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._core = dialer.core
        self._socket: ClientConnection | None = None
        self._pages: Pages | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._failure: Exception | None = None
        self._yielded_at = 0.0

    @property
    def position(self) -> Position | None:
        """The last number processed and its epoch; `since=` resumes there, also in a new process."""
        return self._core.position

    @property
    def connected(self) -> Connected | None:
        """The `connected` message of the latest connection: limits, the whole filter."""
        return self._core.connected

    async def __aenter__(self) -> Self:
        self._socket = await self._connect()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self._hang_up()
        await self._close_pages()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """Wait for the next item; asking for it says that the one before is processed.

        Cancelling loses nothing: ask again.
        """
        self._core.processed()
        now = asyncio.get_running_loop().time()
        if now - self._yielded_at > YIELD_S:  # the reader gets a turn beside a busy consumer
            await asyncio.sleep(0)
            self._yielded_at = now
        while True:
            if (item := self._dialer.outbox.take()) is not None:
                return item
            if (query := self._dialer.outbox.query) is not None:
                await self._fill(query)
                continue
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()

    async def _fill(self, query: dict[str, str]) -> None:
        """Ask for a page of the history."""
        try:
            self._pages = self._pages or Pages(await asyncio.to_thread(Proven, self._dialer.find))
            wait_s = self._dialer.outbox.read(await self._pages.get(query), random.random())
        except SightlineError as error:
            await self._close_pages()  # the gateway may be elsewhere now
            wait_s = self._dialer.outbox.failed(self._failure or error, random.random())
        await asyncio.sleep(wait_s)

    async def _close_pages(self) -> None:
        pages, self._pages = self._pages, None
        if pages is not None:
            await pages.close()

    async def _read(self) -> None:
        """Fill the inbox until cancelled, or until a failure that retrying cannot mend: the consumer gets it."""
        try:
            while True:
                try:
                    self._socket = self._socket or await self._connect()
                    self._dialer.receive(await _receive(self._socket, self._core.silence_s))
                    self._news.set()
                except FAILURES as error:
                    await self._hang_up()
                    await self._wait(error)
        except Exception as error:
            self._failure = error
            self._news.set()

    async def _connect(self) -> ClientConnection:
        while True:
            try:
                return await self._open()
            except FAILURES as error:
                await self._wait(error)

    async def _open(self) -> ClientConnection:
        url, options = await asyncio.to_thread(self._dialer.target)
        socket = await dial(url, **options)
        try:
            self._dialer.begin(await _receive(socket, HANDSHAKE_S))
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _wait(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self._dialer.wait_s(error, now, random.random()))

    async def _hang_up(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


async def _receive(socket: ClientConnection, silence_s: float) -> str | bytes:
    try:
        async with asyncio.timeout(silence_s):
            return await socket.recv()
    except TimeoutError:
        # After a suspension the time has passed before the process has looked at its socket.
        async with asyncio.timeout(LOOK_S):
            return await socket.recv()


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
    """Listen to a gateway: `async with connect(types=["git.*"]) as stream: async for item in …`.

    Items are `Event` and `Gap`. A lost connection is made again for as long as it takes, or for
    `give_up_after_s`, and resumes after the last item that was processed. Entering waits for the
    gateway, so what is published from then on is heard.

    `types` are patterns or event classes: None is everything, an empty list nothing. `since` resumes
    after a position, or after a number of the current epoch. `url` and `token` are found as
    `find` says. One that takes over the `client_id` of another takes over its place.

    The connection is read whatever the consumer does. What it has not asked for waits here,
    `queue_size` items at most: beyond, the oldest are dropped, and a `Gap` with reason
    `slow_consumer` says which and how many.

    With `backfill`, gaps are filled from the gateway's history before later items: each event once, in
    order. What the history does not have stays a gap. A change of the epoch is always a `Gap`, behind
    the events of the old epoch: numbers begin again, and a crash may have lost the last ones.

    Raises:
        AddressError: on entering, when it is not known where to go.
        RefusedError: on entering or iterating: the token is wrong, a pattern is malformed.
        ClosedError: on iterating: another connection took over, or a message is too big.
    """
    return Stream(
        Dialer(url, token, types, since, client_id, give_up_after_s, queue_size, backfill)
    )
