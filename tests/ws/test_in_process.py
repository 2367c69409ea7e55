"""The whole gateway under an in-process ASGI client: no server, no socket, the same behaviour."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_ws import AsyncWebSocketSession, WebSocketUpgradeError, aconnect_ws
from httpx_ws.transport import ASGIWebSocketTransport
from litestar import Litestar

from app.channels.bus import EventBus
from app.channels.publisher import EventPublisher
from app.main import create_app
from app.settings import Settings
from app.ws.registry import ConnectionRegistry
from tests.kit.waiting import WATCHDOG_S, until

TOKEN = "in-process-token-0123456789"
WHERE = "http://127.0.0.1:3000/ws"


class InProcess:
    """A gateway whose lifespan runs, and a client that calls it directly."""

    def __init__(self, app: Litestar, http: httpx.AsyncClient) -> None:
        self.bus: EventBus = app.dependencies["bus"].dependency()
        self.publisher: EventPublisher = app.dependencies["publisher"].dependency()
        self.registry: ConnectionRegistry = app.dependencies["registry"].dependency()
        self.http = http

    def connect(self, **params: Any) -> Any:
        return aconnect_ws(WHERE, self.http, params=params, keepalive_ping_interval_seconds=None)

    async def publish(self) -> None:
        await self.publisher.publish("system.error", {"message": "m"})


@asynccontextmanager
async def in_process(folder: Path, **settings: Any) -> AsyncIterator[InProcess]:
    app = create_app(
        Settings(
            session_token=TOKEN, state_dir=folder, workspace=None, log_format="json", **settings
        )
    )

    async def with_denial(scope: Any, receive: Any, send: Any) -> None:
        # The transport knows how to show a refusal's status, but does not say so by itself.
        scope.setdefault("extensions", {})["websocket.http.response"] = {}
        await app(scope, receive, send)

    transport = ASGIWebSocketTransport(with_denial)
    headers = {"X-Session-Token": TOKEN}
    async with app.lifespan(), httpx.AsyncClient(transport=transport, headers=headers) as http:
        yield InProcess(app, http)


async def receive(client: AsyncWebSocketSession) -> dict[str, Any]:
    return await client.receive_json(timeout=WATCHDOG_S)


async def test_connected_comes_first_then_what_is_published(tmp_path: Path) -> None:
    async with in_process(tmp_path) as gateway:
        async with gateway.connect(types="system.*", client_id="me") as client:
            connected = await receive(client)
            assert (connected["type"], connected["client_id"]) == ("connected", "me")
            await gateway.publish()
            event = await receive(client)
            assert (event["type"], event["sequence_number"]) == ("system.error", 1)
            await client.send_json({"type": "subscribe", "types": ["git.*"], "id": 7})
            subscribed = await receive(client)
            assert (subscribed["types"], subscribed["id"]) == (["system.*", "git.*"], 7)
        await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


async def test_a_client_resumes_after_its_position(tmp_path: Path) -> None:
    async with in_process(tmp_path) as gateway:
        for _ in range(3):
            await gateway.publish()
        position = {"epoch": gateway.bus.epoch, "last_sequence_number": 1}
        async with gateway.connect(**position) as client:
            connected = await receive(client)
            assert (connected["resumed"], connected["replayed"]) == (True, 2)
            await gateway.publish()
            assert [(await receive(client))["sequence_number"] for _ in range(3)] == [2, 3, 4]


async def test_a_refusal_has_its_status_and_reason(tmp_path: Path) -> None:
    async with in_process(tmp_path, max_clients=1) as gateway, gateway.connect():
        for headers, params, status, code in (
            ({"Origin": "http://evil.example"}, {}, 403, "forbidden"),
            ({"X-Session-Token": "wrong"}, {}, 401, "unauthorized"),
            ({}, {"types": "Bad"}, 400, "invalid_pattern"),
            ({}, {}, 503, "unavailable"),
        ):
            with pytest.raises(WebSocketUpgradeError) as caught:
                async with aconnect_ws(WHERE, gateway.http, headers=headers, params=params):
                    pass
            assert caught.value.response.status_code == status
            assert caught.value.response.json()["code"] == code
