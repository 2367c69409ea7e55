"""uvicorn's HTTP protocol, strict where it is lenient, so that the door sees what was asked.

It uses uvicorn's internals: the minor version is pinned and live tests hold the behaviour.
"""

import logging

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol

_SILENT = logging.Logger("silent", logging.CRITICAL + 1)  # the library's debug lines show secrets


class StrictHTTPProtocol(HttpToolsProtocol):
    """An absolute target names the host; a malformed handshake is a plain request of its path."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header without the blanks behind its value (RFC 9110, section 5.5)."""
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Put the authority of an absolute target in place of `Host` (RFC 9112, section 3.2.2)."""
        if not self.url.startswith((b"/", b"*")):
            target = httptools.parse_url(self.url)
            host = b"[" + target.host + b"]" if b":" in target.host else target.host
            if target.port:
                host += b":%d" % target.port
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", host))
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        handshake = self._get_upgrade() == b"websocket"
        self._sound = handshake and is_sound_handshake(
            self.parser.get_method(), self.url, self.headers
        )
        super().on_headers_complete()
        if handshake and not self._sound:
            self.cycle.keep_alive = False  # the parser reads nothing behind an upgrade

    def _should_upgrade(self) -> bool:
        """Hand over sound handshakes only: the application refuses the others, in its own order."""
        return self._sound and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the door logs the refusal."""


def is_sound_handshake(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the websockets library would answer 101: it is asked, with the bytes it would get."""
    lines = [b"%s %s HTTP/1.1" % (method, target), *(b"%s: %s" % pair for pair in headers)]
    library = ServerProtocol(logger=_SILENT)
    library.receive_data(b"\r\n".join(lines) + b"\r\n\r\n")
    return any(
        isinstance(event, Request) and library.accept(event).status_code == 101
        for event in library.events_received()
    )
