"""TLS handshakes that are counted and bounded like any other unauthenticated connection.

asyncio's server shows a TLS connection only after its handshake, which may take a minute, so idle
connections could use up all file descriptors. This accepts the plain connection and does the
handshake itself.
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
    """uvicorn's configuration, with `TLSHandshake` in front of the HTTP protocol."""

    context: ssl.SSLContext | None = None

    def load(self) -> None:
        """Load, and move the TLS context from uvicorn to `TLSHandshake`."""
        super().load()
        if self.ssl is not None:
            self.context, self.ssl = self.ssl, None
            inside = cast(type[SightlineHTTPProtocol], self.http_protocol_class)
            self.http_protocol_class = partial(TLSHandshake, inside, self.context)  # type: ignore[assignment]


class TLSHandshake(asyncio.Protocol):
    """The protocol of a connection during its handshake; then the HTTP protocol replaces it."""

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
        self._early = b""  # received together with the end of the handshake
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
        """Keep input that arrives before the HTTP protocol takes over."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the disconnect."""
        self._lost = True

    def make_room(self) -> None:
        """Abort: no answer can be sent before the handshake is done."""
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
        except OSError:  # not TLS, no common cipher, too slow, or closed
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
