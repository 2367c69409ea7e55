"""A client of `GET /api/events/stream` that reads byte by byte."""

import json
import re
from typing import Any

from tests.kit.http import GOOD, Answer, Connection, Served, dial, request

BLOCK = re.compile(rb"id: ([A-Za-z0-9._-]{1,64}):([0-9]+)\ndata: (\{.*\})")
Header = tuple[bytes, bytes]


class Reader(Connection):
    """One request on a bare socket, and what was received of its answer."""

    answer: Answer
    _text = b""

    async def head(self) -> Answer:
        """The head; of a refusal the body too."""
        self.answer = await super().head()
        if self.answer.status != 200:
            length = int(self.answer.headers["content-length"])
            self.answer.body = await self.exactly(length)
        return self.answer

    async def block(self) -> tuple[str, dict[str, Any]]:
        """The id and the message of the next block."""
        while b"\n\n" not in self._text:
            if not await self._chunk():
                raise EOFError
        block, _, self._text = self._text.partition(b"\n\n")
        found = BLOCK.fullmatch(block)
        assert found, block
        return f"{found[1].decode()}:{found[2].decode()}", json.loads(found[3])

    async def blocks(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        return [await self.block() for _ in range(count)]

    async def end(self) -> None:
        """Read to the end that HTTP says, not the one that a lost connection makes."""
        while await self._chunk():
            pass

    async def _chunk(self) -> bool:
        size = int(await self.until(b"\r\n"), 16)
        self._text += (await self.exactly(size + 2))[:size]
        return size > 0


async def ask(
    gateway: Served, *headers: Header, query: str = "", receive_buffer: int | None = None
) -> Reader:
    """Ask for the stream and read nothing."""
    lines = [b": ".join(header) for header in headers]
    sent = request(*lines, path=f"/api/events/stream{query}".encode())
    return Reader(await dial(gateway, sent, receive_buffer))


async def listen(gateway: Served, query: str = "", last_event_id: str | None = None) -> Reader:
    """A client that the gateway accepted."""
    resume = () if last_event_id is None else ((b"Last-Event-ID", last_event_id.encode()),)
    reader = await ask(gateway, GOOD, *resume, query=query)
    assert (await reader.head()).status == 200
    return reader
