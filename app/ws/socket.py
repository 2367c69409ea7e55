"""`Socket`: one WebSocket as ASGI messages, the same under every server."""

from litestar.types import Receive, Send


class DisconnectedError(OSError):
    """The client has disconnected. Servers raise another `OSError` for it."""


class Socket:
    """The ASGI messages of one WebSocket, after its upgrade."""

    __slots__ = ("_disconnected", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._disconnected = False

    async def accept(self, subprotocol: str | None) -> None:
        """Accept the upgrade. Raises `DisconnectedError`."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            raise DisconnectedError
        try:
            await self._send(
                {"type": "websocket.accept", "subprotocol": subprotocol, "headers": []}
            )
        except OSError as error:
            raise DisconnectedError from error

    async def receive(self) -> str:
        """The next message; empty for a binary one. Raises `DisconnectedError` after the last."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._disconnected = True
            raise DisconnectedError
        return message.get("text") or ""

    async def send(self, text: str) -> None:
        """Send a message. Raises an `OSError` if the client has disconnected."""
        if self._disconnected:
            raise DisconnectedError
        await self._send({"type": "websocket.send", "bytes": None, "text": text})

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame. Raises an `OSError` if the client has disconnected."""
        if self._disconnected:
            raise DisconnectedError
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
