"""`BucketValue`: one value in a JetStream key-value bucket, which all gateways read.

A gateway asks for the newest value again and again instead of watching the bucket: each answer is
complete, so nothing can be missed, whatever happened to the connection in between.
"""

import asyncio
import base64
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec
from nats.aio.client import Client

from ...errors import SettingsError, UnavailableError
from ...settings import PREFIX, Settings
from . import remedies, stream
from .client import check_urls
from .connection import INBOX, RETRY_S, TROUBLE, connection

START_WAIT_S = 15.0  # the gateway and NATS may start at the same moment
MOST_BYTES = 512 * 1024  # an answer of JetStream has it as base64, within the usual 1 MiB
_HEADER_BYTES = 4096
_WRONG_REVISION = (10071, 10164)  # JetStream's own error numbers


class Stored(NamedTuple):
    """A value: its revision, when the server stored it, and its bytes, empty once deleted."""

    revision: int
    stored_at: float
    body: bytes


class _Message(msgspec.Struct):
    seq: int
    time: str
    data: str = ""


class _MessageAnswer(msgspec.Struct):
    message: _Message


class BucketValue:
    """Connects when it is first used, and again after every doubt."""

    def __init__(
        self, settings: Settings, purpose: str, key: str, inbox_prefix: str = INBOX
    ) -> None:
        """The bucket is called as the stream, `_` and `purpose`.

        Raises:
            SettingsError: no NATS is given, or its client lacks a package.
        """
        if settings.nats_url is None:
            raise SettingsError(
                f"{PREFIX}{purpose.upper()}=nats needs a NATS server: give {PREFIX}NATS_URL"
            )
        check_urls(settings.nats_url)
        bucket = f"{settings.nats_stream}_{purpose}"
        self.newest: Stored | None = None  # what `start` has read
        self.where = f"{bucket}/{key} on NATS"
        self._url = settings.nats_url
        self._domain = settings.nats_domain
        self._replicas = settings.nats_replicas
        self._stream = f"KV_{bucket}"
        self._subjects = f"$KV.{bucket}.>"
        self._subject = f"$KV.{bucket}.{key}"
        self._inbox_prefix = inbox_prefix
        self._open = AsyncExitStack()
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Read the value once, into `newest`; wait for NATS if it starts at the same moment.

        Raises:
            SettingsError: NATS is not there, or does not let this user read.
        """
        trouble: UnavailableError | None = None
        try:
            async with asyncio.timeout(START_WAIT_S):
                while True:
                    try:
                        self.newest = await self.read()
                        return
                    except UnavailableError as error:
                        trouble = error
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            cause = None if trouble is None else trouble.__cause__ or trouble
            raise SettingsError(
                f"{remedies.cannot_be_used(cause, self._domain)}; if it can be reached, its user"
                f" must be allowed to publish to $JS.API.STREAM.MSG.GET.{self._stream}"
            ) from None

    async def read(self) -> Stored | None:
        """The newest value; None if there has never been one.

        Raises:
            UnavailableError: NATS is away, or does not let this user read.
        """
        asked = msgspec.json.encode({"last_by_subj": self._subject})
        async with self._lock:
            try:
                client = await self._connected()
                answer = await stream.request(client, f"STREAM.MSG.GET.{self._stream}", asked)
                message = msgspec.json.decode(answer, type=_MessageAnswer).message
                stored_at = stream.seconds(message.time)
                return Stored(message.seq, stored_at, base64.b64decode(message.data))
            except stream.RefusedError as refused:
                if refused.error.err_code not in (stream.NOT_FOUND, stream.NO_MESSAGE):
                    raise
                return None
            except TROUBLE as error:
                await self._disconnect()
                raise UnavailableError(remedies.text_of(error)) from error

    async def write(self, body: bytes, after: int) -> bool:
        """Replace the value that has the revision `after`, which is 0 if there is none.

        Returns False, and stores nothing, if the value has another revision: somebody else wrote.

        Raises:
            UnavailableError: NATS is away, or refuses. The value may or may not be stored.
        """
        async with self._lock:
            try:
                client = await self._connected()
                if after == 0:
                    await self._make_bucket(client)
                await self._publish(client, body, after)
                return True
            except stream.RefusedError as refused:
                if refused.error.err_code not in _WRONG_REVISION:
                    raise
                return False
            except TROUBLE as error:
                await self._disconnect()
                raise UnavailableError(remedies.text_of(error)) from error

    async def close(self) -> None:
        """End the connection."""
        async with self._lock:
            await self._disconnect()

    async def _connected(self) -> Client:
        if self._client is not None:
            return self._client
        client, _ = await self._open.enter_async_context(
            connection(self._url, self._domain, self._inbox_prefix)
        )
        self._client = client
        return client

    async def _disconnect(self) -> None:
        self._client = None
        await self._open.aclose()

    async def _publish(self, client: Client, body: bytes, after: int) -> None:
        # A subject of a bucket crosses domains, unless it begins as the API of one.
        prefix = f"$JS.{self._domain}.API." if self._domain else ""
        headers = {
            "Nats-Expected-Stream": self._stream,
            "Nats-Expected-Last-Subject-Sequence": str(after),
        }
        answer = await client.request(
            prefix + self._subject, body, timeout=stream.REQUEST_TIMEOUT_S, headers=headers
        )
        stream.require_accepted(answer.data)

    async def _make_bucket(self, client: Client) -> None:
        """Make the bucket, unless there is one, as other programs know buckets."""
        asked = {
            "name": self._stream,
            "subjects": [self._subjects],
            "storage": "file",
            "num_replicas": self._replicas,
            "max_msgs_per_subject": 1,
            "max_msg_size": MOST_BYTES + _HEADER_BYTES,
            "max_bytes": 4 * MOST_BYTES,
            "discard": "new",
            "deny_delete": True,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        }
        try:
            await stream.request(
                client, f"STREAM.CREATE.{self._stream}", msgspec.json.encode(asked)
            )
        except stream.RefusedError as refused:
            if refused.error.err_code != stream.NAME_IN_USE:
                raise
