"""Litestar's own `ChannelsPlugin`, in-memory backend, the route handler that it makes itself."""

import asyncio

import uvicorn
from litestar import Litestar
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend

from benchmarks.events import Fields, Numbered
from benchmarks.orders import serve_uvicorn

channels = ChannelsPlugin(MemoryChannelsBackend(), channels=["ws"], create_ws_route_handlers=True)
app = Litestar(plugins=[channels], openapi_config=None, logging_config=None)
numbered = Numbered()


async def publish(type_: str, data: Fields, metadata: Fields) -> None:
    await channels.wait_published(numbered.event(type_, data, metadata), "ws")


def main() -> None:
    config = uvicorn.Config(app, port=0, ws_ping_interval=None, log_config=None, access_log=False)
    asyncio.run(serve_uvicorn(config, publish))


if __name__ == "__main__":
    main()
