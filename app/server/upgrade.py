"""The scope and the answer of a WebSocket handshake that the HTTP protocol has read and checked. Pure.

Stock uvicorn writes the request anew, and the websockets library parses and checks it again. That
takes more CPU time than all the rest of a handshake.
"""

from urllib.parse import unquote

from uvicorn._types import HTTPScope, WebSocketScope
from websockets.utils import accept_key

Headers = list[tuple[bytes, bytes]]
KEY = b"sec-websocket-key"
PROTOCOLS = b"sec-websocket-protocol"
_ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)


def socket_scope(scope: HTTPScope, target: bytes, headers: dict[bytes, bytes]) -> WebSocketScope:
    """The ASGI scope of the WebSocket; `headers` are those of `scope`, each of them sent once."""
    path, _, query = target.partition(b"?")
    root = scope["root_path"]
    offered = headers.get(PROTOCOLS)
    return {
        "type": "websocket",
        "asgi": {"version": scope["asgi"]["version"], "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "server": scope["server"],
        "client": scope["client"],
        "root_path": root,
        "path": root + unquote(path.decode("ascii")),
        "raw_path": root.encode("ascii") + path,
        "query_string": query,
        "headers": scope["headers"],
        "subprotocols": (
            [] if offered is None else [one.strip() for one in offered.decode().split(",")]
        ),
        "state": scope["state"],
        "extensions": {"websocket.http.response": {}},
    }


def accepted(key: bytes, headers: Headers, subprotocol: str | None) -> bytes:
    """The response that accepts a handshake with this key (RFC 6455, section 4.2.2)."""
    if subprotocol is not None:
        headers = [*headers, (b"Sec-WebSocket-Protocol", subprotocol.encode("ascii"))]
    lines = [b"%s: %s\r\n" % header for header in headers]
    return b"".join([_ACCEPTED, accept_key(key.decode()).encode(), b"\r\n", *lines, b"\r\n"])
