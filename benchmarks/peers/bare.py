"""A bare Litestar route that decodes what is posted and appends it: no more than the framework costs."""

import asyncio
from collections import deque

import msgspec
import uvicorn
from litestar import Litestar, post

from benchmarks.events import Fields
from benchmarks.orders import serve_uvicorn

KEPT = 2000  # as many as the gateway retains by default


class Event(msgspec.Struct):
    type: str
    data: Fields
    metadata: Fields = {}


class Taken(msgspec.Struct):
    sequence_number: int


events: deque[Event] = deque(maxlen=KEPT)
taken = 0


def take(event: Event) -> Taken:
    global taken
    taken += 1
    events.append(event)
    return Taken(taken)


@post("/api/events")
async def publish_events(data: Event | list[Event]) -> Taken | list[Taken]:
    return [take(event) for event in data] if isinstance(data, list) else take(data)


async def publish(type_: str, data: Fields, metadata: Fields) -> None:
    take(Event(type_, data, metadata))


def main() -> None:
    app = Litestar([publish_events], openapi_config=None, logging_config=None)
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False)
    asyncio.run(serve_uvicorn(config, publish))


if __name__ == "__main__":
    main()
