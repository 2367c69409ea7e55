"""What holds a connection to NATS together, without one."""

import asyncio
import gc
import json
from urllib.parse import urlparse

import pytest
from nats.aio.client import Srv

from app.channels.nats.client import StreamClient
from app.channels.nats.connection import first_to_end
from tests.kit.waiting import WATCHDOG_S


async def test_a_work_that_fails_as_it_is_cancelled_leaves_nothing_for_the_loop_to_complain_of() -> (
    None
):
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))

    async def fail() -> None:
        raise ConnectionError("lost")

    async def fail_to_end() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ConnectionError("lost too")

    with pytest.raises(ConnectionError, match=r"^lost$"):
        await first_to_end(fail(), fail_to_end())
    gc.collect()
    assert complaints == []


async def test_a_work_that_swallows_its_first_cancellation_is_cancelled_again() -> None:
    cancellations = 0

    async def swallow() -> None:
        nonlocal cancellations
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancellations += 1
                if cancellations == 2:
                    raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("lost")

    async with asyncio.timeout(WATCHDOG_S):
        with pytest.raises(ConnectionError):
            await first_to_end(swallow(), fail())
    assert cancellations == 2


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("nats://ada:p%40s%2Fs%3A100%2541@h:4222", {"user": "ada", "pass": "p@s/s:100%41"}),
        ("nats://a%40b:word@h:4222", {"user": "a@b", "pass": "word"}),
        ("nats://to%2Cken@h:4222", {"auth_token": "to,ken"}),
        ("nats://ada:@h:4222", {"user": "ada", "pass": ""}),
        ("nats://h:4222", {}),
    ],
)
def test_credentials_of_an_address_are_decoded_and_are_for_its_server_alone(
    address: str, sent: dict[str, str]
) -> None:
    client = StreamClient()
    client._auth_configured = True
    client.options = dict.fromkeys(("verbose", "pedantic", "name", "no_echo"))
    for each in ("nats://before:secret@other:4222", address):
        client._current_server = Srv(urlparse(each))
        line = client._connect_command()
    options = json.loads(line.removeprefix(b"CONNECT "))
    assert {key: options[key] for key in ("user", "pass", "auth_token") if key in options} == sent
