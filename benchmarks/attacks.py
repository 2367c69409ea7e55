"""`make attack`: everything that a stranger can do at once, for some minutes, and what a client notices.

A gateway runs in a process of its own, and attackers without a credential in another. Meanwhile a
logged-in client publishes and receives. Printed are the gateway's memory over time and the time from
publish to receive, first without an attack: on a machine that is busy, that says what is its own.
The exit status is 0 only if memory stays flat and 99 of 100 events, in each part of the run, arrive
within 100 ms.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.queues import Queue
from typing import TypeVar

import httpx
import psutil
from websockets.asyncio.client import connect

MIB = 1024 * 1024
TOKEN = "a-token-for-the-attack"
PARTS = 10  # of the run; a line is printed for each
LIMIT_S = 0.1
FLAT = 1.2  # memory at the end, in relation to that after the first half
FLAT_MIB = 16  # and what allocators may add to that in a short run
WORKERS = 8  # of each kind of attack, one connection each, as fast as they can
HELD = 800  # connections that each kind of waiting keeps open
EVENTS_A_SECOND = 20
QUIET_S = 3.0

LOGIN = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = LOGIN + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PAGES = b"GET /client/sightline.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 16

# Sent first, and then again and again until the gateway hangs up.
FLOODS = {
    "trailers": (CHUNKED + b"0\r\n", b"a:b\r\n" * 10_000),
    "one trailer": (CHUNKED + b"0\r\n", b"a" * 50_000),
    "chunk extensions": (CHUNKED + b"1;", b"a" * 50_000),
    "tiny chunks": (CHUNKED, b"1\r\nx\r\n" * 10_000),
    "endless bodies": (CHUNKED, b"8000\r\n" + b"x" * 0x8000 + b"\r\n"),
    "endless heads": (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n" * 5_000),
    "pipelined requests": (b"", PAGES),
    "no HTTP": (b"\x16\x03\x01", b"\0" * 10_000),
}
# Sent once; then the answer is awaited, and the end.
STORMS = {
    "upgrades": UPGRADE + b"\r\n",
    "upgrades with a wrong token": UPGRADE + b"X-Session-Token: wrong-wrong-wrong\r\n\r\n",
    "streams": b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
}
# Sent once, and then nothing is done.
WAITING = {
    "silence": b"",
    "unfinished heads": LOGIN,
    "unfinished bodies": LOGIN + b"Content-Length: 100\r\n\r\n{",
    "idle streams": b"GET /api/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "unread pages": PAGES,
}


Sent = TypeVar("Sent")


class Attacker:
    """All kinds at once, in this process, until a moment."""

    def __init__(self, port: int, until: float, only: set[str]) -> None:
        self._port = port
        self._only = only
        self._until = until
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        """Attack; every connection is bounded in time, so that this ends, too."""
        work: list[Awaitable[None]] = []
        for name, (first, then) in self._chosen(FLOODS):
            work += [self._again(name, self._flood, first, then) for _ in range(WORKERS)]
        for name, sent in self._chosen(STORMS):
            work += [self._again(name, self._storm, sent) for _ in range(WORKERS)]
        for name, sent in self._chosen(WAITING):
            work += [self._again(name, self._wait, sent) for _ in range(HELD)]
        await asyncio.gather(*work)

    def _chosen(self, kinds: dict[str, Sent]) -> list[tuple[str, Sent]]:
        return [(name, sent) for name, sent in kinds.items() if name in (self._only or kinds)]

    async def _again(self, name: str, attack: Callable[..., Awaitable[None]], *sent: bytes) -> None:
        while time.monotonic() < self._until:
            raw = socket.socket()
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                async with asyncio.timeout(max(0.1, min(20, self._until - time.monotonic()))):
                    loop = asyncio.get_running_loop()
                    await loop.sock_connect(raw, ("127.0.0.1", self._port))
                    await attack(loop, raw, *sent)
            except (OSError, TimeoutError):
                pass
            finally:
                raw.close()
            self.done[name] += 1
            await asyncio.sleep(0)

    async def _flood(
        self, loop: asyncio.AbstractEventLoop, raw: socket.socket, first: bytes, then: bytes
    ) -> None:
        await loop.sock_sendall(raw, first)
        for _ in range(1000):
            await loop.sock_sendall(raw, then)

    async def _storm(
        self, loop: asyncio.AbstractEventLoop, raw: socket.socket, sent: bytes
    ) -> None:
        await loop.sock_sendall(raw, sent)
        while await loop.sock_recv(raw, 65536):
            pass

    async def _wait(self, loop: asyncio.AbstractEventLoop, raw: socket.socket, sent: bytes) -> None:
        await loop.sock_sendall(raw, sent)
        ended = loop.create_future()  # readable at the end, or at an answer that is left unread
        loop.add_reader(raw, lambda: ended.done() or ended.set_result(None))
        try:
            await ended
        finally:
            loop.remove_reader(raw)
        await asyncio.sleep(1)


def attack(port: int, seconds: float, only: set[str], results: "Queue[Counter[str]]") -> None:
    """The attackers' process."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    attacker = Attacker(port, time.monotonic() + seconds, only)
    asyncio.run(attacker.run())
    results.put(attacker.done)


