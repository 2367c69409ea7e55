"""Raw WebSockets to a server: no client library between the benchmark and the socket."""

import re
import select
import socket
import time

from benchmarks.peers import TOKEN
from benchmarks.readings import frame_at

AT_ONCE = 50  # handshakes under way together, well under any server's backlog
PATIENCE_S = 30.0
_HEAD = (
    "GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\nX-Session-Token: {token}\r\n\r\n"
)
_GREETED = re.compile(rb'"epoch":"([^"]+)","sequence_number":(\d+)')


class Client:
    """One connection; `socket` is open and does not block."""

    def __init__(self, port: int, query: str = "") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.sendall(_HEAD.format(query=query, port=port, token=TOKEN).encode())
        self.socket.setblocking(False)
        self.received = b""

    def greeted(self, says_connected: bool) -> bool:
        """Read; return whether the handshake is over, with `connected` if the peer sends it."""
        data = self.socket.recv(65536)
        self.received += data
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if not data or (end and not head.startswith(b"HTTP/1.1 101")):
            raise SystemExit(f"benchmarks: a client was refused: {self.received[:300]!r}")
        if not end or (says_connected and (frame := frame_at(rest, 0)) is None):
            return False
        self.greeting = rest[: frame[1]] if says_connected else b""
        self.received = rest[len(self.greeting) :]  # what followed the greeting
        return True

    @property
    def position(self) -> tuple[str, int]:
        """The gateway's epoch and head, from `connected`."""
        epoch, head = _GREETED.search(self.greeting).groups()
        return epoch.decode(), int(head)


def connect(
    port: int, queries: list[str], says_connected: bool, at_once: int = AT_ONCE
) -> list[Client]:
    """Open one connection for each query, `at_once` of them under way together."""
    poller, waiting, clients = select.epoll(), {}, []
    deadline = time.monotonic() + PATIENCE_S
    queue = iter(queries)
    while len(clients) < len(queries) or waiting:
        while len(waiting) < at_once and (query := next(queue, None)) is not None:
            client = Client(port, query)
            clients.append(client)
            waiting[client.socket.fileno()] = client
            poller.register(client.socket, select.EPOLLIN)
        for fd, _ in poller.poll(1):
            if waiting[fd].greeted(says_connected):
                poller.unregister(fd)
                del waiting[fd]
        if time.monotonic() > deadline:
            raise SystemExit(f"benchmarks: {len(waiting)} handshakes hang")
    poller.close()
    return clients
