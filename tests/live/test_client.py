"""The Python client against a real gateway."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sightline_client import (
    Event,
    Gap,
    NewEvent,
    Position,
    Publisher,
    Stream,
    connect,
    core,
    publish,
    publish_many,
    sync,
)
from sightline_client.errors import (
    EndedError,
    InvalidDataError,
    RefusedError,
    ReplacedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnknownEventTypeError,
    UnreachableError,
)
from sightline_client.events import ChatMessageSent, WorkflowStarted

from tests.kit.gateway import Gateway, Start, name, url
from tests.kit.http import TOKEN
from tests.kit.waiting import WATCHDOG_S, in_thread, ticks, until

CHAT = {"role": "user", "content": "x"}


async def next_item(stream: Stream) -> Event | Gap:
    return await asyncio.wait_for(anext(stream), WATCHDOG_S)


async def numbers(stream: Stream, count: int) -> AsyncIterator[int]:
    for _ in range(count):
        item = await next_item(stream)
        assert isinstance(item, Event), item
        yield item.sequence_number


async def test_events_published_after_entering_are_received(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    async with connect(types=[ChatMessageSent]) as stream:
        assert stream.connected is not None
        assert stream.connected.types == ("chat.message_sent",)
        await publish(WorkflowStarted(workflow_id="w", workflow_name="n"))
        place = await publish("chat.message_sent", {**CHAT, "more": [1]}, {"agent": "Ada"})
        item = await next_item(stream)
        assert isinstance(item, Event)
        assert item.data == ChatMessageSent(role="user", content="x")
        assert item.fields == {**CHAT, "more": [1]}
        assert (item.metadata, item.sequence_number) == ({"agent": "Ada"}, 2)
        assert (place.sequence_number, place.timestamp) == (2, item.timestamp)
        assert stream.position == Position(0, gateway.bus.epoch)
    assert await publish_many([NewEvent("chat.message_sent", CHAT)] * 3) != []


@pytest.mark.slow
async def test_a_lost_connection_resumes_without_loss_while_publishing_goes_on(
    folder: Path, start: Start
) -> None:
    gateway: Gateway = await start(replay_limit=300)
    name(folder, gateway)
    async with connect() as stream:
        publishing = asyncio.create_task(_publish_steadily(gateway, 300))
        heard = []
        cuts = [50, 120, 250]
        async for number in numbers(stream, 300):
            heard.append(number)
            # The stream still hands out received events while it is disconnected.
            if cuts and number >= cuts[0] and (socket := stream._socket) is not None:
                del cuts[0]
                socket.transport.abort()  # as a network does
        await publishing
        assert heard == [*range(1, 301)]


async def _publish_steadily(gateway: Gateway, count: int) -> None:
    async for number in ticks(0.003):
        if number == count:
            return
        await gateway.publish()


async def test_a_restart_is_a_gap_and_then_the_new_epoch(folder: Path, start: Start) -> None:
    first: Gateway = await start(journal="")
    name(folder, first)
    async with connect() as stream:
        await first.publish(3)
        assert [number async for number in numbers(stream, 3)] == [1, 2, 3]
        await first.stop()
        second: Gateway = await start(journal="")
        await second.publish(2)
        name(folder, second)  # on another port even
        gap = await next_item(stream)
        assert gap == Gap(None, None, None, "epoch_changed")
        assert [number async for number in numbers(stream, 2)] == [1, 2]
        assert stream.connected is not None
        assert stream.connected.epoch == second.bus.epoch


async def test_a_position_resumes_in_another_process(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    async with connect() as stream:
        await gateway.publish(4)
        assert [number async for number in numbers(stream, 2)] == [1, 2]
        kept = stream.position
    assert kept == Position(1, gateway.bus.epoch)  # 2 was handed out, but no more was asked for
    async with connect(since=kept) as stream:
        assert [number async for number in numbers(stream, 3)] == [2, 3, 4]
    async with connect(since=3) as stream:
        assert [number async for number in numbers(stream, 1)] == [4]


@pytest.mark.slow
async def test_a_slow_consumer_gets_a_gap_for_its_loss(folder: Path, start: Start) -> None:
    gateway: Gateway = await start(queue_size=10, replay_limit=5)
    name(folder, gateway)
    async with connect() as stream:
        for _ in range(40):
            await gateway.publish(500, "x" * 4000)
            await asyncio.sleep(0)
        heard, lost = 0, 0
        while heard + lost < 20000:
            item = await next_item(stream)
            if isinstance(item, Gap):
                assert item.dropped is not None
                lost += item.dropped
            else:
                heard += 1
        assert lost > 0
        assert stream.position is not None
        assert gateway.bus.head == 20000


async def test_a_consumer_that_asks_for_nothing_is_not_dropped_and_counts_what_it_lost(
    folder: Path, start: Start
) -> None:
    gateway: Gateway = await start(heartbeat_interval_s=0.1, pong_timeout_s=0.2)
    name(folder, gateway)
    async with connect(types=["chat.*"]) as stream:
        began = stream.connected
        for _ in range(30):
            await gateway.publish(100, "x" * 4000)
            await until(
                lambda: stream._core.parameters["last_sequence_number"] == f"{gateway.bus.head}"
            )
        assert await next_item(stream) == Gap(1, 2000, 2000, "slow_consumer")
        assert [number async for number in numbers(stream, 1000)] == [*range(2001, 3001)]
        assert stream.connected is began
        assert gateway.registry.taken == 1


async def test_the_synchronous_flavour_also_reads_whatever_its_consumer_does(
    folder: Path, start: Start
) -> None:
    gateway: Gateway = await start()
    name(folder, gateway)
    entered, go_on = threading.Event(), threading.Event()
    heard: list[Event | Gap] = []
    streams: list[sync.Stream] = []

    def script() -> None:
        with sync.connect(queue_size=10) as stream:
            streams.append(stream)
            entered.set()
            assert go_on.wait(WATCHDOG_S)
            heard.extend(next(stream) for _ in range(11))

    running = asyncio.create_task(in_thread(script))
    await asyncio.to_thread(entered.wait, 10)
    await gateway.publish(50)
    await asyncio.to_thread(_until_received, streams[0], 50)
    go_on.set()
    await asyncio.wait_for(running, WATCHDOG_S)
    assert heard[0] == Gap(1, 40, 40, "slow_consumer")
    assert [item.sequence_number for item in heard[1:] if isinstance(item, Event)] == [
        *range(41, 51)
    ]


def _until_received(stream: sync.Stream, number: int) -> None:
    with stream._news:
        assert stream._news.wait_for(
            lambda: stream._core.parameters["last_sequence_number"] == f"{number}", WATCHDOG_S
        )


SUSPENDED = """
import asyncio, sys
from sightline_client import connect, core, sync
core.SILENCE_GRACE_S = 0.1
async def listen():
    async with connect() as stream:
        print("ready", flush=True)
        async for item in stream:
            print(item if not hasattr(item, "raw") else item.sequence_number, flush=True)
