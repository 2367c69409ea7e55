"""The Python client's `history`, with and without asyncio, against a real gateway with a journal."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sightline_client import Event, Gap, Position, history, sync
from sightline_client.errors import RefusedError

from tests.kit.gateway import Gateway, name


def shown(item: Event | Gap) -> Any:
    """The number of an event, the reason of a gap."""
    return item.sequence_number if isinstance(item, Event) else item.reason


async def test_history_reads_across_pages_and_says_how_many_match(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    for number in range(1, 41):
        await gateway.publish(1, "even words" if number % 2 == 0 else "odd words")
    assert [shown(item) async for item in history(limit=7)] == [*range(1, 41)]
    found = history(q="even words", order="desc", limit=3)
    assert [shown(item) async for item in found] == [*range(40, 0, -2)]
    assert found.matches == 20
    both = Position(5, gateway.bus.epoch), Position(9, gateway.bus.epoch)
    assert [shown(item) async for item in history(after=both[0], before=both[1])] == [6, 7, 8]
    past = sync.history(types=["chat.*"], since="1h", limit=11)
    assert await asyncio.to_thread(lambda: [shown(item) for item in past]) == [*range(1, 41)]
    assert past.position == Position(40, gateway.bus.epoch)
    with pytest.raises(RefusedError, match="'soon' is not a time: give ISO 8601"):
        await anext(aiter(history(since="soon")))