class Client:
    """Logged in: publishes at a steady pace, and measures until each event is here."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.waits: list[float] = []

    async def run(self) -> None:
        """Publish and receive until cancelled; raises where either fails."""
        headers = {"X-Session-Token": TOKEN}
        url = f"127.0.0.1:{self._port}"
        event = {"type": "chat.message_sent", "data": {"role": "user", "content": "still here"}}
        async with (
            connect(f"ws://{url}/ws", additional_headers=headers, proxy=None) as receiving,
            httpx.AsyncClient(base_url=f"http://{url}", headers=headers, trust_env=False) as http,
        ):
            await receiving.recv()  # `connected`
            while True:
                began = time.monotonic()
                publishing = asyncio.create_task(http.post("/api/events", json=event))
                while '"chat.message_sent"' not in str(await receiving.recv()):
                    pass
                self.waits.append(time.monotonic() - began)
                (await publishing).raise_for_status()
                await asyncio.sleep(max(0, began + 1 / EVENTS_A_SECOND - time.monotonic()))

    def take(self) -> list[float]:
        """The waits since the last call, shortest first."""
        waits, self.waits = sorted(self.waits), []
        return waits


def start(folder: str) -> tuple[psutil.Popen, int]:
    """A gateway in a process of its own, and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SIGHTLINE_")},
        "SIGHTLINE_SESSION_TOKEN": TOKEN,
        "SIGHTLINE_STATE_DIR": folder,
        "SIGHTLINE_WORKSPACE": "",
        "SIGHTLINE_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "litestar", "--app", "sightline:create_app", "run"]
    process = psutil.Popen([*command, "--port", str(port)], env=environ, stdout=-3)
    for _ in range(200):
        if process.poll() is None:
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False)
                return process, port
        time.sleep(0.1)
    raise SystemExit("attack: the gateway did not start; its reason is above")


def shown(waits: list[float]) -> str:
    """The figures of one part."""
    half, most = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    return (
        f"{len(waits)} events in {half * 1000:.1f} ms (half), {most * 1000:.1f} ms (99 of 100),"
        f" {waits[-1] * 1000:.1f} ms (all)"
    )


async def watch(
    seconds: float, gateway: psutil.Popen, port: int, attackers: multiprocessing.Process
) -> bool:
    """Print a line for each part of the run; whether memory and waits kept to their limits."""
    client = Client(port)
    running = asyncio.create_task(client.run())
    await asyncio.wait({running}, timeout=QUIET_S)
    print(f"before: {gateway.memory_info().rss / MIB:.0f} MiB, {shown(client.take())}")
    attackers.start()
    memory, in_time = [], True
    for part in range(1, PARTS + 1):
        await asyncio.wait({running}, timeout=seconds / PARTS)
        if running.done():
            running.result()
        memory.append(gateway.memory_info().rss / MIB)
        waits = client.take()
        if not waits:
            print(f"{part} of {PARTS}: no event arrived")
            in_time = False
            continue
        in_time = in_time and waits[len(waits) * 99 // 100] < LIMIT_S
        held = f"{memory[-1]:.0f} MiB, {gateway.num_fds()} descriptors"
        print(f"{part} of {PARTS}: {held}, {shown(waits)}", flush=True)
    running.cancel()
    half = memory[PARTS // 2 - 1]
    return in_time and memory[-1] < max(FLAT * half, half + FLAT_MIB)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    kinds = [*FLOODS, *STORMS, *WAITING]
    parser.add_argument("--only", action="append", choices=kinds, default=[])
    arguments = parser.parse_args()
    seconds, only = arguments.minutes * 60, set(arguments.only)
    with tempfile.TemporaryDirectory() as folder:
        gateway, port = start(folder)
        results: Queue[Counter[str]] = multiprocessing.Queue()
        attackers = multiprocessing.Process(target=attack, args=(port, seconds, only, results))
        try:
            kept = asyncio.run(watch(seconds, gateway, port, attackers))
            for name, count in sorted(results.get(timeout=60).items()):
                print(f"{name}: {count} connections")
        finally:
            if attackers.pid is not None:
                attackers.kill()
                attackers.join()
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(20)
    print("memory stayed flat and events in time" if kept else "a limit was NOT kept")
    raise SystemExit(0 if kept else 1)


if __name__ == "__main__":
    main()
