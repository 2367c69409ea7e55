"""One connection to NATS, which ends with the first doubt.

Never nats-py's own reconnecting: that keeps publishes in a buffer of its own and waits for a frozen
server. Whoever holds a connection begins another one instead, and knows what is in doubt.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager, suppress

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from ...errors import UnavailableError
from . import stream
from .client import StreamClient

PING_INTERVAL_S = 10
RETRY_S = 0.25
CLOSE_WAIT_S = 1.0
CANCEL_AGAIN_S = 0.1
TROUBLE = (NatsError, OSError, TimeoutError, UnavailableError)  # what a log that is away raises
_log = structlog.get_logger("sightline.nats")


class Lost:
    """Becomes true once, when the connection is gone."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def on_closed(self) -> None:
        self._event.set()

    async def raised(self) -> None:
        """Wait for the end of the connection.

        Raises:
            ConnectionError: when it comes.
        """
        await self._event.wait()
        raise ConnectionError("the connection to NATS was lost")


@asynccontextmanager
async def connection(urls: str, domain: str | None = None) -> AsyncIterator[tuple[Client, Lost]]:
    """Connect to one of `urls`, separated by commas; closed at once when the block ends.

    Raises:
        nats.errors.Error, OSError: it cannot be reached now, or refuses.
    """
    client, lost = StreamClient(domain), Lost()
    reason = "NATS does not answer"

    async def on_error(error: Exception) -> None:
        nonlocal reason
        reason = str(error) or type(error).__name__
        _log.debug("nats_error", error=reason)

    try:
        try:
            async with asyncio.timeout(stream.REQUEST_TIMEOUT_S):
                await client.connect(
                    urls.split(","),
                    name="sightline",
                    allow_reconnect=False,
                    reconnect_time_wait=RETRY_S,  # type: ignore[arg-type]  # it only sleeps so long
                    connect_timeout=1,
                    # Above its bound nats-py waits for a frozen server without end, and swallows
                    # the cancelling of that. 0 is none: the outbox bounds what is handed over.
                    pending_size=0,
                    ping_interval=PING_INTERVAL_S,
                    closed_cb=lost.on_closed,
                    error_cb=on_error,
                )
        except TimeoutError:
            raise ConnectionError(reason) from None
        yield client, lost
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    # nats-py would first send what a frozen server does not take.
    client._pending.clear()
    client._pending_data_size = 0
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    with suppress(*TROUBLE):
        async with asyncio.timeout(CLOSE_WAIT_S):
            await client.close()


async def end(tasks: Collection[asyncio.Task[None]], again_s: float) -> None:
    """Cancel the tasks until they have ended, every `again_s` seconds.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, which nats-py uses, swallows a
    cancellation that comes together with the answer.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)


async def first_to_end(*works: Coroutine[None, None, None]) -> None:
    """Run all until one ends; cancel and await the others, and raise what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks, CANCEL_AGAIN_S)
        await asyncio.gather(*tasks, return_exceptions=True)  # read: asyncio need not complain
    for task in done:
        task.result()
