"""The check of uvicorn's internals before the first connection."""

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.server.internals import use_stock_if_incompatible
from app.server.websocket import SightlineWebSocketProtocol


def config() -> uvicorn.Config:
    made = uvicorn.Config("sightline:create_app", ws=SightlineWebSocketProtocol, log_config=None)
    made.load()
    return made


async def test_the_locked_uvicorn_fits() -> None:
    made = config()
    use_stock_if_incompatible(made)
    assert made.ws_protocol_class is SightlineWebSocketProtocol


async def test_a_uvicorn_without_what_is_used_serves_by_its_own_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = config()
    monkeypatch.delattr(WebSocketsSansIOProtocol, "schedule_ping")
    use_stock_if_incompatible(made)
    assert made.ws_protocol_class is WebSocketsSansIOProtocol
