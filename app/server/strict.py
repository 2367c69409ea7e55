"""uvicorn's HTTP protocol with strict parsing, so that the access checks see the real request.

It uses uvicorn's internals: the minor version is pinned, and live tests hold the behaviour.
"""

import logging
import re
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.exceptions import InvalidUpgrade
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ..ws.handshake import HANDSHAKE_FAULT, HandshakeFault
from .websocket import SightlineWebSocketProtocol

MAX_HEADER_LINES = 128  # also the limit of the websockets library
_FRAMING = {b"transfer-encoding", b"expect"}
_OF_UPGRADES = {b"upgrade", b"sec-websocket-key"}
MAX_PIPELINED = 8  # requests that wait for an earlier response
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)  # the library's debug log contains secrets


class RefusedRequest(Exception):
    """A malformed or unsupported request. Raised in a parser's callback, it stops the parser."""

    def __init__(self, status: int, message: str, code: str = "bad_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class StrictHTTPProtocol(HttpToolsProtocol):
    """Refuses ambiguous framing, drops trailers, and takes the host from an absolute target.

    A malformed handshake is passed on as a plain request, with the fault in its scope.
    """

    _in_head = False  # later headers are trailers
    fault: RefusedRequest | None = None  # set if a callback stopped the parser
    _handshake_fault: RefusedRequest | None = None
    _is_usual = False  # whether the handshake is valid, and each header came once

    def on_message_begin(self) -> None:
        """Begin a request; refuse it if too many wait already."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(400, "too many requests at once: wait for the answers")
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, without the whitespace after its value (RFC 9110, section 5.5)."""
        if not self._in_head:
            return
        if len(self.headers) == MAX_HEADER_LINES:
            why = f"the head has over {MAX_HEADER_LINES} header lines: send fewer"
            self._stop(431, why, "head_too_large")
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))  # like uvicorn's method, without the call

    def on_headers_complete(self) -> None:
        """Refuse an ambiguous head; replace `Host` by the authority of an absolute target.

        See RFC 9112, sections 6.1 and 3.2.2.
        """
        names = {name for name, _ in self.headers}
        self._check_head(self.parser.get_http_version(), names)
        self._in_head = False
        if not self.url.startswith((b"/", b"*")):
            target = httptools.parse_url(self.url)
            host = b"[" + target.host + b"]" if b":" in target.host else target.host
            if target.port:
                host += b":%d" % target.port
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"]
            self.headers.append((b"host", host))
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        self._handshake_fault, self._is_usual = None, False
        if not names.isdisjoint(_OF_UPGRADES):
            self._handshake_fault = self._look_at_handshake()
        if (fault := self._handshake_fault) is not None:
            reported = HandshakeFault(str(fault), fault.status)
            self.scope["extensions"] = {HANDSHAKE_FAULT: reported}  # type: ignore[dict-item]
        super().on_headers_complete()
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser stops after an upgrade

    def _check_head(self, version: str, names: set[bytes]) -> None:
        if version not in ("1.0", "1.1"):
            self._stop(505, f"HTTP/{version} is not supported: use HTTP/1.1")
        if names.isdisjoint(_FRAMING):
            return
        codings = self._values(b"transfer-encoding")
        if codings and (version == "1.0" or len(codings) > 1):
            self._stop(400, "Transfer-Encoding comes twice or with HTTP/1.0: send a Content-Length")
        if codings and codings[0] != b"chunked":
            self._stop(
                501, "the transfer coding is not supported: use chunked, or send a Content-Length"
            )
        if any(value != b"100-continue" for value in self._values(b"expect")):
            self._stop(417, "this Expect header is not supported: omit it")

    def _look_at_handshake(self) -> RefusedRequest | None:
        if self.cycle is not None and not self.cycle.response_complete:
            return RefusedRequest(400, "the upgrade came too early: wait for the last response")
        version = self.parser.get_http_version().encode()
        head = (self.parser.get_method(), self.url, version, self.headers)
        self._is_usual = is_usual_handshake(*head)
        return None if self._is_usual else handshake_fault(*head)

    def _values(self, name: bytes) -> list[bytes]:
        """The values of a header, in lower case, one per line."""
        return [value.lower() for key, value in self.headers if key == name]

    def _stop(self, status: int, message: str, code: str = "bad_request") -> None:
        self.fault = RefusedRequest(status, message, code)
        raise self.fault

    def _get_upgrade(self) -> bytes | None:
        """The requested protocols, if any `Connection` line has the option `upgrade`."""
        options = [
            item.strip() for line in self._values(b"connection") for item in line.split(b",")
        ]
        return b", ".join(self._values(b"upgrade")) if b"upgrade" in options else None

    def _should_upgrade(self) -> bool:
        """Upgrade only valid handshakes; the application refuses the others."""
        return self._is_usual or (self._handshake_fault is None and super()._should_upgrade())

    def handle_websocket_upgrade(self) -> None:
        """Hand the handshake over as it was read, if it is usual and our protocol takes it."""
        kind = self.ws_protocol_class
        ours = isinstance(kind, type) and issubclass(kind, SightlineWebSocketProtocol)
        if not (ours and self._is_usual):
            super().handle_websocket_upgrade()
            return
        self.connections.discard(self)
        protocol = cast(type[SightlineWebSocketProtocol], kind)(
            self.config, self.server_state, self.app_state
        )
        self.transport.set_protocol(protocol)
        protocol.take_over(self)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: `AccessGate` logs the refusal."""


_TARGET = re.compile(rb"[\x21-\x7e]+")
_LINES = re.compile(rb"(?:[-!#$%&'*+.^_`|~0-9a-zA-Z]+:[\t\x20-\x7e\x80-\xff]*\n)*")
_UPGRADE = re.compile(rb"(?:keep-alive, )?upgrade", re.IGNORECASE)  # Firefox sends both
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_PROTOCOLS = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+(?:, ?[-!#$%&'*+.^_`|~0-9a-zA-Z]+)*")
_WITH_BODY = (b"transfer-encoding", b"content-length")


def is_usual_handshake(
    method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]
) -> bool:
    """Whether this is a valid handshake as clients send it; False says nothing.

    `headers` are in lower case. It saves a second run of the library, which takes much longer.
    """
    by_name = dict(headers)
    return (
        len(by_name) == len(headers)
        and (method, version) == (b"GET", b"1.1")
        and by_name.get(b"sec-websocket-version") == b"13"
        and by_name.get(b"upgrade", b"").lower() == b"websocket"
        and _UPGRADE.fullmatch(by_name.get(b"connection", b"")) is not None
        and _KEY.fullmatch(by_name.get(b"sec-websocket-key", b"")) is not None
        and _PROTOCOLS.fullmatch(by_name.get(b"sec-websocket-protocol", b"x")) is not None
        and not any(name in by_name for name in _WITH_BODY)
        and _TARGET.fullmatch(target) is not None
        and _LINES.fullmatch(b"".join([b"%s:%s\n" % pair for pair in headers])) is not None
    )


def handshake_fault(
    method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]
) -> RefusedRequest | None:
    """The error with which the websockets library would refuse this handshake; None if valid."""
    if is_usual_handshake(method, target, version, headers):
        return None
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
                return RefusedRequest(
                    426, f"Sec-WebSocket-Version {versions[0]!a} is not supported: use 13"
                )
    error: BaseException | None = library.handshake_exc
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    status = 426 if isinstance(error, InvalidUpgrade) else 400
    return RefusedRequest(
        status, f"not a WebSocket handshake: {str(error)[:200]}; use a WebSocket client"
    )
