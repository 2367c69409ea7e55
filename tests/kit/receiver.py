"""A receiver of webhooks: a real HTTP server in the test's own loop."""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from typing import Any, NamedTuple

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(64, 100))).decode()
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def status(code: int, *headers: str) -> bytes:
    """An answer without a body."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {code} X\r\ncontent-length: 0\r\n{lines}\r\n".encode()


class Received(NamedTuple):
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def is_signed_with(self, secret: str) -> bool:
        """Verify as the specification of Standard Webhooks describes, in code of the test's own."""
        key = base64.b64decode(secret.split("_", 1)[1])
        signed = b".".join(
            [self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode()]
        )
        expected = base64.b64encode(
            hmac.new(key, signed + b"." + self.body, hashlib.sha256).digest()
        )
        given = [one.split(",", 1) for one in self.headers["webhook-signature"].split(" ")]
        return ["v1", expected.decode()] in given


class Receiver:
    """Records what is posted. `answers` are used up first; then each request is answered with 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[bytes] = []
        self.holding: asyncio.Event | None = None  # no answer before it is set
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> "Receiver":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            self._server = None

    def url(self, path: str = "/hook", user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def of(self, type_: str) -> list[dict[str, Any]]:
        """The events of this type that arrived."""
        events = [one.event for one in self.received]
        return [event for event in events if event.get("type") == type_]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while line := (await reader.readline()).decode().strip():
                headers = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.received.append(Received(line, headers, body))
                if self.holding is not None:
                    await self.holding.wait()
                writer.write(self.answers.pop(0) if self.answers else OK)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
