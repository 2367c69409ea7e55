"""What a connection leaves: many clients come and vanish together, at a restart of either side."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from websockets.server import ServerProtocol

from app.channels.queue import EventQueue
from app.errors import CloseCode
from app.server.direct import DirectTransport
from app.server.serve import spare_collections
from app.server.websocket import SightlineWebSocketProtocol
from app.ws.outlet import DirectOutlet
from tests.kit.gateway import Start
from tests.kit.http import GOOD
from tests.kit.waiting import until

PARTS = (SightlineWebSocketProtocol, ServerProtocol, DirectTransport, DirectOutlet, EventQueue)
EVENT = ("chat.message_sent", {"role": "user", "content": "x" * 60_000})


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def parts() -> list[str]:
    """The parts of connections that exist."""
    return sorted(type(one).__name__ for one in gc.get_objects() if isinstance(one, PARTS))


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("end", ["vanishes", "closes", "errs", "is closed", "does not read"])
async def test_a_connection_that_has_ended_needs_no_garbage_collection(
    start: Start, end: str
) -> None:
    gateway = await start(journal="")
    gc.collect()
    others = parts()  # of the gateway itself
    raw, _ = await gateway.open_raw(GOOD)
    await until(lambda: gateway.bus.subscriptions == 1)
    assert set(parts()) == {one.__name__ for one in PARTS}
    if end == "closes":
        raw.send(b"\x88\x80abcd")
    elif end == "errs":
        raw.send(b"\xff\xff")
    elif end == "is closed":
        gateway.registry.close_all(CloseCode.RESTART, "again")
        await asyncio.get_running_loop().sock_recv(raw, 1000)
    elif end == "does not read":
        while not gateway.bus.queued:
            await gateway.publisher.publish(*EVENT)
            gateway.bus.flush()
    raw.close()
    await until(lambda: not gateway.registry.taken and not gateway.server.server_state.connections)
    await until(lambda: not gateway.server.server_state.tasks)
    assert parts() == others


def holders_of_the_token() -> int:
    """How many lists and tuples hold the token as it was received."""
    containers = [one for one in gc.get_objects() if type(one) in (list, tuple)]
    return sum(any(type(one) is bytes and one == GOOD[1] for one in some) for some in containers)


async def test_an_idle_connection_does_not_keep_the_token(start: Start) -> None:
    gateway = await start(journal="")
    gc.collect()
    before = holders_of_the_token()
    raw, _ = await gateway.open_raw(GOOD)
    await until(lambda: gateway.bus.subscriptions == 1)
    gc.collect()
    assert holders_of_the_token() == before
    raw.close()


def test_full_collections_are_rarer_and_leave_out_the_start() -> None:
    usual = gc.get_threshold()
    try:
        spare_collections()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == (*usual[:2], 5 * usual[2])
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
