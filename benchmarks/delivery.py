"""Connect time, delivery latency and throughput for ten clients over real sockets, in about 15 s.

The gateway runs in a process of its own and publishes to itself; the clients share this process.
Latency runs from the call of `publish` to the decoded message: `time.monotonic_ns` is one clock
for all processes on Linux. Flat out, the clients' own work is part of what is measured.
"""

import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from litestar import Litestar
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


async def publish(app: Litestar, rate: int) -> int:
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
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        orders.send(server.servers[0].sockets[0].getsockname()[1])
        while (rate := await asyncio.to_thread(orders.recv)) is not None:
            orders.send(await publish(app, rate))
        server.should_exit = True
        await running


def open_socket(port: int) -> connect:
    """A client: no compression, and a reader that never pauses the socket."""
    headers = {"X-Session-Token": TOKEN}
    url = f"ws://127.0.0.1:{port}/ws"
    return connect(url, additional_headers=headers, compression=None, max_queue=None)


async def receive(socket: ClientConnection) -> tuple[list[float], float, int]:
    """Read until the phase is done: latencies in ms, seconds from first to last, events lost."""
    latencies: list[float] = []
    lost = first = last = 0
    while True:
        message = json.loads(await socket.recv())
        now = time.monotonic_ns()
        if message["type"] == "bench.tick":
            first, last = first or now, now
            latencies.append((now - message["data"]["sent"]) / 1e6)
        elif message["type"] == "gap":
            lost += message["dropped"]
        elif message["type"] == "bench.done":
            return latencies, (last - first) / 1e9, lost


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


def percentiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms"


async def measure(orders: Connection) -> None:
    """Print every figure."""
    port = await asyncio.to_thread(orders.recv)
    print(f"connect, {CONNECTS} in a row: {percentiles(await connect_times(port))}")
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(open_socket(port)) for _ in range(CLIENTS)]
        for socket in sockets:
            await socket.recv()  # `connected`
        for name, rate in PHASES:
            orders.send(rate)
            found = await asyncio.gather(*map(receive, sockets))
            published = await asyncio.to_thread(orders.recv)
            latencies = [value for values, _, _ in found for value in values]
            deliveries = sum(len(values) / seconds for values, seconds, _ in found)
            lost = sum(dropped for _, _, dropped in found)
            print(f"{name}, {CLIENTS} clients: {percentiles(latencies)} from publish to receipt")
            print(f"  {published / SECONDS:,.0f} events/s in, {deliveries:,.0f} deliveries/s out,")
            print(f"  {len(latencies):,} delivered, {lost:,} dropped and told in gaps")
            if len(latencies) + lost != published * CLIENTS:
                raise SystemExit("benchmarks: events are missing that no gap tells of")
    orders.send(None)


async def bounded(orders: Connection) -> None:
    """Measure, but never for longer than LIMIT_S."""
    async with asyncio.timeout(LIMIT_S):
        await measure(orders)


def main() -> None:
    """Start the gateway's process, measure, stop it."""
    context = multiprocessing.get_context("spawn")
    orders, far_end = context.Pipe()
    gateway = context.Process(target=run_serve, args=(far_end,), daemon=True)
    gateway.start()
    far_end.close()
    asyncio.run(bounded(orders))
    gateway.join(LIMIT_S)
