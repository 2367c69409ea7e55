"""Chat messages that are posted, and the numbers under which pages give them back."""

from typing import Any

import httpx

EVENT = {"type": "chat.message_sent", "data": {"role": "user", "content": "hello"}}


async def post(http: httpx.AsyncClient, content: str = "hello") -> httpx.Response:
    event = {**EVENT, "data": {"role": "user", "content": content}}
    return await http.post("/api/events", json=event)


def numbers(page: dict[str, Any]) -> list[int]:
    return [event["sequence_number"] for event in page["events"]]
