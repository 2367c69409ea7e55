"""One process that publishes to NATS as fast as it is answered: `gateway`, or `nats-py` alone."""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import nats
from litestar import Litestar

from app.channels.nats.message import encode_body, subject_of
from app.channels.nats.stream import find_or_create, wanted
from app.channels.publisher import EventPublisher
from app.events import Clock
from app.main import create_app
from benchmarks.events import Order, feed
from benchmarks.peers.jetstream import settings
from benchmarks.shapes import TYPE, file_of

PIPELINED = 1024  # publishes that NATS has not answered yet, for both


async def gateway(url: str, seconds: float, size: int) -> float:
    """Publishes a second through the gateway's publisher, each done when it is fanned out too."""
    with tempfile.TemporaryDirectory() as folder:
        return await _through(create_app(settings(Path(folder), url)), seconds, size)


async def _through(app: Litestar, seconds: float, size: int) -> float:
    publisher: EventPublisher = app.dependencies["publisher"].dependency()
    events = feed(Order(file=file_of("nested", size)))
    room = asyncio.Semaphore(PIPELINED)
    published = 0

    async def publish() -> None:
        nonlocal published
        await publisher.publish(*next(events))
        published += 1
        room.release()

    async with app.lifespan(), asyncio.TaskGroup() as tasks:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            await room.acquire()
            tasks.create_task(publish())
        for _ in range(PIPELINED):
            await room.acquire()
        return published / (time.monotonic() - began)


async def alone(url: str, seconds: float, size: int) -> float:
    """Publishes a second of nats-py's `publish_async`, of the same bodies, ready-made."""
    client = await nats.connect(url)
    await find_or_create(client, wanted(settings(Path(), url)))
    jetstream = client.jetstream(publish_async_max_pending=PIPELINED)
    _, data, _ = next(feed(Order(file=file_of("nested", size))))
    body = encode_body(Clock().timestamp(), (json.dumps(data).encode(), b"{}"))
    subject = subject_of(TYPE)
    published, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        await jetstream.publish_async(subject, body, wait_stall=10)
        published += 1
    await jetstream.publish_async_completed()
    rate = published / (time.monotonic() - began)
    await client.close()
    return rate


if __name__ == "__main__":
    name, url, seconds, size = sys.argv[1:]
    work = {"gateway": gateway, "nats-py": alone}[name]
    print(asyncio.run(work(url, float(seconds), int(size))))
