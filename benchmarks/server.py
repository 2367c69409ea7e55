"""One server process: starts it on its core, gives orders, reads its counters."""

import mmap
import os
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.events import Answer, Order
from benchmarks.orders import PROGRESS, PROGRESS_BYTES
from benchmarks.peers import ROOT, command

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, READER_CORE = CORES[0], CORES[-1]
START_S = 20.0
QUIET_CPU_S = 0.002
QUIET_FOR_S = 0.05
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A peer's process, pinned to the servers' core."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._state = tempfile.TemporaryDirectory(prefix="benchmark-")
        progress = Path(self._state.name) / PROGRESS
        progress.write_bytes(bytes(PROGRESS_BYTES))
        with progress.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), PROGRESS_BYTES)
        # [events of the order that the slowest client has read], shared with the process
        self.read = memoryview(memory).cast("I")
        self._process = subprocess.Popen(
            [*command(peer), self._state.name, *peer.split()[1:]],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
        self.port = int(msgspec.json.decode(self._line())["port"])
        self.answers = self._process.stdout.fileno()  # readable when an answer is there

    def _line(self) -> bytes:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks: the server process of {self.peer!r} ended")
        return line

    def order(self, order: Order) -> None:
        """Begin to publish."""
        self.read[0] = 0
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def answer(self) -> Answer:
        """The answer to the last order; waits for it."""
        return msgspec.json.decode(self._line(), type=Answer)

    def cpu_s(self) -> float:
        """CPU seconds of all threads so far."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def kernel_s(self) -> float:
        """Those of them in the kernel, to the nearest tick."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[12]) * _TICK_S

    def rss_bytes(self) -> int:
        """Resident memory."""
        statm = Path(f"/proc/{self._process.pid}/statm").read_text()
        return int(statm.split()[1]) * _PAGE_BYTES

    def settle(self, timeout_s: float = 10.0) -> None:
        """Wait until the process is idle: it has taken up or buried what was asked of it."""
        deadline = time.monotonic() + timeout_s
        before = self.cpu_s()
        while time.monotonic() < deadline:
            time.sleep(QUIET_FOR_S)
            if (now := self.cpu_s()) - before < QUIET_CPU_S:
                return
            before = now

    def kill(self) -> None:
        """End it at once; nothing of a benchmark is worth a shutdown."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._state.cleanup()
