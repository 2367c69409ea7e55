"""The publishing side of every Python peer: reads orders from stdin, writes answers to stdout.

One rule for all, so that nobody drops and nobody runs ahead: the reader keeps in shared memory how
many events its slowest client has read, and the publisher pauses while it would be more than
`window` events ahead of that.
"""

import asyncio
import itertools
import mmap
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvicorn

from benchmarks.events import Answer, Fields, Order, feed
from benchmarks.sampler import sampled

PROGRESS = "progress"  # the file of shared memory in the folder of argv[1]
PROGRESS_BYTES = 4
BACKLOG = 2048  # of every uvicorn here: the reader opens many connections at once
Publish = Callable[[str, Fields, Fields], Awaitable[object]]


class Orders:
    """Carries out orders, one after the other, until stdin ends."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._orders: asyncio.Queue[Order | None] = asyncio.Queue()
        with (Path(sys.argv[1]) / PROGRESS).open("r+b") as file:
            memory = mmap.mmap(file.fileno(), PROGRESS_BYTES)
        self._read = memoryview(memory).cast("I")  # [events of this order read by the slowest]

    async def carry_out(self, port: int) -> None:
        """Print where this server listens, then publish as ordered."""
        say({"port": port})
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._hear)
        while (order := await self._orders.get()) is not None:
            with sampled(order.sample) as samples:
                published, seconds, paused = await self._carry_out(order)
            answer = Answer(published=published, seconds=seconds, paused=paused, samples=samples)
            say(answer)

    def _hear(self) -> None:
        # One line at a time: the next order comes only after the answer to this one.
        line = sys.stdin.buffer.readline()
        self._orders.put_nowait(msgspec.json.decode(line, type=Order) if line else None)

    async def _carry_out(self, order: Order) -> tuple[int, float, int]:
        events = feed(order)
        published = paused = 0
        start = time.monotonic()
        while True:
            elapsed = time.monotonic() - start
            if published >= order.events and elapsed >= order.seconds:
                return published, elapsed, paused
            turn = order.per_turn
            if order.rate and (turn := int(elapsed * order.rate) + 1 - published) <= 0:
                await asyncio.sleep(published / order.rate - elapsed)
                continue
            turn = min(turn, order.window)
            while published + turn - self._read[0] > order.window:
                paused += 1
                await asyncio.sleep(0)
            for event in itertools.islice(events, turn):
                await self._publish(*event)
            published += turn
            await asyncio.sleep(0)


def say(answer: object) -> None:
    """Write one line, for the reader at the other end of the pipe."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def serve_uvicorn(
    config: uvicorn.Config, publish: Publish, when_started: Callable[[], None] = lambda: None
) -> None:
    """Serve with uvicorn on a free port and carry out orders."""
    server = uvicorn.Server(config)
    # asyncio sets TCP_NODELAY only where the socket names its protocol
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        if serving.done():
            raise SystemExit("the server did not start")
    when_started()
    listener.listen(BACKLOG)  # asyncio has set it to the number of accepts in one turn
    await Orders(publish).carry_out(listener.getsockname()[1])
    server.should_exit = True
    await serving
