"""`ConnectionRegistry`: the connected clients, whose places are reserved synchronously, by object."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ..auth.credentials import Credential
from ..errors import CloseCode, UnauthorizedError, UnavailableError


def _nothing(*_: object) -> None:
    pass


class Place:
    """One of the `max_clients` places. Released exactly once, by the connection that holds it."""

    __slots__ = (
        *("client_id", "closed_with", "credential", "held", "on_close", "on_drain", "on_message"),
    )

    def __init__(self, client_id: str, credential: Credential | None = None) -> None:
        self.client_id = client_id
        self.credential = credential
        self.held = True
        self.closed_with: tuple[int, str] | None = None
        # Set by the connection: how it closes, and how it sends a control message.
        self.on_close: Callable[[int, str], object] = _nothing
        self.on_message: Callable[[bytes], object] = _nothing
        self.on_drain: Callable[[], object] = (
            _nothing  # may be called in a signal handler, and twice
        )

    def close(self, code: int, reason: str) -> None:
        """Close the connection; one that is not ready yet checks `closed_with` later."""
        self.closed_with = self.closed_with or (code, reason)
        self.on_close(code, reason)


class ConnectionRegistry:
    """The places and their clients."""

    def __init__(self, max_clients: int) -> None:
        self.max_clients = max_clients
        self._places: set[Place] = set()
        self._by_client: dict[tuple[str, str], Place] = {}  # by the credential's name, and the id
        self._closed = False
        self._empty: asyncio.Event | None = None

    @property
    def taken(self) -> int:
        """Places in use."""
        return len(self._places)

    def reserve(self, client_id: str, credential: Credential | None = None) -> Place:
        """Take a place. A connection of the same client is closed, and its place is reused.

        The ids of clients count for each token alone: nobody can close a connection of another.

        Raises:
            UnavailableError: no place is left, or the gateway is shutting down.
            UnauthorizedError: the credential has ended meanwhile.
        """
        if credential is not None and credential.ended:
            raise UnauthorizedError(
                "your credential has ended: log in again, or read the new token"
            )
        self.check(client_id, credential)
        client = _client(client_id, credential)
        previous = self._by_client.get(client)
        if previous is not None:
            self.release(previous)
        place = self._by_client[client] = Place(client_id, credential)
        self._places.add(place)
        if previous is not None:
            previous.close(CloseCode.REPLACED, "replaced by a newer connection")
        return place

    def check(self, client_id: str, credential: Credential | None = None) -> None:
        """Raise what `reserve` would raise."""
        if self._closed:
            raise UnavailableError("the gateway is shutting down: reconnect when it is back")
        is_new = _client(client_id, credential) not in self._by_client
        if is_new and len(self._places) >= self.max_clients:
            raise UnavailableError(
                f"all {self.max_clients} places are taken: close a client,"
                " or raise SIGHTLINE_MAX_CLIENTS"
            )

    def release(self, place: Place) -> None:
        """Free the place. Idempotent; a place that was taken over is already free."""
        place.held = False
        self._places.discard(place)
        if not self._places and self._empty is not None:
            self._empty.set()
        client = _client(place.client_id, place.credential)
        if self._by_client.get(client) is place:
            del self._by_client[client]

    def send_all(self, message: bytes) -> None:
        """Send a control message to every client."""
        for place in tuple(self._places):
            place.on_message(message)

    def close_all(self, code: int, reason: str) -> None:
        """Close every connection; new ones are still accepted."""
        for place in tuple(self._places):
            place.close(code, reason)

    def end(self, credential: Credential) -> None:
        """Close the connections of a credential that has ended."""
        for place in tuple(self._places):
            if place.credential is credential:
                place.close(CloseCode.UNAUTHORIZED, "your credential has ended: log in again")

    def opened_by(self, credential: Credential) -> int:
        """The number of connections that use the credential."""
        return sum(place.credential is credential for place in self._places)

    def close(self) -> None:
        """Refuse new clients, and start to drain all connections."""
        self._closed = True
        for place in tuple(self._places):
            place.on_drain()

    async def emptied(self, timeout_s: float) -> None:
        """Wait until all places are free, at most `timeout_s`."""
        if self._places:
            self._empty = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._empty.wait()


def _client(client_id: str, credential: Credential | None) -> tuple[str, str]:
    return ("" if credential is None else credential.access.name, client_id)
