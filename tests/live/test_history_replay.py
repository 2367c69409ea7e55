"""`history=1`: a client resumes as far back as the journal reaches, and joins live without a seam."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kit.event_stream import ask, listen
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD
from tests.kit.messages import receive
from tests.kit.waiting import WATCHDOG_S, until

SMALL = {"replay_max_events": 150, "replay_limit": 20, "queue_size": 40}


async def messages(gateway: Gateway, how: str, number: int, query: str = "") -> AsyncIterator[Any]:
    """What a client gets that resumes with `history=1` behind a number."""
    if how == "sse":
        reader = await listen(gateway, f"?history=1{query}", f"{gateway.bus.epoch}:{number}")
        try:
            while True:
                yield (await reader.block())[1]
        finally:
            reader.raw.close()
    where = f"?history=1&last_sequence_number={number}&epoch={gateway.bus.epoch}{query}"
    async with gateway.connect(where) as client:
        while True:
            yield await receive(client)


async def numbers(coming: AsyncIterator[Any], last: int) -> list[Any]:
    """Numbers of events and gaps as they come, up to the event with the number `last`."""
    found: list[Any] = []
    async with asyncio.timeout(WATCHDOG_S):
        async for message in coming:
            if message["type"] == "gap":
                message.pop("type")
                found.append(tuple(message.values()))
            elif "data" in message:
                found.append(message["sequence_number"])
                if found[-1] >= last:
                    break
    return found


@pytest.mark.parametrize("how", ["ws", "sse"])
async def test_3000_events_are_replayed_and_joined_to_live_each_once_while_publishing_goes_on(
    start: Start, how: str
) -> None:
    gateway = await start(**SMALL)
    await gateway.publish(3000)
    coming = messages(gateway, how, 5)
    connected = await anext(coming)
    assert (connected["resumed"], connected["replayed"]) == (True, None)
    reached = 5

    async def count() -> list[int]:
        nonlocal reached
        found = []
        async for message in coming:
            if "data" in message or message["type"] == "gap":
                found.append(reached := message.get("sequence_number") or 0)
                if reached == 3300:
                    break
        return found

    counting = asyncio.create_task(count())
    for _ in range(300):
        await until(lambda: gateway.bus.head - reached < 3000)
        await gateway.publish()
        await asyncio.sleep(0)
    async with asyncio.timeout(WATCHDOG_S):
        assert await counting == [*range(6, 3301)]
    assert gateway.bus.subscriptions == 1
    await coming.aclose()
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


@pytest.mark.parametrize("how", ["ws", "sse"])
async def test_a_filter_holds_for_the_history_too(start: Start, how: str) -> None:
    gateway = await start(**SMALL)
    for number in range(1, 601):
        if number % 100 == 0:
            await gateway.publisher.publish("system.error", {"message": "m"})
        else:
            await gateway.publish()
    coming = messages(gateway, how, 5, "&types=system.*")
    assert await numbers(coming, 600) == [100, 200, 300, 400, 500, 600]
    await coming.aclose()


async def test_a_pattern_subscribed_during_the_replay_counts_for_later_events(
    start: Start,
) -> None:
    gateway = await start(**SMALL)
    errors = [*range(1, 101), *range(323, 396)]
    for number in range(1, 401):
        if number in errors:
            await gateway.publisher.publish("system.error", {"message": "m"})
        else:
            await gateway.publish()
    read, go_on, pages = gateway.journal.page, asyncio.Event(), 0

    async def page(question: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 2:
            await go_on.wait()
        return await read(question)

    gateway.journal.page = page
    where = f"?history=1&last_sequence_number=0&epoch={gateway.bus.epoch}&types=system.*"
    async with gateway.connect(where) as client:
        await client.send('{"type":"subscribe","types":["chat.*"]}')
        await client.send('{"type":"ping"}')
        subscribed = None
        found: list[int] = []
        async with asyncio.timeout(WATCHDOG_S):
            while not found or found[-1] <= 400:
                message = await receive(client)
                if message["type"] == "subscribed":
                    subscribed = message["sequence_number"], found[-1]
                elif message["type"] == "pong":  # so the subscribe before it has been taken
                    go_on.set()
                    await gateway.publish()
                elif "data" in message:
                    found.append(message["sequence_number"])
    assert subscribed == (400, errors[-1])
    assert found == [*errors, 401]


async def test_an_answer_during_the_replay_comes_behind_the_events_before_it(start: Start) -> None:
    gateway = await start(**SMALL)
    await gateway.publish(3000)
    where = f"?history=1&last_sequence_number=0&epoch={gateway.bus.epoch}"
    found: list[int] = []
    async with gateway.connect(where) as client:
        await client.send('{"type":"subscribe","types":["git.*"]}')
        assert (await receive(client))["type"] == "connected"
        while (message := await receive(client))["type"] != "subscribed":
            found.append(message["sequence_number"])
    assert found == [*range(1, message["sequence_number"] + 1)] == [*range(1, 3001)]


@pytest.mark.slow
async def test_a_reader_that_stalls_in_the_history_has_one_chunk_waiting(start: Start) -> None:
    gateway = await start(**SMALL)
    for _ in range(4):
        await gateway.publish(50, "x" * 80_000)
        await gateway.journal.stored(gateway.bus.head)
    asked = gateway.journal.page
    pages = 0

    async def page(question: Any) -> Any:
        nonlocal pages
        pages += 1
        return await asked(question)

    gateway.journal.page = page
    reader = await ask(
        gateway,
        GOOD,
        (b"Last-Event-ID", f"{gateway.bus.epoch}:0".encode()),
        query="?history=1",
        receive_buffer=4096,
    )
    await until(lambda: gateway.registry.taken == 1)
    (protocol,) = gateway.server.server_state.connections
    await until(lambda: protocol.flow.write_paused)
    for _ in range(100):
        await asyncio.sleep(0)
    before = pages
    assert before < 5
    await reader.head()
    for expected in ("connected", *["chat.message_sent"] * 200):
        assert (await reader.block())[1]["type"] == expected
    assert pages > before


async def test_what_the_journal_has_lost_is_a_gap(start: Start) -> None:
    gateway = await start(**SMALL, journal_max_bytes=4 * 1024 * 1024)
    await gateway.publish(400, "x" * 20_000)
    await gateway.journal.stored(400)
    await until(lambda: not gateway.journal.start[0].endswith(":1"))
    coming = messages(gateway, "ws", 5)
    assert (await anext(coming))["resumed"] is False
    first, *rest = await numbers(coming, 400)
    assert (first[0], first[2:]) == (6, (first[1] - 5, "expired"))
    assert rest == [*range(first[1] + 1, 401)]
    await coming.aclose()


@pytest.mark.parametrize(
    "position", ["last_sequence_number=1&epoch=other", "last_sequence_number=999"]
)
async def test_a_position_of_another_epoch_gets_a_gap_and_all_of_this_one(
    start: Start, position: str
) -> None:
    gateway = await start(**SMALL)
    await gateway.publish(300)
    async with gateway.connect(f"?history=1&{position}") as client:
        connected = await receive(client)
        assert (connected["resumed"], connected["replayed"]) == (False, None)
        assert (await receive(client))["reason"] == "epoch_changed"
        assert [(await receive(client))["sequence_number"] for _ in range(300)] == [*range(1, 301)]
        await gateway.publish()
        assert (await receive(client))["sequence_number"] == 301


async def test_without_a_journal_a_history_is_a_400_that_says_so(start: Start) -> None:
    gateway = await start(journal="")
    over_sse = await (await ask(gateway, GOOD, query="?history=1")).head()
    for answer in (over_sse, await gateway.refusal(GOOD, path="/ws?history=1")):
        assert (answer.status, answer.error["code"]) == (400, "bad_request")
        assert "SIGHTLINE_JOURNAL" in answer.error["message"]
    malformed = await gateway.refusal(GOOD, path="/ws?history=yes")
    assert (malformed.status, "history='yes'" in malformed.error["message"]) == (400, True)
