"""A response's head and body leave in one write, in order, and a head alone is never kept back."""

import asyncio
from typing import cast

import pytest

from app.server.cycle import MOST_JOINED_BYTES, JoinedWrites


class Transport:
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def joined(transport: Transport) -> JoinedWrites:
    return JoinedWrites(cast(asyncio.Transport, transport), asyncio.get_running_loop())


async def test_head_and_body_are_one_write(transport: Transport, joined: JoinedWrites) -> None:
    for _ in range(2):  # a kept connection
        joined.hold_next()
        joined.write(b"head")
        joined.write(b"body")
    joined.write(b"more")
    await asyncio.sleep(0)
    assert transport.done == [b"headbody", b"headbody", b"more"]


async def test_a_head_without_a_body_goes_out_in_the_next_turn(
    transport: Transport, joined: JoinedWrites
) -> None:
    joined.hold_next()
    joined.write(b"head")
    assert transport.done == []
    await asyncio.sleep(0)
    joined.write(b"body")
    assert transport.done == [b"head", b"body"]


async def test_closing_loses_no_head(transport: Transport, joined: JoinedWrites) -> None:
    joined.hold_next()
    joined.write(b"head")
    joined.close()
    await asyncio.sleep(0)
    assert transport.done == [b"head", "closed"]


async def test_a_large_body_is_not_copied(transport: Transport, joined: JoinedWrites) -> None:
    joined.hold_next()
    joined.write(b"head")
    body = b"x" * (MOST_JOINED_BYTES + 1)
    joined.write(body)
    assert transport.done == [b"head", body]
    assert transport.done[1] is body
