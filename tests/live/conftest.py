"""A real uvicorn server in the test's own loop, and clients that speak to it byte by byte."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.channels.bus import EventBus
from app.channels.publisher import EventPublisher
from app.events import Clock
from app.main import create_app
from app.plugin import plugin_of
from app.server.serve import uvicorn_config
from app.server.sockets import BACKLOG, bind
from app.server.websocket import SightlineWebSocketProtocol
from app.settings import Settings
from app.ws.registry import ConnectionRegistry
from tests.waiting import WATCHDOG_S, until

TOKEN = "live-test-token-0123456789"
UPGRADE = (
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
)


async def receive(client: ClientConnection, timeout_s: float = WATCHDOG_S) -> dict[str, Any]:
    """The next message."""
    return json.loads(await asyncio.wait_for(client.recv(), timeout_s))


async def receive_type(client: ClientConnection, type_: str) -> dict[str, Any]:
    """The next message of this type; others are passed over."""
    async with asyncio.timeout(WATCHDOG_S):
        while True:
            message = json.loads(await client.recv())
            if message["type"] == type_:
                return message


async def close_code(client: ClientConnection, timeout_s: float = WATCHDOG_S) -> int | None:
    """Read to the end of the connection and return its close code."""
    async with asyncio.timeout(timeout_s):
        with suppress(ConnectionClosed):
            while True:
                await client.recv()
    return client.close_code


class Answer:
    """The head of an HTTP answer on a raw socket, and for a refusal its body."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }

    @property
    def error(self) -> dict[str, str]:
        error = json.loads(self.body)
        assert set(error) == {"type", "code", "message"}
        assert error["type"] == "error"
        return error


class Gateway:
    """A running gateway."""

    def __init__(
        self, settings: Settings, ws: Any, clock: Clock | None = None, tls: Path | None = None
    ) -> None:
        self.settings = settings
        self.app = create_app(settings, clock)
        self.bus: EventBus = self.app.dependencies["bus"].dependency()
        self.publisher: EventPublisher = self.app.dependencies["publisher"].dependency()
        self.registry: ConnectionRegistry = self.app.dependencies["registry"].dependency()
        self.journal = plugin_of(self.app).gateway.journal
        (self.socket,) = bind("127.0.0.1", 0)  # asyncio leaves Nagle on for create_server's
        self.port: int = self.socket.getsockname()[1]
        files = {} if tls is None else {"certificate": f"{tls}/cert.pem", "key": f"{tls}/key.pem"}
        config = uvicorn_config(self.app, settings, ws=ws, **files)
        self.server = uvicorn.Server(config)
        self.serving: asyncio.Task[None] | None = None
        self.raw: list[socket.socket] = []

    async def start(self) -> None:
        self.serving = asyncio.create_task(self.server.serve([self.socket]))
        await until(lambda: self.server.started or self.serving.done())
        assert not self.serving.done()
        self.socket.listen(BACKLOG)  # as the command does

    async def stop(self, timeout_s: float = WATCHDOG_S) -> float:
        """End as SIGTERM does; return the seconds it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.app.state.begin_drain()
        self.server.should_exit = True
        await asyncio.wait_for(self.serving, timeout_s)
        return loop.time() - began

    async def end(self) -> None:
        for raw in self.raw:
            raw.close()
        if not self.serving.done():
            await self.stop()
        self.socket.close()

    def connect(self, query: str = "", token: str | None = TOKEN, **options: Any) -> connect:
        headers = [("X-Session-Token", token)] if token else []
        headers += options.pop("headers", [])
        return connect(
            f"ws://127.0.0.1:{self.port}/ws{query}",
            additional_headers=headers,
            proxy=None,
            # Unbounded, or a client closing amid a flood waits ten seconds for itself.
            **{"ping_interval": None, "max_queue": None, **options},
        )

    def http(self, **options: Any) -> httpx.AsyncClient:
        options.setdefault("headers", {"X-Session-Token": TOKEN})
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False, **options
        )

    async def open_raw(
        self,
        *headers: tuple[bytes, bytes],
        path: str = "/ws",
        host: bytes | None = None,
        receive_buffer: int | None = None,
    ) -> tuple[socket.socket, Answer]:
        """Shake hands on a bare socket; it reads nothing more than the test asks for."""
        loop = asyncio.get_running_loop()
        raw = socket.socket()
        self.raw.append(raw)
        raw.setblocking(False)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await loop.sock_connect(raw, ("127.0.0.1", self.port))
        lines = [f"GET {path} HTTP/1.1".encode()]
        host = host or f"127.0.0.1:{self.port}".encode()
        lines += [name + b": " + value for name, value in ((b"Host", host), *UPGRADE, *headers)]
        await loop.sock_sendall(raw, b"\r\n".join(lines) + b"\r\n\r\n")
        data = b""
        async with asyncio.timeout(WATCHDOG_S):
            while b"\r\n\r\n" not in data:
                data += (chunk := await loop.sock_recv(raw, 1024))
                assert chunk, data
            if not data.startswith(b"HTTP/1.1 101"):
                while chunk := await loop.sock_recv(raw, 65536):
                    data += chunk
        return raw, Answer(data)

    async def refusal(
        self, *headers: tuple[bytes, bytes], path: str = "/ws", host: bytes | None = None
    ) -> Answer:
        raw, answer = await self.open_raw(*headers, path=path, host=host)
        raw.close()
        return answer

    async def pump(self, expected: Callable[[], int], most: int = 50) -> None:
        """Publish without end, at most so many events ahead of the number that a client expects."""
        while True:
            await until(lambda: self.bus.head - expected() < most)
            await self.publish()
            await asyncio.sleep(0)  # the clients' turn

    async def publish(self, count: int = 1, content: str = "x") -> None:
        for _ in range(count):
            await self.publisher.publish("chat.message_sent", {"role": "user", "content": content})


GOOD = (b"X-Session-Token", TOKEN.encode())
Start = Callable[..., Any]
# uvicorn looks ten times a second whether it is to end: too seldom for hundreds of short servers.
HURRIED = SimpleNamespace(**{**vars(asyncio), "sleep": lambda delay: asyncio.sleep(delay / 20)})


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start a gateway with settings of the test's own."""
    monkeypatch.setattr(uvicorn.server, "asyncio", HURRIED)
    running: list[Gateway] = []

    async def start_one(
        ws: Any = SightlineWebSocketProtocol,
        clock: Clock | None = None,
        tls: Path | None = None,
        **settings: Any,
    ) -> Gateway:
        defaults: dict[str, Any] = {
            "session_token": TOKEN,
            "state_dir": tmp_path / "state",
            "workspace": None,
            "heartbeat_interval_s": 20.0,
            "log_format": "json",
        }
        gateway = Gateway(Settings(**{**defaults, **settings}), ws, clock, tls)
        running.append(gateway)
        await gateway.start()
        return gateway

    yield start_one
    for gateway in running:
        await gateway.end()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cert.pem` and `key.pem`."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("needs openssl for a certificate")
    folder = tmp_path_factory.mktemp("tls")
    make = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run([openssl, *make.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    return await start()
