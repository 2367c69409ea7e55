"""Real `nats-server` processes on free loopback ports, with file storage in a folder of the test."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S

BINARY = Path(sys.executable).parent / "nats-server"
READY_S = WATCHDOG_S


class NatsServer:
    """One server; what it stores outlives `kill`."""

    def __init__(self, folder: Path | None, port: int | None = None, *options: str) -> None:
        """`folder` is None where a configuration among the options names one."""
        self.port = port or free_ports(1)[0]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [str(BINARY), "-a", "127.0.0.1", "-p", str(self.port), "-js"]
        self._command += [*options] if folder is None else ["-sd", str(folder), *options]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def ready(self) -> "NatsServer":
        """Return once it greets clients."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "nats-server ended"
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    if probe.recv(4096).startswith(b"INFO"):
                        return self
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("nats-server does not greet")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # it stops a little later

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def nats_cluster(folder: Path) -> list[NatsServer]:
    """Three servers that know each other."""
    ports = free_ports(6)
    clients, routes = ports[:3], ports[3:]
    peers = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    return [
        NatsServer(
            folder / f"n{index}",
            clients[index],
            *("--name", f"n{index}", "--cluster_name", "c", "--routes", peers),
            *("--cluster", f"nats://127.0.0.1:{routes[index]}"),
        )
        for index in range(3)
    ]
