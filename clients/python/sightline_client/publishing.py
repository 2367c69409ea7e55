"""`publish`, `publish_many` and `emit` over HTTP."""

import asyncio
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Self

import httpx

from sightline_client.address import find
from sightline_client.emitting import Emitter
from sightline_client.events import KnownData
from sightline_client.proof import Proven
from sightline_client.wire import (
    MAX_BATCH,
    MAX_BODY_BYTES,
    PATH,
    TIMEOUT_S,
    Fields,
    NewEvent,
    Published,
    batches,
    body_of,
    encode,
    new_event,
    published,
    request_headers,
    unreachable,
    uses_proxies,
)

__all__ = [
    "MAX_BATCH",
    "MAX_BODY_BYTES",
    "NewEvent",
    "Published",
    "Publisher",
    "batches",
    "body_of",
    "encode",
    "new_event",
    "publish",
    "publish_many",
    "published",
]


class Publisher:
    """Publishes over connections that it keeps: `async with Publisher() as publisher`."""

    def __init__(self, url: str | None = None, *, token: str | None = None) -> None:
        self._emitter: Emitter | None = None
        self._find = partial(find, url, token)
        self._gateway = Proven(self._find)
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT_S, trust_env=uses_proxies(self._gateway.found)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()
        if self._emitter is not None:
            await asyncio.to_thread(self._emitter.close)

    async def publish(
        self,
        event: NewEvent | KnownData | str,
        data: Fields | None = None,
        metadata: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Published:
        """Publish one event, given by its class or by the name of its type and its data.

        Raises:
            PublishError: unknown type or data that does not fit; no number is used up.
            RefusedError: the token is wrong, or no gateway can serve this now.
            UnreachableError: no answer: it may have been published all the same.
        """
        body = encode(new_event(event, data, metadata))
        return (await self._post(body, idempotency_key))[0]

    async def publish_many(
        self, events: Iterable[NewEvent | KnownData], *, idempotency_key: str | None = None
    ) -> list[Published]:
        """Publish up to 1,000 events in order, all or none; `batches` cuts longer rows.

        Raises:
            PublishError: one is refused, so none is published.
            RefusedError, UnreachableError: as `publish`.
        """
        return await self._post(body_of([new_event(event) for event in events]), idempotency_key)

    def emit(
        self,
        event: NewEvent | KnownData | str,
        data: Fields | None = None,
        metadata: Fields | None = None,
    ) -> None:
        """Publish one event without waiting, and never raise; `lost` counts what does not arrive.

        While the gateway is away the newest 1,000 events are kept. Leaving waits up to two seconds
        for what is still to be sent.
        """
        if self._emitter is None:
            self._emitter = Emitter(self._find)
        self._emitter.emit(event, data, metadata)

    @property
    def lost(self) -> int:
        """How many emitted events were refused, or dropped while the gateway was away."""
        return self._emitter.lost if self._emitter else 0

    async def _post(self, body: bytes, idempotency_key: str | None) -> list[Published]:
        answer = await self._try_to_post(body, idempotency_key)
        if answer.status_code == 401 and self._gateway.refused():
            answer = await self._try_to_post(body, idempotency_key)
        return published(answer)

    async def _try_to_post(self, body: bytes, idempotency_key: str | None) -> httpx.Response:
        headers = request_headers(idempotency_key) | await self._gateway.headers_soon()
        address = self._gateway.found
        try:
            return await self._http.post(address.url + PATH, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise unreachable(address, error) from error


async def publish(
    event: NewEvent | KnownData | str,
    data: Fields | None = None,
    metadata: Fields | None = None,
    *,
    idempotency_key: str | None = None,
    url: str | None = None,
    token: str | None = None,
) -> Published:
    """`Publisher.publish` over a connection of its own."""
    async with Publisher(url, token=token) as publisher:
        return await publisher.publish(event, data, metadata, idempotency_key=idempotency_key)


async def publish_many(
    events: Iterable[NewEvent | KnownData],
    *,
    idempotency_key: str | None = None,
    url: str | None = None,
    token: str | None = None,
) -> list[Published]:
    """`Publisher.publish_many` over a connection of its own."""
    async with Publisher(url, token=token) as publisher:
        return await publisher.publish_many(events, idempotency_key=idempotency_key)
