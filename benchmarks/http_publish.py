"""`python -m benchmarks.http_publish`: what publishing over HTTP costs, beside a bare Litestar route.

The bare route (`benchmarks/peers/bare.py`) decodes the events and appends them to a list. The gateway
also checks credential, `Host` and `Origin`, sizes, secrets and catalog, numbers the event and retains
it; with a journal, it answers when the event is on disk. The servers run on one core, the client on
another, in turn; each figure is the median of the runs. The CPU time of the server, of all its threads,
changes less with what else the machine does than the rates do.
"""

import argparse
import json
import os
import select
import socket
import time
from statistics import median

from benchmarks.peers import NO_JOURNAL, TOKEN
from benchmarks.server import READER_CORE, Server
from benchmarks.shapes import KB, TYPE, nested

PEERS = {
    "bare route": "bare",
    "gateway": f"gateway {NO_JOURNAL}",
    "gateway, journal": "gateway",
}
PATIENCE_S = 30.0
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
Figures = dict[str, float]


def request(events: int) -> bytes:
    """A whole request with this many events; one alone is no array."""
    event = {"type": TYPE, "data": nested(KB), "metadata": {"source": "shop"}}
    body = json.dumps(event if events == 1 else [event] * events).encode()
    head = (
        "POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nUser-Agent: benchmark\r\n"
        f"Content-Type: application/json\r\nX-Session-Token: {TOKEN}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Line:
    """One kept connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def answered(self) -> bool:
        """Read; return whether the whole answer is there."""
        data = self.socket.recv(262144)
        self._received += data
        head, end, body = self._received.partition(_END)
        if not data or not head.startswith(b"HTTP/1.1 201"):
            raise SystemExit(f"benchmarks: a request failed: {self._received[:500]!r}")
        at = head.lower().find(_LENGTH) + len(_LENGTH)
        if not end or len(body) < int(head[at:].partition(b"\r")[0]):
            return False
        self._received = b""
        return True


def flat_out(server: Server, connections: int, events: int, seconds: float) -> Figures:
    """Each connection sends its next request when the last one is answered."""
    sent, lines, poller = request(events), {}, select.epoll()
    for _ in range(connections):
        line = Line(server.port)
        lines[line.socket.fileno()] = line
        poller.register(line.socket, select.EPOLLIN)
    for line in lines.values():
        line.socket.sendall(sent)
    requests, cpu, began = 0, server.cpu_s(), time.perf_counter()
    waiting = len(lines)
    while waiting:
        for fd, _ in poller.poll(PATIENCE_S):
            if lines[fd].answered():
                requests += 1
                if time.perf_counter() - began < seconds:
                    lines[fd].socket.sendall(sent)
                else:
                    waiting -= 1
    took = time.perf_counter() - began
    cpu = server.cpu_s() - cpu
    for line in lines.values():
        line.socket.close()
    return {"per_s": requests * events / took, "cpu_us": cpu / requests * 1e6}


def paced(server: Server, rate: float, seconds: float) -> Figures:
    """Single events at a fixed rate on one connection; waits count from the moment each was due."""
    line, sent, waits = Line(server.port), request(1), []
    cpu, began = server.cpu_s(), time.perf_counter() + 0.05
    for number in range(int(rate * seconds)):
        due = began + number / rate
        while (left_s := due - time.perf_counter()) > 0:
            time.sleep(left_s)
        line.socket.sendall(sent)
        while not line.answered():
            pass
        waits.append(1000 * (time.perf_counter() - due))
    cpu = server.cpu_s() - cpu
    line.socket.close()
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    return {"p50_ms": p50, "p99_ms": p99, "cpu_us": cpu / len(waits) * 1e6}


def measured(
    servers: dict[str, Server], given: argparse.Namespace
) -> dict[str, dict[str, Figures]]:
    """For each measurement and peer the medians; the peers run in turn."""
    kinds = {
        "single posts": lambda one: flat_out(one, given.connections, 1, given.seconds),
        f"arrays of {given.array}": lambda one: flat_out(
            one, given.connections, given.array, given.seconds
        ),
        f"single posts, {given.rate:g}/s": lambda one: paced(one, given.rate, given.seconds),
    }
    found: dict[str, dict[str, Figures]] = {}
    for kind, measure in kinds.items():
        runs: dict[str, list[Figures]] = {peer: [] for peer in servers}
        for run in range(given.runs + 1):
            for peer, server in servers.items():
                figures = measure(server)
                if run:  # the first one warms up
                    runs[peer].append(figures)
        found[kind] = {
            peer: {name: median(one[name] for one in each) for name in each[0]}
            for peer, each in runs.items()
        }
    return found


def show(found: dict[str, dict[str, Figures]]) -> None:
    """Print a table; the ratios are to the bare route."""
    print(f"{'':24}{'':18}{'events/s':>10}{'':>7}{'CPU µs':>9}{'':>7}{'p50 ms':>8}{'p99 ms':>8}")
    for kind, peers in found.items():
        base = peers["bare route"]
        for peer, one in peers.items():
            rate = f"{'':17}"
            if "per_s" in one:
                rate = f"{one['per_s']:10,.0f}{one['per_s'] / base['per_s']:6.2f}x"
            cpu = f"{one['cpu_us']:9,.0f}{one['cpu_us'] / base['cpu_us']:6.2f}x"
            waits = f"{one['p50_ms']:8.2f}{one['p99_ms']:8.2f}" if "p50_ms" in one else ""
            print(f"{kind:24}{peer:18}{rate}{cpu}{waits}")
    print("CPU µs: of the server, for one request")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--connections", type=int, default=10)
    options.add_argument("--array", type=int, default=100, help="events in an array")
    options.add_argument("--rate", type=float, default=200, help="of the paced posts, a second")
    options.add_argument("--seconds", type=float, default=2, help="of each run")
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    os.sched_setaffinity(0, {READER_CORE})
    servers = {name: Server(peer) for name, peer in PEERS.items()}
    try:
        show(measured(servers, given))
    finally:
        for server in servers.values():
            server.kill()


if __name__ == "__main__":
    main()
