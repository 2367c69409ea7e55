"""The Python client's `history` and `backfill`, against real gateways with a journal."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sightline_client import Event, Gap, Position, connect, history, sync
from sightline_client.errors import RefusedError

from tests.kit.gateway import Gateway, Start, name
from tests.kit.waiting import WATCHDOG_S

SMALL = {"replay_max_events": 30, "replay_limit": 10}


def shown(item: Event | Gap) -> Any:
    """The number of an event, the reason of a gap."""
    return item.sequence_number if isinstance(item, Event) else item.reason


async def items(stream: Any, count: int) -> list[Any]:
    async with asyncio.timeout(WATCHDOG_S):
        return [shown(await anext(stream)) for _ in range(count)]


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


async def test_a_position_is_backfilled_beyond_what_is_retained(folder: Path, start: Start) -> None:
    gateway = await start(**SMALL)
    name(folder, gateway)
    await gateway.publish(100)
    position = Position(5, gateway.bus.epoch)
    async with connect(since=position) as stream:
        assert await items(stream, 3) == ["expired", "replay_limit", 91]
    async with connect(since=position, backfill=True) as stream:
        assert await items(stream, 60) == [*range(6, 66)]
        await gateway.publish(20)
        assert await items(stream, 55) == [*range(66, 121)]

    def listen() -> list[Any]:
        with sync.connect(since=position, backfill=True) as stream:
            return [shown(next(stream)) for _ in range(115)]

    assert await asyncio.to_thread(listen) == [*range(6, 121)]


@pytest.mark.slow
async def test_over_a_clean_restart_and_a_crash_each_event_comes_once_and_a_new_epoch_is_a_gap(
    folder: Path, start: Start
) -> None:
    first: Gateway = await start(**SMALL)
    name(folder, first)
    async with connect(backfill=True) as stream:
        await first.publish(5)
        assert await items(stream, 3) == [1, 2, 3]
        await first.stop()
        second = await start(**SMALL)
        await second.publish(50)  # more than is retained
        name(folder, second)
        assert await items(stream, 52) == [*range(4, 56)]
        await second.stop()
        (second.settings.state_dir / "journal.db.clean").unlink()  # as after a crash
        third = await start(**SMALL)
        assert third.bus.epoch != second.bus.epoch
        await third.publish(45)
        name(folder, third)
        assert await items(stream, 46) == ["epoch_changed", *range(1, 46)]
        kept = Position(10, second.bus.epoch)
    async with connect(since=kept, backfill=True) as stream:
        expected = [*range(11, 56), "epoch_changed", *range(1, 46)]
        assert await items(stream, len(expected)) == expected
    whole = [*range(1, 56), "epoch_changed", *range(1, 46)]
    assert [shown(item) async for item in history(limit=20)] == whole


async def test_without_a_journal_what_is_lost_stays_a_gap(folder: Path, start: Start) -> None:
    gateway = await start(**SMALL, journal="")
    name(folder, gateway)
    await gateway.publish(100)
    position = Position(5, gateway.bus.epoch)
    async with connect(since=position, backfill=True) as stream:
        assert await items(stream, 31) == ["expired", *range(71, 101)]


async def test_what_overflows_while_a_gap_is_filled_is_filled_too(
    folder: Path, start: Start
) -> None:
    gateway = await start(**SMALL)
    name(folder, gateway)
    await gateway.publish(60)
    position = Position(0, gateway.bus.epoch)
    async with connect(since=position, backfill=True, queue_size=10) as stream:
        assert await items(stream, 20) == [*range(1, 21)]
        await gateway.publish(200)
        await asyncio.sleep(0)
        assert await items(stream, 240) == [*range(21, 261)]
