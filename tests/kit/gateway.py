"""A gateway that runs in the test's own loop."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from websockets.asyncio.client import connect

from app.channels.bus import EventBus
from app.channels.publisher import EventPublisher
from app.events import Clock
from app.main import create_app
from app.plugin import plugin_of
from app.server.serve import uvicorn_config
from app.server.sockets import BACKLOG, bind
from app.settings import Settings
from app.state import write_private
from app.ws.registry import ConnectionRegistry
from tests.kit.http import TOKEN, UPGRADE, Answer, Connection, dial, request, rest
from tests.kit.waiting import WATCHDOG_S, until

Start = Callable[..., Any]


class Gateway:
    """A gateway on a real uvicorn server in the test's own loop."""

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
        """Shake hands on a bare socket, and read no more than the answer."""
        lines = [b": ".join(header) for header in (*UPGRADE, *headers)]
        host = host or f"127.0.0.1:{self.port}".encode()
        raw = await dial(self, request(*lines, path=path.encode(), host=host), receive_buffer)
        connection = Connection(raw)
        answer = await connection.head()
        answer.body = connection.data + (b"" if answer.status == 101 else await rest(raw))
        return raw, answer

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


def url(gateway: Gateway) -> str:
    """The address of a gateway."""
    return f"http://127.0.0.1:{gateway.port}"


def name(folder: Path, gateway: Gateway) -> None:
    """Write the address where clients in `folder` look for it."""
    write_private(folder / ".sightline" / "gateway.url", url(gateway))
