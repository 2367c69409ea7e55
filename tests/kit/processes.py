"""Processes as a user starts them, each ended with its test, and killed if it must be."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect

from tests.kit.http import TOKEN
from tests.kit.waiting import WATCHDOG_S, ticks, until

ROOT = Path(__file__).parents[2]
PATIENCE_S = WATCHDOG_S
PIPE = asyncio.subprocess.PIPE
HEADERS = {"X-Session-Token": TOKEN}
GATEWAY = "sightline:create_app"


def free_ports(count: int) -> list[int]:
    """So many different ports of the loopback address that were free a moment ago."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def free_port() -> int:
    """A port of the loopback address that was free a moment ago."""
    return free_ports(1)[0]


def environment(**more: str) -> dict[str, str]:
    """The environment without settings of the gateway, with the checkout to import from."""
    ours = ("SIGHTLINE_", "LITESTAR", "UVICORN_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def running(command: list[str], folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose output can be read line by line; what a shell has started ends with it."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(4 * PATIENCE_S, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        watchdog.cancel()
        assert process.stdout is not None
        process.stdout.close()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The next line of output that holds `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"the process ended without {text!r}")


class Run:
    """A running server: `said` is its output so far, unless that goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.said = ""
        self.info = psutil.Process(process.pid)
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        if self.process.stdout is not None:
            async for line in self.process.stdout:
                self.said += line.decode()

    async def says(self, *words: str) -> None:
        """Return once the output holds all these words."""
        await until(lambda: all(word in self.said for word in words), PATIENCE_S)

    async def ended(self, timeout_s: float = WATCHDOG_S) -> int | None:
        """The exit status, once all output is read."""
        async with asyncio.timeout(timeout_s):
            await self._reading
            return await self.process.wait()

    def connect(self, query: str = "", **options: Any) -> connect:
        """A WebSocket that shows the token."""
        url = f"ws://127.0.0.1:{self.port}/ws{query}"
        return connect(url, additional_headers=HEADERS, proxy=None, **options)

    async def connected(self, query: str = "") -> ClientConnection:
        """A client, as soon as the gateway accepts it."""
        async with asyncio.timeout(WATCHDOG_S):
            async for _ in ticks(0.05):
                assert self.process.returncode is None
                with suppress(OSError, TimeoutError):
                    return await self.connect(query, open_timeout=2)
        raise AssertionError

    def http(self) -> httpx.AsyncClient:
        """A client that shows the token."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=HEADERS, trust_env=False
        )

    def dial(self, sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
        """A connection on which only `sent` has been sent, and nothing read."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect(("127.0.0.1", self.port))
        raw.sendall(sent)
        return raw


@asynccontextmanager
async def serving_process(
    folder: Path, port: int, *command: str, **options: Any
) -> AsyncIterator[Run]:
    """A server as it is started by hand; `options` are those of a process, `env` is added."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment(**{"SIGHTLINE_SESSION_TOKEN": TOKEN, **options.pop("env", {})}),
        **{"stdout": PIPE, "stderr": asyncio.subprocess.STDOUT, **options},
    )
    run = Run(process, port)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.kill()
        await run.ended()


@asynccontextmanager
async def litestar_run(
    folder: Path,
    port: int | None = None,
    app: str = GATEWAY,
    words: tuple[str, ...] = (),
    **options: Any,
) -> AsyncIterator[Run]:
    """`litestar run` in `folder`, on a free port unless one is named."""
    port = port or free_port()
    command = (sys.executable, "-m", "litestar", "--app", app, "run", "--port", str(port), *words)
    async with serving_process(folder, port, *command, **options) as run:
        yield run


@asynccontextmanager
async def quiet_run(folder: Path, **options: Any) -> AsyncIterator[Run]:
    """`litestar run` that watches no folder; its output is dropped."""
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "env": {"SIGHTLINE_WORKSPACE": ""}}
    async with litestar_run(folder, **{**quiet, **options}) as run:
        yield run


async def litestar(
    folder: Path, *words: str, stdout: int = PIPE, **environ: str
) -> asyncio.subprocess.Process:
    """Start a command of `litestar` for the gateway."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "litestar", "--app", GATEWAY, *words),
        cwd=folder,
        env=environment(SIGHTLINE_SESSION_TOKEN=TOKEN, **environ),
        stdout=stdout,
        stderr=PIPE,
    )


async def said_by(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Output and errors of a command, at its end."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return (out or b"").decode(), err.decode()
