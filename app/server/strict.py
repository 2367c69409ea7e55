"""uvicorn's HTTP protocol, strict where it is lenient, so that the door sees what was asked.

It uses uvicorn's internals: the minor version is pinned and live tests hold the behaviour.
"""

import logging

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.exceptions import InvalidUpgrade
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ..ws.handshake import HANDSHAKE_FAULT, HandshakeFault

MAX_HEADER_LINES = 128  # the websockets library takes no more either
MAX_PIPELINED = 8  # requests that wait for the answer to one in front of them
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)  # the library's debug lines show secrets


class Unsound(Exception):
    """A request that cannot be taken. Raised inside the parser's callbacks, it stops the parser."""

    def __init__(self, status: int, message: str, code: str = "bad_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class StrictHTTPProtocol(HttpToolsProtocol):
    """Doubtful framing is refused, trailers are dropped, an absolute target names the host.

    A malformed handshake is a plain request of its path, with the fault in its scope.
    """

    _in_head = False  # headers count until the head is complete; what comes later are trailers
    fault: Unsound | None = None  # why the parser stopped, where that was our doing
    _handshake_fault: Unsound | None = None

    def on_message_begin(self) -> None:
        """Begin a request, unless too many wait already."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(400, "too many requests at once: wait for the answers")
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header without the blanks behind its value (RFC 9110, section 5.5)."""
        if not self._in_head:
            return
        if len(self.headers) == MAX_HEADER_LINES:
            why = f"the head has over {MAX_HEADER_LINES} header lines: send fewer"
            self._stop(431, why, "head_too_large")
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Refuse what is in doubt; put an absolute target's authority in place of `Host`.

        See RFC 9112, sections 6.1 and 3.2.2.
        """
        self._check_head(self.parser.get_http_version())
        self._in_head = False
        if not self.url.startswith((b"/", b"*")):
            target = httptools.parse_url(self.url)
            host = b"[" + target.host + b"]" if b":" in target.host else target.host
            if target.port:
                host += b":%d" % target.port
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", host))
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        self._handshake_fault = None
        if self._values(b"upgrade") or self._values(b"sec-websocket-key"):
            self._handshake_fault = self._look_at_handshake()
        if (fault := self._handshake_fault) is not None:
            told = HandshakeFault(str(fault), fault.status)
            self.scope["extensions"] = {HANDSHAKE_FAULT: told}  # type: ignore[dict-item]
        super().on_headers_complete()
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser reads nothing behind an upgrade

    def _check_head(self, version: str) -> None:
        codings = self._values(b"transfer-encoding")
        if version not in ("1.0", "1.1"):
            self._stop(505, f"HTTP/{version} is not spoken here: use HTTP/1.1")
        if codings and (version == "1.0" or len(codings) > 1):
            self._stop(400, "Transfer-Encoding comes twice or with HTTP/1.0: send a Content-Length")
        if codings and codings[0] != b"chunked":
            self._stop(501, "a transfer coding is not known: use chunked, or send a Content-Length")
        if any(value != b"100-continue" for value in self._values(b"expect")):
            self._stop(417, "Expect asks for what is not known: leave it out")

    def _look_at_handshake(self) -> Unsound | None:
        if self.cycle is not None and not self.cycle.response_complete:
            return Unsound(400, "the upgrade came too early: read the answer in front of it first")
        version = self.parser.get_http_version().encode()
        return handshake_fault(self.parser.get_method(), self.url, version, self.headers)

    def _values(self, name: bytes) -> list[bytes]:
        """The values of a header, in lower case; one for each line."""
        return [value.lower() for key, value in self.headers if key == name]

    def _stop(self, status: int, message: str, code: str = "bad_request") -> None:
        self.fault = Unsound(status, message, code)
        raise self.fault

    def _get_upgrade(self) -> bytes | None:
        """What the client asks to speak, however many lines `Connection` takes."""
        options = [
            item.strip() for line in self._values(b"connection") for item in line.split(b",")
        ]
        return b", ".join(self._values(b"upgrade")) if b"upgrade" in options else None

    def _should_upgrade(self) -> bool:
        """Hand over sound handshakes only: the application refuses the others, in its own order."""
        return self._handshake_fault is None and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the door logs the refusal."""


def handshake_fault(
    method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]
) -> Unsound | None:
    """Why the websockets library would refuse: it is asked, with the bytes that it would get.

    None if it would answer 101.
    """
    lines = [b"%s %s HTTP/%s" % (method, target, version)]
    lines += [b"%s: %s" % pair for pair in headers]
    library = ServerProtocol(logger=_SILENT)
    library.receive_data(b"\r\n".join(lines) + b"\r\n\r\n")
    for event in library.events_received():
        if isinstance(event, Request):
            if library.accept(event).status_code == 101:
                return None
            versions = event.headers.get_all("Sec-WebSocket-Version")
            if len(versions) == 1 and versions != ["13"]:
                return Unsound(426, f"Sec-WebSocket-Version {versions[0]!a} is not spoken: use 13")
    error: BaseException | None = library.handshake_exc
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    status = 426 if isinstance(error, InvalidUpgrade) else 400
    return Unsound(status, f"not a WebSocket handshake: {str(error)[:200]}; use a WebSocket client")
