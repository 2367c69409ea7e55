"""`python -m benchmarks.hooks`: how long agents wait for the answers to their hooks.

A gateway with a journal runs on one core. From another, 100 sessions post recorded hooks, 500 a second
in all: first spread evenly, then all sessions at once, five times a second. Each is run with
connections that are kept, as Claude Code does, and with a new one for each hook, as `curl` does for
Codex. A wait counts from the moment at which the hook was due, so a late client hides nothing. The
exit status is 0 if 99 of 100 answers take less than 50 ms in every run and all events arrive.
"""

import argparse
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from itertools import cycle
from pathlib import Path

from benchmarks.server import READER_CORE, SERVER_CORE

TOKEN = "a-token-for-the-benchmark"
RECORDINGS = Path(__file__).parent.parent / "tests/recordings"
LIMIT_MS = 50.0
START_S = 20.0
Wait = tuple[float, int]  # milliseconds, and the status of the answer


def requests(sessions: int) -> list[list[bytes]]:
    """For each session, its hooks as HTTP requests. The sessions are recorded ones, renamed."""
    recorded = []
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        lines = map(json.loads, path.read_text().splitlines())
        hooks = [
            line["body"] for line in lines if line["at"] == "hook" and "codex" not in line["path"]
        ]
        if len(hooks) > 3:
            recorded.append(hooks)
    found = []
    for number, hooks in zip(range(sessions), cycle(recorded), strict=False):
        named = [{**hook, "session_id": f"session-{number}"} for hook in hooks]
        found.append([_request(json.dumps(hook).encode()) for hook in named])
    return found


def _request(body: bytes) -> bytes:
    head = (
        "POST /api/hooks/claude-code HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Session:
    """The hooks of one agent, one after the other: the next waits for the answer to the one before."""

    def __init__(self, port: int, hooks: list[bytes], fresh: bool) -> None:
        self._port = port
        self._hooks = cycle(hooks)
        self._fresh = fresh
        self.socket = None if fresh else self._connect()
        self.dues: deque[float] = deque()  # the first one is under way

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def send(self, selector: selectors.BaseSelector) -> None:
        if self.socket is None:
            self.socket = self._connect()
        selector.register(self.socket, selectors.EVENT_READ, self)
        self.socket.sendall(next(self._hooks))

    def receive(self, selector: selectors.BaseSelector) -> Wait:
        assert self.socket is not None
        answer = self.socket.recv(65536)
        waited_ms = 1000 * (time.perf_counter() - self.dues.popleft())
        selector.unregister(self.socket)
        if self._fresh:
            self.close()
        if self.dues:
            self.send(selector)
        return waited_ms, int(answer[9:12] or 0)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def measure(
    port: int, hooks: list[list[bytes]], rate: float, seconds: float, *, fresh: bool, burst: bool
) -> list[Wait]:
    """The waits of `rate` hooks a second, taken in turn by all sessions."""
    sessions = [Session(port, own, fresh) for own in hooks]
    every = len(sessions) / rate
    began = time.perf_counter() + 0.1
    plan = deque(
        (began + turn * every + (0 if burst else index / rate), session)
        for turn in range(int(seconds / every))
        for index, session in enumerate(sessions)
    )
    waits: list[Wait] = []
    gc.disable()
    with selectors.DefaultSelector() as selector:
        while plan or selector.get_map():
            while plan and plan[0][0] <= time.perf_counter():
                due, session = plan.popleft()
                session.dues.append(due)
                if len(session.dues) == 1:
                    session.send(selector)
            wait_s = plan[0][0] - time.perf_counter() if plan else START_S
            for key, _ in selector.select(max(0.0, wait_s)):
                waits.append(key.data.receive(selector))
    gc.enable()
    for session in sessions:
        session.close()
    return waits


def start(folder: str) -> tuple["subprocess.Popen[bytes]", int]:
    """A gateway on its core, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    keep = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE")}
    process = subprocess.Popen(
        [Path(sys.executable).with_name("sightline"), "run", "--port", str(port)],
        cwd=folder,
        env={**keep, "SIGHTLINE_SESSION_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    process.kill()
    raise SystemExit(f"benchmarks.hooks: no gateway answered at port {port} within {START_S:g} s")


def mark(port: int) -> int:
    """Publish an event of our own: its number counts those before it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/events",
        b'{"type":"system.error","data":{"message":"mark"}}',
        {"X-Session-Token": TOKEN, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=START_S) as answer:
        return int(json.load(answer)["sequence_number"])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rate", type=float, default=500, help="hooks a second, all together")
    options.add_argument("--sessions", type=int, default=100)
    options.add_argument("--seconds", type=float, default=10, help="of each of the four runs")
    given = options.parse_args()
    os.sched_setaffinity(0, {READER_CORE})
    hooks = requests(given.sessions)
    sizes = sorted(len(request) for own in hooks for request in own)
    print(
        f"{given.rate:g} hooks/s of {given.sessions} sessions, {sizes[len(sizes) // 2]} bytes (median)"
    )
    print(f"{'':28}{'hooks':>7}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}{'CPU':>6}")
    good = True
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        process, port = start(folder)
        try:
            for fresh in (False, True):
                for burst in (False, True):
                    before, cpu, began = mark(port), cpu_s(process.pid), time.perf_counter()
                    waits = measure(
                        port, hooks, given.rate, given.seconds, fresh=fresh, burst=burst
                    )
                    share = (cpu_s(process.pid) - cpu) / (time.perf_counter() - began)
                    times = sorted(wait for wait, _ in waits)
                    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
                    # The gateway adds an alarm for each session that fails.
                    whole = mark(port) - before - 1 >= len(waits)
                    good &= whole and p99 < LIMIT_MS and {status for _, status in waits} == {204}
                    name = f"{'all at once' if burst else 'spread'}, {'new' if fresh else 'kept'} connections"
                    print(
                        f"{name:28}{len(waits):7}{p50:8.1f}{p99:8.1f}{times[-1]:8.1f}{share:6.0%}"
                        + ("" if whole else "  events are missing")
                    )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_S)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
