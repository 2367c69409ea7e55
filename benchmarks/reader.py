"""The other end of the sockets: one process for each server, on a core of its own.

It spins instead of sleeping, so that the cost of waking it is nobody's.
"""

import gc
import os
import select
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

import msgspec

from benchmarks.connections import Client, connect
from benchmarks.events import Answer, Order
from benchmarks.readings import Check, Count, Drain, Reading, Time
from benchmarks.server import READER_CORE, Server

COUNTED = 1  # clients read in full in a measured run, flat out; the others must get as many bytes
TIMED = 100  # clients whose latency is noted, spread over all
STALL_S = 30.0  # without a byte for so long, the run has failed
KERNEL = "(of all this, in the kernel)"
Figures = dict[str, float]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One server and its clients."""

    peer: str
    clients: int = 0
    filters: int = 1  # distinct filters among the clients, every one of which takes every event
    stalled: int = 0  # further clients that read nothing


def serve(setup: Setup, orders: Connection) -> None:
    """The process: start the server, connect, then do what `orders` say until there are no more."""
    os.sched_setaffinity(0, {READER_CORE})
    gc.disable()
    server = Server(setup.peer)
    try:
        reader = Reader(server, setup)
        orders.send(None)
        while (job := orders.recv()) is not None:
            kind, order = job
            gc.collect()
            orders.send(getattr(reader, kind)(order))
    except (EOFError, KeyboardInterrupt):
        pass
    finally:
        server.kill()


class Reader:
    """Measures one server; each public method is one run."""

    def __init__(self, server: Server, setup: Setup) -> None:
        self._server = server
        self._gateway = setup.peer.split()[0] == "gateway"
        self._clients = self._connect([self._query(i, setup) for i in range(setup.clients)])
        self._stalled = self._connect([""] * setup.stalled)
        server.settle()

    def _query(self, index: int, setup: Setup) -> str:
        if setup.filters == 1 or not self._gateway:
            return ""
        return f"?types=bench.*,other.f{index % setup.filters}"

    def _connect(self, queries: list[str], at_once: int = 50) -> list[Client]:
        return connect(self._server.port, queries, self._gateway, at_once)

    def check(self, order: Order) -> Figures:
        """Read everything of every client and hold the order of all numbers. Not a measurement."""
        readings = [Check(client.socket) for client in self._clients]
        self._drive(order, readings, readings)
        self._server.settle()
        return {}

    def flat_out(self, order: Order) -> Figures:
        """Publish as fast as the slowest client reads."""
        counted = [Count(client.socket) for client in self._clients[:COUNTED]]
        drained = [Drain(client.socket) for client in self._clients[COUNTED:]]
        answer, figures = self._drive(order, [*counted, *drained], counted)
        for reading in counted:
            if reading.gaps or reading.last - reading.first + 1 != answer.published:
                raise SystemExit(f"benchmarks: numbers {reading.first} to {reading.last} came")
        deliveries = answer.published * len(self._clients)
        figures["deliveries_per_s"] = deliveries / figures["seconds"]
        figures["events_per_s"] = answer.published / figures["seconds"]
        self._server.settle()
        return figures

    def paced(self, order: Order) -> Figures:
        """Publish at a fixed rate; latency from the call of publish to the read."""
        step = max(1, len(self._clients) // TIMED)
        timed = [Time(client.socket) for client in self._clients[::step]]
        drained = [Drain(c.socket) for i, c in enumerate(self._clients) if i % step]
        answer, figures = self._drive(order, [*timed, *drained], timed)
        latencies = [latency for reading in timed for latency in reading.latencies_us]
        cuts = statistics.quantiles(latencies, n=100)
        figures["p50_ms"], figures["p99_ms"] = cuts[49] / 1000, cuts[98] / 1000
        figures["events_per_s"] = answer.published / answer.seconds
        self._server.settle()
        return figures

    def connects(self, order: Order) -> Figures:
        """Open `order.events` connections one after the other, some under way together."""
        start = time.perf_counter()
        clients = self._connect([""] * order.events)
        seconds = time.perf_counter() - start
        _close(clients)
        self._server.settle()
        return {"connects_per_s": order.events / seconds}

    def memory(self, order: Order) -> Figures:
        """What `order.events` idle connections add to the resident memory, on a warm server."""
        _close(self._connect([""] * 200))
        self._server.settle()
        before = self._server.rss_bytes()
        clients = self._connect([""] * order.events)
        self._server.settle()
        figures = {"kb_per_connection": (self._server.rss_bytes() - before) / order.events / 1000}
        _close(clients)
        return figures

    def resume(self, order: Order) -> Figures:
        """`order.events` clients reconnect at once, each `order.per_turn` events behind."""
        missed = order.per_turn
        (witness,) = self._connect([""])
        self._server.order(Order(events=missed, per_turn=missed, window=missed, file=order.file))
        self._server.answer()
        epoch, head = witness.position
        query = f"?last_sequence_number={head}&epoch={epoch}"
        start = time.perf_counter()
        clients = self._connect([query] * order.events, at_once=order.events)
        readings = [Count(client.socket, client.received) for client in clients]
        self._finish(readings, missed)
        seconds = time.perf_counter() - start
        for reading in readings:
            if (reading.gaps, reading.first, reading.last) != (0, head + 1, head + missed):
                raise SystemExit(f"benchmarks: numbers {reading.first} to {reading.last} came")
        _close([*clients, witness])
        self._server.settle()
        return {"seconds": seconds, "events_per_s": missed * order.events / seconds}

    def profile(self, order: Order) -> Figures:
        """As `flat_out`: the share of the server's CPU time by function, and the kernel's."""
        counted = [Count(client.socket) for client in self._clients[:COUNTED]]
        drained = [Drain(client.socket) for client in self._clients[COUNTED:]]
        answer, figures = self._drive(order, [*counted, *drained], counted)
        samples = sum(answer.samples.values())
        shares = {function: count / samples for function, count in answer.samples.items()}
        return {KERNEL: figures["server_kernel"] / figures["server_cpu"], **shares}

    def _finish(self, readings: Sequence[Count], events: int) -> None:
        poller = select.epoll()
        unfinished = {r.fileno: r for r in readings if r.events < events}
        for fd in unfinished:
            poller.register(fd, select.EPOLLIN)
        deadline = time.monotonic() + STALL_S
        while unfinished:
            for fd, _ in poller.poll(1):
                unfinished[fd].read()
                if unfinished[fd].events >= events:
                    poller.unregister(fd)
                    del unfinished[fd]
            if time.monotonic() > deadline:
                raise SystemExit(f"benchmarks: {len(unfinished)} clients miss events")
        poller.close()

    def _drive(
        self, order: Order, readings: Sequence[Reading], counting: Sequence[Count | Time | Check]
    ) -> tuple[Answer, Figures]:
        """Give the order and read until every client has every event and as many bytes."""
        server, witness = self._server, counting[0]
        reads = {reading.fileno: reading.read for reading in readings}
        answer, slowest, total, seen = None, 0, 0, 0
        quarter = order.window * len(readings) / 4  # deliveries after which to find the slowest
        cpu_s, kernel_s, own_s = server.cpu_s(), server.kernel_s(), time.process_time()
        with select.epoll() as poller:
            for fd in (server.answers, *reads):
                poller.register(fd, select.EPOLLIN)
            busy = 0.0
            server.order(order)
            start = now = last = time.perf_counter()
            while answer is None or witness.events < answer.published or slowest < witness.bytes:
                ready = poller.poll(0, len(reads) + 1)
                for fd, _ in ready:
                    if fd != server.answers:
                        total += reads[fd]()
                    else:
                        answer = server.answer()
                before, now = now, time.perf_counter()
                if ready:
                    busy += now - before
                    last = now
                elif now - last > STALL_S:
                    raise SystemExit(f"benchmarks: {server.peer} stalls after {witness.events}")
                if witness.events and (
                    not ready or (total - seen) * witness.events >= quarter * witness.bytes
                ):
                    seen, slowest = total, min(reading.bytes for reading in readings)
                    server.read[0] = int(slowest * witness.events / witness.bytes + 0.01)
        seconds = last - start
        for reading in readings:
            if reading.bytes != witness.bytes:
                raise SystemExit(f"benchmarks: {reading.bytes} bytes came, not {witness.bytes}")
        for reading in counting:
            if reading.events != answer.published:
                raise SystemExit(f"benchmarks: {reading.events} of {answer.published} came")
        cpu_s, kernel_s = server.cpu_s() - cpu_s, server.kernel_s() - kernel_s
        return answer, {
            "seconds": seconds,
            "server_cpu": cpu_s / seconds,
            "server_kernel": kernel_s / seconds,
            "reader_cpu": (time.process_time() - own_s) / (time.perf_counter() - start),
            "reader_busy": busy / seconds,
            "paused": answer.paused,
        }


def _close(clients: list[Client]) -> None:
    for client in clients:
        client.socket.close()
