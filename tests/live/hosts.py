"""Applications with the gateway in them, served on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from litestar import Litestar
from websockets.asyncio.client import connect

from app.plugin import plugin_of
from app.server.serve import uvicorn_config
from app.server.sockets import bind
from app.settings import Settings
from tests.kit.http import TOKEN
from tests.kit.waiting import WATCHDOG_S, until


def settings_in(folder: Path, **settings: Any) -> Settings:
    return Settings(session_token=TOKEN, state_dir=folder / "state", workspace=None, **settings)


class Served:
    """Where an application is served."""

    def __init__(self, app: Litestar, port: int) -> None:
        self.app = app
        self.port = port

    def http(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"X-Session-Token": token} if token else {}
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, trust_env=False
        )

    def connect(self, path: str = "/ws", token: str | None = TOKEN) -> connect:
        headers = {"X-Session-Token": token} if token else {}
        return connect(f"ws://127.0.0.1:{self.port}{path}", additional_headers=headers, proxy=None)


@asynccontextmanager
async def served(app: Litestar, *, stock: bool = False) -> AsyncIterator[Served]:
    """Serve as `litestar run` does, or as any uvicorn does that knows nothing of the gateway."""
    (socket,) = bind("127.0.0.1", 0)
    config = (
        uvicorn.Config(app, log_config=None, ws="websockets-sansio")
        if stock
        else uvicorn_config(app, plugin_of(app).settings)
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([socket]))
    try:
        await until(lambda: server.started or serving.done())
        assert not serving.done()
        yield Served(app, socket.getsockname()[1])
    finally:
        plugin_of(app).gateway.begin_drain()
        server.should_exit = True
        await asyncio.wait_for(serving, WATCHDOG_S)
        socket.close()


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """The address at which a server that knows nothing of the gateway serves `app`."""
    (socket,) = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **options))
    task = asyncio.create_task(server.serve([socket]))
    try:
        await until(lambda: server.started or task.done())
        yield f"127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, WATCHDOG_S)
        socket.close()
