"""Positions and client ids as an attacker sends them; many clients that resume at once."""

import asyncio
import json
from urllib.parse import quote

import pytest

from app.events import Clock
from tests.kit.frames import CLOSE, TEXT, frame, frames
from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, hurl, rest
from tests.kit.messages import close_code, receive
from tests.kit.waiting import ticks, until

FILTERS = ("chat.*", "live.*", "*", "live.a,chat.message_sent")


@pytest.mark.parametrize(
    "number",
    [
        "-1",
        "-0",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        " 1",
        "1 ",
        "one",
        "\u0663",
        "9007199254740992",
        "9" * 500,
        "",
        "NaN",
        "1,2",
        "1\r\nX: y",
        "1\0",
    ],
)
async def test_a_position_that_is_no_number_is_a_400_both_ways(
    gateway: Gateway, number: str
) -> None:
    for query in (
        f"/ws?last_sequence_number={quote(number)}",
        f"/ws?last_sequence_number={quote(number)}&epoch=e",
    ):
        answer = await gateway.refusal(GOOD, path=query)
        assert (answer.status, answer.error["code"]) == (400, "bad_request")
    if number.strip() == number and number.isascii() and number.isprintable():
        answer = await gateway.refusal(GOOD, (b"X-Last-Sequence", number.encode()))
        assert answer.status == 400
    assert gateway.registry.taken == gateway.bus.subscriptions == 0


@pytest.mark.parametrize("number", [4, 2**31, 2**53 - 1])
async def test_a_position_ahead_of_the_head_is_an_honest_gap(gateway: Gateway, number: int) -> None:
    await gateway.publish(3)
    path = f"?last_sequence_number={number}&epoch={gateway.bus.epoch}"
    async with gateway.connect(path) as client:
        assert (await receive(client))["resumed"] is False
        assert (await receive(client))["reason"] == "epoch_changed"
        assert [(await receive(client))["sequence_number"] for _ in range(3)] == [1, 2, 3]


async def test_someone_elses_client_id_gives_its_place_and_nothing_else(start: Start) -> None:
    gateway = await start(extra_namespaces=("live",))
    async with gateway.connect("?client_id=ada&types=live.*") as ada:
        await receive(ada)
        await gateway.publisher.publish("live.secret", {})
        await receive(ada)
        async with gateway.connect("?client_id=ada&types=chat.*") as eve:
            connected = await receive(eve)
            assert (connected["types"], connected["replayed"]) == (["chat.*"], 0)
            assert await close_code(ada) == 4409
            await gateway.publisher.publish("live.secret", {})
            await gateway.publish()
            assert (await receive(eve))["type"] == "chat.message_sent"


async def storm_of_resumes(start: Start, clients: int) -> None:
    gateway = await start(
        max_clients=clients + 1, extra_namespaces=("live",), replay_limit=150, log_level="warning"
    )
    published: list[tuple[int, str]] = []

    async def publish(count: int) -> None:
        for turn in range(count):
            type_ = ("live.a", "live.b", "chat.message_sent")[turn % 3]
            data = {"role": "user", "content": "x"} if type_.startswith("chat") else {}
            event = await gateway.publisher.publish(type_, data)
            published.append((event.sequence_number, type_))

    async def come_back(number: int) -> bytes:
        position = number % 250
        query = f"last_sequence_number={position}&epoch={gateway.bus.epoch}"
        raw, answer = await gateway.open_raw(
            GOOD, path=f"/ws?client_id=c{number}&types={FILTERS[number % 4]}&{query}"
        )
        reading = asyncio.create_task(rest(raw, 30))
        done = frame(TEXT, b'{"type":"ping","id":"seen"}')
        await everybody_is_back.wait()
        await hurl(raw, done)
        await all_published.wait()
        await hurl(raw, frame(CLOSE))
        return answer.body + await reading

    everybody_is_back, all_published = asyncio.Event(), asyncio.Event()
    await publish(300)
    coming = [asyncio.create_task(come_back(number)) for number in range(clients)]
    async for _ in ticks(0.005):
        if gateway.bus.subscriptions == clients:
            break
        await publish(3)  # while they come
        assert not any(task.done() for task in coming)
    everybody_is_back.set()
    await publish(30)
    all_published.set()
    for number, data in enumerate(await asyncio.gather(*coming)):
        check(number, data, published)
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)


def check(number: int, data: bytes, published: list[tuple[int, str]]) -> None:
    """The client got all that matched after its position, in order, once; gaps cover the rest."""
    patterns = FILTERS[number % 4].split(",")
    owed = [
        n
        for n, type_ in published
        if n > number % 250 and {"*", type_, type_.split(".")[0] + ".*"} & set(patterns)
    ]
    got: list[int] = []
    for _, payload in (each for each in frames(data) if each[0] == TEXT):
        message = json.loads(payload)
        if message["type"] == "gap":
            lost = [
                n
                for n in owed
                if message["from_sequence_number"] <= n <= message["to_sequence_number"]
            ]
            assert len(lost) == message["dropped"]
            got += lost
        elif "." in message["type"]:
            got.append(message["sequence_number"])
    assert got == owed[: len(got)]
    assert got[-1] >= published[-31][0]


@pytest.mark.slow
async def test_a_storm_of_resumes_gets_everybody_exactly_its_own_events(start: Start) -> None:
    await storm_of_resumes(start, 100)


@pytest.mark.attack
async def test_a_storm_of_1000_resumes_gets_everybody_exactly_its_own_events(start: Start) -> None:
    await storm_of_resumes(start, 1000)


class JumpingClock(Clock):
    """A machine whose wall clock is set while the gateway runs."""

    def __init__(self) -> None:
        self.jumped_s = 0.0

    def wall(self) -> float:
        return super().wall() + self.jumped_s


@pytest.mark.parametrize("jump_s", [3600, -30 * 24 * 3600], ids=["an hour forth", "a month back"])
async def test_a_jump_of_the_wall_clock_moves_timestamps_and_nothing_else(
    start: Start, jump_s: float
) -> None:
    clock = JumpingClock()
    gateway = await start(clock=clock, heartbeat_interval_s=0.2, pong_timeout_s=0.2)
    async with gateway.connect() as client:
        await receive(client)
        await gateway.publish(3)
        before = [await receive(client) for _ in range(3)]
        clock.jumped_s = jump_s
        await gateway.publish(1)
        after = await receive(client)
        beats = [await receive(client) for _ in range(4)]
        assert {beat["type"] for beat in beats} == {"heartbeat"}
        assert gateway.registry.taken == 1
    assert (after["timestamp"] > before[-1]["timestamp"]) == (jump_s > 0)
    async with gateway.connect("?last_sequence_number=1") as client:
        connected = await receive(client)
        assert (connected["resumed"], connected["replayed"]) == (True, 3)
        assert [(await receive(client))["sequence_number"] for _ in range(3)] == [2, 3, 4]
