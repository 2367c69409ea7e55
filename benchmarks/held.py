"""`python -m benchmarks.held`: how long one request holds the event loop, while all others wait.

The complete gateway without a journal runs in this process, which measures the longest turn of its
loop, in CPU time. Another process sends one request after the other: bodies of 4 MiB that are
refused, an array of 1,000 events, resumes and pages while 100,000 events are retained. Each figure
is the median of the runs; one more run of each comes first, to warm up.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import uvicorn

from app.main import create_app
from app.server.serve import uvicorn_config
from app.settings import Settings
from benchmarks.peers import TOKEN
from benchmarks.server import READER_CORE, SERVER_CORE
from benchmarks.shapes import KB, TYPE, nested

BODY_BYTES = 4 * KB * KB
RETAINED = 100_000
BEHIND = 100  # events that a resume or a page reads
JSON = "Content-Type: application/json\r\n"
# Sends the request in a file on one connection; prints the seconds until its answer, and the status.
CLIENT = """
import socket, sys, time
sent = open(sys.argv[2], "rb").read()
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as line:
    began = time.perf_counter()
    line.sendall(sent)
    answer = line.recv(65536)
    print(time.perf_counter() - began, answer.split(b" ", 2)[1].decode(), flush=True)
    line.shutdown(socket.SHUT_WR)
    while line.recv(65536):
        pass
"""


def filled(piece: bytes, begin: bytes, end: bytes) -> bytes:
    """JSON of just under 4 MiB, of as many pieces as fit."""
    count = (BODY_BYTES - len(begin) - len(end)) // (len(piece) + 1)
    return begin + b",".join([piece] * count) + end


def bodies() -> dict[str, bytes]:
    """The bodies of posts by name; each but the last is refused."""
    event = b'{"type":"%b","data":{"a":' % TYPE.encode()
    one = json.dumps({"type": TYPE, "data": nested(KB), "metadata": {"source": "shop"}})
    return {
        "4 MiB, one event of small objects": filled(b'{"a":1}', event + b"[", b"]}}"),
        "4 MiB, one event of numbers": filled(b"1", event + b"[", b"]}}"),
        "4 MiB, one event of deep arrays": filled(b"[" * 200 + b"]" * 200, event + b"[", b"]}}"),
        "4 MiB, one long string": event + b'"' + b"x" * (BODY_BYTES - 100) + b'"}}',
        "4 MiB, an array of empty objects": filled(b"{}", b"[", b"]"),
        "4 MiB, an array of unknown types": filled(b'{"type":"no.such"}', b"[", b"]"),
        "4 MiB, cut off": filled(b'{"a":1}', event + b"[", b""),
        "1,000 events of 1 KB, accepted": f"[{','.join([one] * 1000)}]".encode(),
    }


def post(body: bytes) -> bytes:
    return request("POST", "/api/events", f"{JSON}Content-Length: {len(body)}\r\n") + body


def request(method: str, target: str, more: str = "") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Session-Token: {TOKEN}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode()


def upgrade(target: str) -> bytes:
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Session-Token: {TOKEN}\r\n{key}"
    return f"{head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()


class Turns:
    """Watches the loop: the longest of its turns, in CPU time."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last = time.thread_time()
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        self._loop.call_soon(self._turn)


async def asked(port: int, sent: Path, turns: Turns) -> tuple[float, float, str]:
    """Send a request; return the longest turn, the wait for the answer (seconds), and the status."""
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, str(port), str(sent)),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {READER_CORE}),
    )
    turns.longest_s = 0.0
    answer, _ = await client.communicate()
    wait_s, status = answer.decode().split()
    return turns.longest_s, float(wait_s), status


async def main(runs: int, retained: int) -> None:
    """Print the table."""
    os.sched_setaffinity(0, {SERVER_CORE})
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(
            session_token=TOKEN,
            state_dir=Path(state),
            workspace=None,
            extra_namespaces=("bench",),
            log_level="critical",
            journal="",
            replay_window_s=3600,
            replay_max_events=retained,
            replay_max_bytes=KB**3,
        )
        app = create_app(settings)
        server = uvicorn.Server(uvicorn_config(app, settings, port=0))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        publish = app.dependencies["publisher"].dependency().publish
        data = nested(KB)
        for _ in range(retained):
            head = (await publish(TYPE, data)).sequence_number
        gc.collect()

        turns, file = Turns(), Path(state) / "request"
        port = server.servers[0].sockets[0].getsockname()[1]

        async def show(name: str, sent: bytes) -> None:
            """Print the medians of one kind of request."""
            file.write_bytes(sent)
            found = [await asked(port, file, turns) for _ in range(runs + 1)][1:]
            turn_ms, wait_ms = (1000 * median(one[index] for one in found) for index in (0, 1))
            print(f"{name:42}{turn_ms:16.2f}{wait_ms:12.2f}{found[0][2]:>8}")

        print(f"{'':42}{'longest turn, ms':>16}{'answer, ms':>12}{'status':>8}")
        for name, body in bodies().items():
            await show(name, post(body))
        since = head + (runs + 1) * 1000 - BEHIND  # with the accepted arrays
        of_all = f"of {BEHIND} events of {retained:,}"
        await show(f"a resume {of_all}", upgrade(f"/ws?last_sequence_number={since}"))
        await show(f"a page {of_all}", request("GET", f"/api/events?after={since}"))
        server.should_exit = True
        await serving


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--retained", type=int, default=RETAINED)
    given = options.parse_args()
    asyncio.run(main(given.runs, given.retained))
