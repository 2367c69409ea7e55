"""Hooks by HTTP, and what a gateway made of them."""

from typing import Any

from tests.kit.gateway import Gateway

ROUTES = {
    "/hooks/claude-code": "/api/hooks/claude-code",
    "/hooks/command": "/api/hooks/claude-code",
    "/hooks/codex": "/api/hooks/codex",
}


async def retained(gateway: Gateway) -> list[dict[str, Any]]:
    """The events that a gateway keeps."""
    async with gateway.http() as http:
        return list((await http.get("/api/events", params={"limit": 1000})).json()["events"])
