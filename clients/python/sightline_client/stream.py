"""`connect`: the events of a gateway, for asyncio."""

import asyncio
import random
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from sightline_client.core import HANDSHAKE_S
from sightline_client.dialing import FAILURES, Dialer
from sightline_client.events import KnownData
from sightline_client.messages import Connected, Item, Position


class Stream:
    """Iterate over it once, in one task. Made by `connect`."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._core = dialer.core
        self._socket: ClientConnection | None = None

    @property
    def position(self) -> Position | None:
        """The last number processed and its epoch; `since=` resumes there, also in a new process."""
        return self._core.position

    @property
    def connected(self) -> Connected | None:
        """What the gateway said at the start of the latest connection: limits, the whole filter."""
        return self._core.connected

    async def __aenter__(self) -> Self:
        self._socket = await self._connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._hang_up()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """Wait for the next item; asking for it says that the one before is processed.

        Cancelling loses nothing: ask again.
        """
        self._core.processed()
        while True:
            if self._socket is None:
                self._socket = await self._connect()
            try:
                text = await _receive(self._socket, self._core.silence_s)
            except FAILURES as error:
                await self._hang_up()
                await self._wait(error)
            else:
                if (item := self._dialer.read(text)) is not None:
                    return item

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


async def _receive(socket: ClientConnection, silence_s: float) -> str:
    async with asyncio.timeout(silence_s):
        return await socket.recv(decode=True)


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    types: Iterable[str | type[KnownData]] | None = None,
    since: Position | int | None = None,
    client_id: str | None = None,
    give_up_after_s: float | None = None,
) -> Stream:
    """Listen to a gateway: `async with connect(types=["git.*"]) as stream: async for item in …`.

    Items are `Event` and `Gap`. A lost connection is made again for as long as it takes, or for
    `give_up_after_s`, and resumes after the last item that was processed. Entering waits for the
    gateway, so what is published from then on is heard.

    `types` are patterns or event classes: None is everything, an empty list nothing. `since` resumes
    after a position, or after a number of the current epoch. `url` and `token` are found as
    `find` says. One that takes over the `client_id` of another takes over its place.

    Raises:
        AddressError: on entering, when it is not known where to go.
        RefusedError: on entering or iterating: the token is wrong, a pattern is malformed.
        ClosedError: on iterating: another connection took over, or a message is too big.
    """
    return Stream(Dialer(url, token, types, since, client_id, give_up_after_s))
