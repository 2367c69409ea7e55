"""Webhooks from a real gateway to a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.kit.gateway import Gateway, Start
from tests.kit.logs import Capture, read
from tests.kit.receiver import SECRET, Receiver, status
from tests.kit.waiting import until
from tests.live.test_metrics import scrape
from tests.support import FakeClock

ERROR = (
    "agent.error",
    {"session_id": "s-1", "error": "rate_limit", "message": "The model is busy."},
)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = await Receiver().start()
    yield receiver
    await receiver.stop()


async def test_an_event_is_posted_once_and_signed(start: Start, receiver: Receiver) -> None:
    gateway = await start(
        webhooks=(f"agent.attention_needed=http://user:pass@127.0.0.1:{receiver.port}/hook?a=b",),
        webhook_secret=(SECRET,),
    )
    await gateway.publisher.publish(*ERROR)
    await until(lambda: receiver.received)
    (one,) = receiver.received
    print(one)
    assert one.is_signed_with(SECRET)
