"""Connect time, delivery latency and throughput for ten clients over real sockets, in about 15 s.

The gateway runs in a process of its own and publishes to itself; each client is a process too, so
that none of them measures another's work. `time.monotonic_ns` is one clock for all on Linux.
"""

import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from app.main import create_app
from app.settings import Settings
from app.ws.uvicorn_protocol import SightlineWebSocketProtocol

CLIENTS = 10
CONNECTS = 100
SECONDS = 4.0
LIMIT_S = 20
TOKEN = "a-token-for-benchmarks"
PHASES = (("1,000 events/s", 1000), ("flat out", 0))  # 0: as fast as the publisher can


async def publish(app: object, rate: int) -> int:
    """Publish for SECONDS at `rate` events/s, say that it is done, return how many it were."""
    publisher = app.dependencies["publisher"].dependency()
    count, start = 0, time.monotonic()
    while (elapsed := time.monotonic() - start) < SECONDS:
        if rate and count >= rate * elapsed:
            await asyncio.sleep(0.0005)
            continue
        await publisher.publish("bench.tick", {"sent": time.monotonic_ns()})
        count += 1
    await publisher.publish("bench.done")
    return count


async def serve(orders: Connection) -> None:
    """Run the gateway; tell the port, then carry out orders until None comes."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            session_token=TOKEN,
            state_dir=Path(folder),
            workspace=None,
            extra_namespaces=("bench",),
            log_level="error",
        )
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            port=0,
            ws=SightlineWebSocketProtocol,
            http="httptools",
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        orders.send(server.servers[0].sockets[0].getsockname()[1])
        while (rate := await asyncio.to_thread(orders.recv)) is not None:
            orders.send(await publish(app, rate))
        server.should_exit = True
        await running


def open_socket(port: int) -> connect:
    headers = {"X-Session-Token": TOKEN}
    url = f"ws://127.0.0.1:{port}/ws"
    return connect(url, additional_headers=headers, compression=None, max_queue=None)


async def receive(socket: ClientConnection) -> tuple[list[int], float, int]:
    """Read until the phase is done: latencies in ns, seconds from first to last, events lost."""
    latencies: list[int] = []
    lost = first = last = 0
    while True:
        message = json.loads(await socket.recv())
        now = time.monotonic_ns()
        if message["type"] == "bench.tick":
            first, last = first or now, now
            latencies.append(now - message["data"]["sent"])
        elif message["type"] == "gap":
            lost += message["dropped"]
        elif message["type"] == "bench.done":
            return latencies, (last - first) / 1e9, lost


async def listen(port: int, ready: Barrier, results: Connection) -> None:
    """One client: connect, then hand in one result for each phase."""
    async with open_socket(port) as socket:
        await socket.recv()  # `connected`
        ready.wait(LIMIT_S)
        for _ in PHASES:
            results.send(await receive(socket))


async def connect_times(port: int) -> list[float]:
    """Milliseconds from nothing to `connected`, one connection after the other."""
    times = []
    for _ in range(CONNECTS):
        start = time.monotonic()
        async with open_socket(port) as socket:
            await socket.recv()
            times.append((time.monotonic() - start) * 1000)
    return times


def run_serve(orders: Connection) -> None:
    asyncio.run(serve(orders))


def run_listen(port: int, ready: Barrier, results: Connection) -> None:
    asyncio.run(listen(port, ready, results))


def answer(connection: Connection) -> object:
    if not connection.poll(LIMIT_S):
        raise SystemExit(f"benchmarks: no answer within {LIMIT_S} s")
    return connection.recv()


def percentiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms"


def main() -> None:
    context = multiprocessing.get_context("spawn")
    orders, far_end = context.Pipe()
    context.Process(target=run_serve, args=(far_end,), daemon=True).start()
    port = answer(orders)
    print(f"connect ({CONNECTS} in a row): {percentiles(asyncio.run(connect_times(port)))}")
    ready = context.Barrier(CLIENTS + 1)
    clients = []
    for _ in range(CLIENTS):
        results, sender = context.Pipe(duplex=False)
        context.Process(target=run_listen, args=(port, ready, sender), daemon=True).start()
        clients.append(results)
    ready.wait(LIMIT_S)
    for name, rate in PHASES:
        orders.send(rate)
        published = answer(orders)
        found = [answer(results) for results in clients]
        latencies = [value / 1e6 for values, _, _ in found for value in values]
        deliveries = sum(len(values) / seconds for values, seconds, _ in found)
        lost = sum(dropped for _, _, dropped in found)
        print(f"{name}, {CLIENTS} clients: {percentiles(latencies)} from publish to receipt")
        print(f"  {published / SECONDS:,.0f} events/s published, {deliveries:,.0f} deliveries/s,")
        print(f"  {len(latencies):,} delivered, {lost:,} lost and said in gaps")
        if len(latencies) + lost != published * CLIENTS:
            raise SystemExit("benchmarks: events are missing that no gap tells of")
    orders.send(None)


if __name__ == "__main__":
    main()