def listen_synchronously():
    with sync.connect() as stream:
        print("ready", flush=True)
        for item in stream:
            print(item if not hasattr(item, "raw") else item.sequence_number, flush=True)
asyncio.run(listen()) if sys.argv[1] == "asyncio" else listen_synchronously()
"""


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["asyncio", "sync"])
async def test_events_in_the_socket_of_a_suspended_process_are_received(
    folder: Path, start: Start, flavour: str
) -> None:
    gateway: Gateway = await start(
        heartbeat_interval_s=0.2, pong_timeout_s=0.3, replay_limit=1, replay_max_events=1
    )
    name(folder, gateway)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUSPENDED, flavour),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGSTOP)
        await gateway.publish(10)
        await until(lambda: gateway.registry.taken == 0)  # given up, as it answers no ping
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(WATCHDOG_S):
            lines = [(await process.stdout.readline()).strip() for _ in range(10)]
            assert lines == [b"%d" % number for number in range(1, 11)]
            await until(lambda: gateway.registry.taken == 1)
            await gateway.publish()
            assert await process.stdout.readline() == b"11\n"
    finally:
        process.kill()
        await process.wait()


async def test_a_connection_ended_with_4401_is_not_made_again(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    async with connect() as stream:
        await gateway.publish()
        gateway.registry.close_all(4401, "logged out")
        assert [number async for number in numbers(stream, 1)] == [1]
        for _ in range(2):
            with pytest.raises(EndedError, match="logged out"):
                await next_item(stream)
    assert gateway.registry.taken == 0


@pytest.mark.slow
async def test_silence_is_a_lost_connection(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "SILENCE_GRACE_S", 0.3)
    gateway: Gateway = await start(heartbeat_interval_s=0.2)
    name(folder, gateway)
    async with connect() as stream:
        waiting = asyncio.create_task(next_item(stream))
        await until(lambda: gateway.registry.taken == 1)
        before = stream._socket
        before.transport.pause_reading()  # nothing arrives any more, and nobody says why
        await until(lambda: stream._socket not in (None, before))
        await gateway.publish()
        assert isinstance(await waiting, Event)


async def test_a_wrong_token_is_reported_at_once(gateway: Gateway) -> None:
    with pytest.raises(UnauthorizedError, match="token is wrong"):
        async with connect(url(gateway), token="wrong"):
            pass
    with pytest.raises(UnauthorizedError):
        await publish("chat.message_sent", CHAT, url=url(gateway), token="wrong")
    with pytest.raises(RefusedError, match="'Bad'") as caught:
        async with connect(url(gateway), token=TOKEN, types=["Bad"]):
            pass
    assert caught.value.code == "invalid_pattern"


async def test_a_full_gateway_is_waited_for_or_given_up(start: Start) -> None:
    gateway: Gateway = await start(max_clients=1)
    async with connect(url(gateway), token=TOKEN):
        with pytest.raises(UnavailableError) as caught:
            async with connect(url(gateway), token=TOKEN, give_up_after_s=0):
                pass
        assert (caught.value.status, caught.value.wait_s) == (503, 5)


async def test_no_gateway_is_waited_for_or_given_up(folder: Path, start: Start) -> None:
    gateway: Gateway = await start()
    name(folder, gateway)
    await gateway.stop()
    gateway.socket.close()
    with pytest.raises(UnreachableError):
        async with connect(give_up_after_s=0):
            pass
    with pytest.raises(UnreachableError):
        await publish("chat.message_sent", CHAT)
    entering = asyncio.create_task(_first_connected())
    await asyncio.sleep(0)
    later: Gateway = await start()
    name(folder, later)
    assert await asyncio.wait_for(entering, WATCHDOG_S) == later.bus.epoch


async def _first_connected() -> str:
    async with connect() as stream:
        assert stream.connected is not None
        return stream.connected.epoch


async def test_another_client_of_the_same_name_takes_over(gateway: Gateway) -> None:
    options: dict[str, Any] = {"token": TOKEN, "client_id": "one"}
    async with connect(url(gateway), **options) as older, connect(url(gateway), **options):
        with pytest.raises(ReplacedError):
            await next_item(older)
        assert gateway.registry.taken == 1


async def test_leaving_or_cancelling_frees_the_place(gateway: Gateway) -> None:
    async with connect(url(gateway), token=TOKEN) as stream:
        with suppress(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        await gateway.publish()  # a cancelled wait has lost nothing
        assert [number async for number in numbers(stream, 1)] == [1]
    await until(lambda: gateway.registry.taken == 0)


async def test_refused_events_are_errors_with_a_class(start: Start) -> None:
    gateway: Gateway = await start(max_event_bytes=1000)
    async with Publisher(url(gateway), token=TOKEN) as publisher:
        with pytest.raises(UnknownEventTypeError, match=r"nearest known type is 'chat\."):
            await publisher.publish("chat.mesage_sent", CHAT)
        with pytest.raises(InvalidDataError, match="content"):
            await publisher.publish_many(
                [
                    ChatMessageSent(role="r", content="c"),
                    NewEvent("chat.message_sent", {"role": "r"}),
                ]
            )
        with pytest.raises(TooLargeError):
            await publisher.publish("chat.message_sent", {"role": "r", "content": "x" * 1000})
        assert gateway.bus.head == 0
        assert await publisher.publish_many([]) == []


async def test_the_synchronous_flavour_does_the_same(folder: Path, start: Start) -> None:
    gateway: Gateway = await start(journal="")
    name(folder, gateway)
    loop, half_done, restarted = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    heard: list[object] = []

    def script() -> None:
        with sync.connect(types=["chat.*"]) as stream:
            sync.publish(ChatMessageSent(role="user", content="sync"))
            sync.publish_many([NewEvent("chat.message_sent", CHAT)] * 2)
            heard.extend(next(stream) for _ in range(3))
            loop.call_soon_threadsafe(half_done.set)
            assert restarted.wait(WATCHDOG_S)
            heard.extend(next(stream) for _ in range(2))
            heard.append(stream.position)
        with pytest.raises(UnauthorizedError), sync.connect(token="wrong"):
            pass
        with pytest.raises(UnknownEventTypeError):
            sync.publish("chat.nothing", {})

    running = asyncio.create_task(asyncio.to_thread(script))
    await until(lambda: half_done.is_set() or running.done())
    await gateway.stop()
    second: Gateway = await start(journal="")
    name(folder, second)
    await second.publish()
    restarted.set()
    await asyncio.wait_for(running, WATCHDOG_S)
    assert [item.sequence_number for item in heard[:3]] == [1, 2, 3]
    assert heard[3] == Gap(None, None, None, "epoch_changed")
    assert heard[4].sequence_number == 1
    assert heard[5] == Position(0, second.bus.epoch)
