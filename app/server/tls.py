"""TLS handshakes that are counted and bounded like all that comes before a credential.

asyncio shows a server nothing of a TLS connection before its handshake is done, which may take a
minute: silent ones would use up the file descriptors. So the plain connection is accepted, and its
handshake is ours to end.
"""

import asyncio
import ssl
from functools import partial
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from .http import LINGER_S, SightlineHTTPProtocol
from .room import peer_of

HANDSHAKE_TIMEOUT_S = 8.0


class GatewayConfig(uvicorn.Config):
    """uvicorn's configuration, whose handshakes are ours."""

    context: ssl.SSLContext | None = None

    def load(self) -> None:
        """Load, and take the TLS context away from uvicorn."""
        super().load()
        if self.ssl is not None:
            self.context, self.ssl = self.ssl, None
            inside = cast(type[SightlineHTTPProtocol], self.http_protocol_class)
            self.http_protocol_class = partial(TLSHandshake, inside, self.context)  # type: ignore[assignment]


class TLSHandshake(asyncio.Protocol):
    """A connection until its handshake is done; then an HTTP protocol takes its place."""

    known = False
    waiting = True

    def __init__(
        self,
        inside: type[SightlineHTTPProtocol],
        context: ssl.SSLContext,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._http = inside(config=config, server_state=server_state, app_state=app_state)
        self._context = context
        self._connections = server_state.connections
        self._early = b""  # what comes in the same packet as the end of the handshake
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = transport.get_extra_info("peername")
        self.peer = peer_of(name[0] if isinstance(name, tuple) else None)
        self._connections.add(self)  # type: ignore[arg-type]
        self._http.room.join(self)
        self._task = asyncio.get_running_loop().create_task(self._shake_hands())
        self._http.room.keep_within(len(self._connections))

    def data_received(self, data: bytes) -> None:
        """Keep what came before the handshake's end was seen."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that nobody is there any more."""
        self._lost = True

    def make_room(self) -> None:
        """End at once: there is no way to say why before the handshake is done."""
        self._transport.abort()

    shutdown = make_room

    async def _shake_hands(self) -> None:
        try:
            secure = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=LINGER_S,
            )
        except OSError:  # no TLS, no common cipher, too slow, gone, or made room
            self._transport.abort()
            return
        finally:
            self._connections.discard(self)
            self._http.room.leave(self)
        if secure is None or self._lost:
            return
        secure.set_protocol(self._http)
        self._http.connection_made(secure)
        if self._early:
            self._http.data_received(self._early)
