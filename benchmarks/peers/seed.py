"""The design this project began with: FastAPI; for each client a queue, a task, an encode, a send.

Each client also keeps what it was sent, for its own return: the last hundred events.
"""

import asyncio
from collections import deque
from dataclasses import asdict, dataclass

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.events import Fields, Numbered
from benchmarks.orders import serve_uvicorn

QUEUE_SIZE = 1000
KEPT = 100


@dataclass
class Event:
    type: str
    timestamp: str
    sequence_number: int
    data: Fields
    metadata: Fields


app = FastAPI()
queues: dict[asyncio.Queue[Event], None] = {}
numbered = Numbered()


async def send(socket: WebSocket, queue: asyncio.Queue[Event]) -> None:
    kept: deque[Event] = deque(maxlen=KEPT)
    while True:
        event = await queue.get()
        await socket.send_json(asdict(event))
        kept.append(event)


@app.websocket("/ws")
async def events(socket: WebSocket) -> None:
    await socket.accept()
    queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_SIZE)
    queues[queue] = None
    sending = asyncio.create_task(send(socket, queue))
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        del queues[queue]
        sending.cancel()


async def publish(type_: str, data: Fields, metadata: Fields) -> None:
    event = Event(**numbered.event(type_, data, metadata))
    for queue in queues:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(event)


def main() -> None:
    config = uvicorn.Config(app, port=0, ws_ping_interval=None, log_config=None, access_log=False)
    asyncio.run(serve_uvicorn(config, publish))


if __name__ == "__main__":
    main()
