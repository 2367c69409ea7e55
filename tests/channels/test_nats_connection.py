"""What holds a connection to NATS together, without one."""

import asyncio
import gc

import pytest

from app.channels.nats_connection import first_to_end


async def test_works_that_fail_together_leave_nothing_for_the_loop_to_complain_of() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))

    async def fail() -> None:
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"):
        await first_to_end(fail(), fail())
    gc.collect()
    assert complaints == []
