"""One connection to NATS, which ends at the first doubt.

nats-py's own reconnecting is off: it buffers publishes and waits for a frozen server. The backend
opens a new connection instead, and knows which publishes are in doubt.
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
INBOX = "_INBOX"
CANCEL_AGAIN_S = 0.1
TROUBLE = (
    NatsError,
    OSError,
    TimeoutError,
    UnavailableError,
)  # raised by a log that is unreachable
_log = structlog.get_logger("sightline.nats")


class Lost:
    """Set once, when the connection is lost."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def on_closed(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Wait until the connection is lost.

        Raises:
            ConnectionError: always, then.
        """
        await self._event.wait()
        raise ConnectionError("the connection to NATS was lost")


@asynccontextmanager
async def connection(
    urls: str, domain: str | None = None, inbox_prefix: str = INBOX
) -> AsyncIterator[tuple[Client, Lost]]:
    """Connect to one of the comma-separated `urls`; close at once when the block ends.

    Answers come to subjects under `inbox_prefix`: the user must be allowed to listen there.

    Raises:
        nats.errors.Error, OSError: no server is reachable, or it refuses.
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
                    reconnect_time_wait=RETRY_S,  # type: ignore[arg-type]  # it is only slept for
                    connect_timeout=1,
                    inbox_prefix=inbox_prefix,
                    # Above this bound nats-py waits forever for a frozen server and swallows
                    # cancellation. 0 means no bound: the outbox bounds what is handed over.
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
    # nats-py would first send its buffer, which a frozen server does not read.
    client._pending.clear()
    client._pending_data_size = 0
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
    with suppress(*TROUBLE):
        async with asyncio.timeout(CLOSE_WAIT_S):
            await client.close()


async def end(tasks: Collection[asyncio.Task[None]], again_s: float) -> None:
    """Cancel the tasks every `again_s` seconds until they have ended.

    One cancellation may be swallowed: on Python 3.11 by `asyncio.wait_for`, which nats-py uses, if
    it comes together with the answer.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)


async def first_to_end(*works: Coroutine[None, None, None]) -> None:
    """Run all until one ends, cancel and await the others; raise what the first one raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks, CANCEL_AGAIN_S)
        await asyncio.gather(*tasks, return_exceptions=True)  # marks errors as retrieved
    for task in done:
        task.result()
