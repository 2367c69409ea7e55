"""`make soak`: mixed load with faults for some minutes, and an exact sum for every client.

A gateway of its own process is published to over HTTP. Clients read for a while, then reset the
connection, stop reading, or go away, and come back at their position. To each client every number
from its first on must come once and in order, or lie in a gap whose `dropped` is the gap's length.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

CLIENTS = 20
EVENTS_A_SECOND = 1000
TOKEN = "a-token-for-the-soak"
MIB = 1024 * 1024


class Reader:
    """One client: where it is in the stream, and what it counted on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = ""
        self.first: int | None = None  # the position of its first `connected`
        self.position = 0
        self.delivered = self.gapped = self.gaps = self.connections = 0

    def take(self, text: str | bytes) -> None:
        """Account for one message; raises `AssertionError` where the stream breaks its promise."""
        message = json.loads(text)
        kind = message["type"]
        if kind == "connected":
            self.connections += 1
            self.epoch = message["epoch"]
            if self.first is None:
                self.first = self.position = message["sequence_number"]
        elif kind == "gap":
            first, last = message["from_sequence_number"], message["to_sequence_number"]
            assert first == self.position + 1, f"{self.name}: {message} after {self.position}"
            assert message["dropped"] == last - first + 1, f"{self.name}: {message}"
            self.position = last
            self.gapped += message["dropped"]
            self.gaps += 1
        elif "." in kind:
            number = message["sequence_number"]
            assert number == self.position + 1, f"{self.name}: {number} after {self.position}"
            self.position = number
            self.delivered += 1

    async def run(self, url: str, stop: asyncio.Event, chance: random.Random) -> None:
        """Connect, read, fail in some way, and again, until `stop`; then read to the end."""
        while not stop.is_set():
            await self._once(url, stop, chance)
        await self._once(url, None, chance)

    async def _once(self, url: str, stop: asyncio.Event | None, chance: random.Random) -> None:
        query = f"?client_id={self.name}"
        if self.first is not None:
            query += f"&epoch={self.epoch}&last_sequence_number={self.position}"
        headers = {"X-Session-Token": TOKEN}
        try:
            async with connect(
                url + query, additional_headers=headers, proxy=None, max_queue=4
            ) as client:
                await self._read(client, stop, chance)
        except (ConnectionClosed, InvalidStatus, OSError, TimeoutError):
            await asyncio.sleep(chance.uniform(0, 0.2))

    async def _read(
        self, client: ClientConnection, stop: asyncio.Event | None, chance: random.Random
    ) -> None:
        until = time.monotonic() + chance.uniform(0.5, 8)
        quiet_s = 2.0  # at the end: silence for this long means that all has arrived
        while stop is None or (time.monotonic() < until and not stop.is_set()):
            try:
                async with asyncio.timeout(quiet_s):
                    self.take(await client.recv())
            except TimeoutError:
                if stop is None:
                    return
        fault = chance.choice(("reset", "stall", "away", "away too long", "close"))
        if fault == "reset":
            client.transport.abort()
        elif fault == "stall":
            await asyncio.sleep(chance.uniform(1, 12))  # past the pong time-out: evicted or behind
        elif fault.startswith("away"):
            await client.close()
            await asyncio.sleep(chance.uniform(0, 1) if fault == "away" else chance.uniform(4, 12))


async def publish(http: httpx.AsyncClient, stop: asyncio.Event) -> int:
    """Publish about EVENTS_A_SECOND in arrays until `stop`; return the last number."""
    last, began, sent = 0, time.monotonic(), 0
    while not stop.is_set():
        event = {"type": "chat.message_sent", "data": {"role": "user", "content": "x" * 200}}
        answer = await http.post("/api/events", json=[event] * 50)
        answer.raise_for_status()
        sent, last = sent + 50, answer.json()[-1]["sequence_number"]
        await asyncio.sleep(max(0.0, began + sent / EVENTS_A_SECOND - time.monotonic()))
    return last


async def start(folder: str) -> tuple[Process, int]:
    """A gateway in a process of its own, and its port."""
    environ = {
        **os.environ,
        "SIGHTLINE_SESSION_TOKEN": TOKEN,
        "SIGHTLINE_STATE_DIR": folder,
        "SIGHTLINE_WORKSPACE": "",
        "SIGHTLINE_MAX_CLIENTS": str(CLIENTS),
        "SIGHTLINE_REPLAY_WINDOW_S": "8",
        "SIGHTLINE_HEARTBEAT_INTERVAL_S": "3",
        "SIGHTLINE_PONG_TIMEOUT_S": "2",
        "SIGHTLINE_LOG_LEVEL": "error",
    }
    command = (
        sys.executable,
        "-m",
        "litestar",
        "--app",
        "sightline:create_app",
        "run",
        "--port",
        "0",
    )
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=PIPE)
    assert process.stdout is not None
    async for line in process.stdout:
        if found := re.search(rb"Serving http://127\.0\.0\.1:(\d+)", line):
            return process, int(found[1])
    raise SystemExit("soak: the gateway did not start; its reason is above")


async def soak(minutes: float, seed: int) -> int:
    """Run, print the sums, and return the exit status: 0 only if every sum is exact."""
    with tempfile.TemporaryDirectory() as folder:
        process, port = await start(str(Path(folder)))
        try:
            return await _soak(minutes, seed, port, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _soak(minutes: float, seed: int, port: int, gateway: psutil.Process) -> int:
    stop = asyncio.Event()
    readers = [Reader(f"client-{number}") for number in range(CLIENTS)]
    url = f"ws://127.0.0.1:{port}/ws"
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"X-Session-Token": TOKEN}, trust_env=False
    ) as http:
        publishing = asyncio.create_task(publish(http, stop))
        reading = [
            asyncio.create_task(reader.run(url, stop, random.Random(f"{seed} {reader.name}")))
            for reader in readers
        ]
        memory = []
        for _ in range(10):
            await asyncio.sleep(minutes * 60 / 10)
            memory.append(gateway.memory_info().rss / MIB)
            print(f"{len(memory)} of 10: {memory[-1]:.0f} MiB, {gateway.num_fds()} descriptors")
        stop.set()
        published = await publishing
        await asyncio.gather(*reading)
    wrong = 0
    for reader in readers:
        owed = published - (reader.first or 0)
        exact = reader.position == published and reader.delivered + reader.gapped == owed
        wrong += not exact
        print(
            f"{reader.name}: {reader.connections} connections, {owed} published ="
            f" {reader.delivered} delivered + {reader.gapped} in {reader.gaps} gaps:"
            f" {'exact' if exact else 'WRONG'}"
        )
    print(
        f"{published} events, seed {seed}; memory {memory[4]:.0f} MiB half way, {memory[-1]:.0f} at the end"
    )
    return 1 if wrong or memory[-1] > 1.2 * memory[4] else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(soak(arguments.minutes, arguments.seed)))


if __name__ == "__main__":
    main()
