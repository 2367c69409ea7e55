"""`emit` of the Python client: a missing or slow gateway never stops the process that publishes."""

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sightline_client
from sightline_client import Address, Publisher, emitting, sync
from sightline_client.emitting import Emitter
from sightline_client.errors import AddressError
from sightline_client.events import ChatMessageSent

from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN
from tests.kit.waiting import WATCHDOG_S, until

CHAT = {"role": "user", "content": "x"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the client logs; the gateway in this process sets the logging up for itself."""
    lines: list[str] = []
    monkeypatch.setattr(emitting.log, "warning", lambda text, *words: lines.append(text % words))
    return lines


def url(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.port}"


def contents(gateway: Gateway) -> list[Any]:
    events = [gateway.bus.find(number) for number in range(1, gateway.bus.head + 1)]
    return [
        sightline_client.messages.decode(event.encoded.decode()).fields for event in events if event
    ]


async def test_what_is_emitted_from_anywhere_arrives_in_order(gateway: Gateway) -> None:
    async with Publisher(url(gateway), token=TOKEN) as publisher:
        for number in range(250):
            publisher.emit("chat.message_sent", {"role": "user", "content": f"{number}"})
        emitting_too = threading.Thread(
            target=publisher.emit, args=(ChatMessageSent(role="user", content="thread"),)
        )
        emitting_too.start()
        await until(lambda: gateway.bus.head == 251)
    heard = [found["content"] for found in contents(gateway)]
    assert heard == [*(f"{number}" for number in range(250)), "thread"]
    assert publisher.lost == 0


async def test_the_newest_are_kept_while_the_gateway_is_away_and_the_loss_is_logged(
    start: Start, said: list[str]
) -> None:
    place: list[Address] = []
    asked = threading.Event()

    def address() -> Address:
        asked.set()
        if not place:
            raise AddressError("no gateway")
        return place[0]

    emitter = Emitter(address)
    for number in range(1500):
        emitter.emit("chat.message_sent", {"role": "user", "content": f"{number}"})
    assert await asyncio.to_thread(asked.wait, 10)
    gateway: Gateway = await start()
    place.append(Address(url(gateway), TOKEN))
    await until(lambda: gateway.bus.head == 1000, 20)
    await asyncio.to_thread(emitter.close)
    assert [found["content"] for found in contents(gateway)] == [
        f"{number}" for number in range(500, 1500)
    ]
    assert emitter.lost == 500
    assert said[0] == "no gateway; the newest 1000 events are kept"
    assert "500 emitted events are lost, 500 in all" in said


async def test_of_many_only_the_wrong_ones_are_lost(gateway: Gateway, said: list[str]) -> None:
    async with Publisher(url(gateway), token=TOKEN) as publisher:
        publisher.emit("chat.message_sent", CHAT)
        publisher.emit("chat.mesage_sent", CHAT)
        publisher.emit("chat.message_sent", {"role": 1})
        publisher.emit("chat.message_sent", {"role": "user", "content": float("nan")})
        publisher.emit("chat.message_sent", {"role": "user", "content": object()})
        publisher.emit("chat.message_sent", CHAT)
        await until(lambda: gateway.bus.head == 2)
    assert publisher.lost == 4
    assert sum(line.startswith("an event is lost: ") for line in said) == 4


async def test_a_gateway_that_never_comes_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with sync.Publisher("http://127.0.0.1:9", token="t") as publisher:
        publisher.emit("chat.message_sent", CHAT)
    assert publisher.lost == 1
    publisher.emit("chat.message_sent", CHAT)  # too late, and still no error
    assert "1 emitted events are lost, 1 in all" in said


async def test_the_bytes_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitting, "MAX_KEPT_BYTES", 100_000)

    def address() -> Address:
        raise AddressError("no gateway")

    emitter = Emitter(address)
    for _ in range(20):
        emitter.emit("chat.message_sent", {"role": "user", "content": "x" * 10_000})
    await asyncio.to_thread(emitter.close)
    assert emitter.lost == 20
    emitter = Emitter(address)
    emitter.emit("chat.message_sent", {"role": "user", "content": "x" * 5_000_000})
    assert emitter.lost == 1


async def test_a_script_that_ends_at_once_has_published_its_events(
    gateway: Gateway, tmp_path: Path
) -> None:
    script = (
        "from sightline_client import emit\n"
        "for n in range(5): emit('chat.message_sent', {'role': 'user', 'content': f'{n}'})"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        cwd=tmp_path,
        env={"SIGHTLINE_URL": url(gateway), "SIGHTLINE_SESSION_TOKEN": TOKEN},
    )
    assert await asyncio.wait_for(process.wait(), WATCHDOG_S) == 0
    assert [found["content"] for found in contents(gateway)] == ["0", "1", "2", "3", "4"]
