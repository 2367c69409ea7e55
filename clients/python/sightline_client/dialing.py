"""How both streams, `stream` and `sync`, use the `websockets` library."""

import logging
import secrets
from collections.abc import Iterable
from typing import Literal, TypedDict
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from sightline_client.address import Address, find
from sightline_client.backfill import Outbox
from sightline_client.core import HANDSHAKE_S, Core
from sightline_client.errors import (
    AddressError,
    ProtocolError,
    SightlineError,
    UnreachableError,
    closed,
    refusal,
)
from sightline_client.events import KnownData
from sightline_client.inbox import QUEUE_SIZE, Inbox
from sightline_client.messages import Position
from sightline_client.proof import prove

# In the library, between its socket and the inbox, which takes everything at once.
MAX_QUEUE = 1000
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
CLOSE_S = 1.0
log = logging.getLogger("sightline_client")


class Options(TypedDict):
    """The options of a connection that the asyncio and the threaded library have in common."""

    additional_headers: dict[str, str]
    proxy: Literal[True] | None
    compression: None
    open_timeout: float
    ping_interval: None
    close_timeout: float
    max_size: int
    max_queue: int


class Dialer:
    """The address and options of connections, and the meaning of their failures."""

    def __init__(
        self,
        url: str | None,
        token: str | None,
        types: Iterable[str | type[KnownData]] | None,
        since: Position | int | None,
        client_id: str | None,
        give_up_after_s: float | None,
        queue_size: int = QUEUE_SIZE,
        backfill: bool = False,
    ) -> None:
        position = Position(since) if isinstance(since, int) else since
        name = client_id or f"py-{secrets.token_hex(8)}"
        self.core = Core(name, types, position, give_up_after_s)
        self.inbox = Inbox(queue_size)
        self.outbox = Outbox(self.core, self.inbox, backfill)
        self._url = url
        self._token = token
        self._address: Address | None = None

    def find(self) -> Address:
        """The address for a request of its own, looked up anew."""
        return find(self._url, self._token)

    def target(self) -> tuple[str, Options]:
        """The URL and options of the next connection; looked up anew, as a restart may move both.

        Raises:
            AddressError: nothing is known, and never was.
            UnreachableError: the gateway of a state folder does not answer, or a stranger does.
        """
        try:
            self._address = self.find()
        except AddressError:  # a gateway that is down may have taken its files along
            if self._address is None:
                raise
        options: Options = {
            "additional_headers": prove(self._address).headers,
            "proxy": None if self._address.local or self._address.kept else True,
            "compression": None,
            "open_timeout": HANDSHAKE_S,
            "ping_interval": None,  # the heartbeats show the same, for the whole path
            "close_timeout": CLOSE_S,
            "max_size": MAX_MESSAGE_BYTES,
            "max_queue": MAX_QUEUE,
        }
        return f"{self._address.socket_url}?{urlencode(self.core.parameters, safe='*,')}", options

    def failure(self, error: Exception) -> SightlineError:
        """The error of ours for an exception of the library."""
        place = self._address.url if self._address else "the gateway"
        match error:
            case SightlineError():
                return error
            case ConnectionClosed(rcvd=frame, sent=own):
                frame = frame or own
                return closed(frame.code if frame else 1006, frame.reason if frame else "")
            case InvalidStatus(response=response):
                headers = {name.lower(): value for name, value in response.headers.raw_items()}
                return refusal(response.status_code, headers, bytes(response.body or b""))
            case TimeoutError():
                return UnreachableError(f"{place} is silent")
            case _:
                return UnreachableError(f"{place} does not answer: {error}")

    def receive(self, data: str | bytes) -> None:
        """Put a message into the inbox; an unreadable one is logged, and becomes a gap if it may be a loss."""
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        try:
            entry = self.core.read(text)
        except ProtocolError as error:
            log.warning("%s", error)
            entry = self.core.unreadable(text)
        if entry is not None:
            self.inbox.put(entry)

    def wait_s(self, error: Exception, now: float, random: float) -> float:
        """Log the failure and return how long to wait; raise the failure if waiting cannot help."""
        failure = self.failure(error)
        wait_s = self.core.wait_s(failure, now, random)
        log.warning("%s; trying again in %.1f s", failure, wait_s)
        return wait_s

    def begin(self, data: str | bytes) -> None:
        """`Core.begin`, and log that the stream continues where it had stopped."""
        again = self.core.connected is not None
        self.core.begin(data if isinstance(data, str) else data.decode("utf-8", "replace"))
        if again and (connected := self.core.connected):
            how = "resumed" if connected.resumed else "connected again"
            log.warning("%s, %d events to catch up with", how, connected.replayed or 0)


FAILURES = (OSError, WebSocketException, UnreachableError)
