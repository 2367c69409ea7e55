"""`websockets.broadcast` on that library's own asyncio server."""

import asyncio

import msgspec
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.events import Fields, Numbered
from benchmarks.orders import Orders

clients: dict[ServerConnection, None] = {}
numbered = Numbered()


async def events(client: ServerConnection) -> None:
    clients[client] = None
    try:
        await client.wait_closed()
    finally:
        del clients[client]


async def publish(type_: str, data: Fields, metadata: Fields) -> None:
    event = numbered.event(type_, data, metadata)
    broadcast(clients, msgspec.json.encode(event).decode())


async def main() -> None:
    async with serve(events, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        await Orders(publish).carry_out(next(iter(server.sockets)).getsockname()[1])


if __name__ == "__main__":
    asyncio.run(main())
