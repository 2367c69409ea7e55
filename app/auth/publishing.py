"""`HeldPublisher`: the gateway's publisher as one credential may use it. Routes get no other."""

import concurrent.futures
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import msgspec

from ..channels.encoding import Fields
from ..channels.publisher import EventPublisher
from ..errors import UnauthorizedError
from ..events import Event
from .credentials import SIGNS, Credential, credential_in

PUBLISHER = "publisher"  # in `metadata`: the name of the token that published
_Event = str | msgspec.Struct


def held_publisher(publisher: EventPublisher, scope: Mapping[str, object]) -> "HeldPublisher":
    """The publisher of a request, held to what its credential may publish.

    Every route that publishes what a request brings uses this one: injected as `publisher`.
    """
    credential = credential_in(scope)
    # Without named tokens, nothing is signed: everything is as it was before they existed.
    signs = bool(cast(Mapping[str, object], scope["state"]).get(SIGNS))
    return HeldPublisher(publisher, credential, signs=signs or credential.access.is_named)


class HeldPublisher(EventPublisher):
    """Refuses types that the credential may not publish, and sets `metadata.publisher` to its name.

    Refuses everything once the credential has ended, also for a request that began before.

    Idempotency keys count for each token alone: nobody can use up the keys of another.
    """

    def __init__(self, publisher: EventPublisher, credential: Credential, *, signs: bool) -> None:
        """`publisher` does the work. Without `signs`, metadata and keys stay as they are."""
        self._signs = signs
        self.disk = publisher.disk
        self.max_event_bytes = publisher.max_event_bytes
        self.redactor = publisher.redactor
        self.emit_failures = publisher.emit_failures
        self._publisher = publisher
        self._credential = credential
        self._access = credential.access

    async def publish(
        self,
        event: _Event,
        data: Fields | None = None,
        metadata: Fields | None = None,
        *,
        key: str | None = None,
        durable: bool = False,
    ) -> Event:
        """As `EventPublisher.publish`; raises `ForbiddenError` and `UnauthorizedError` too."""
        metadata = self._signed(event, metadata)
        key = None if key is None else self._own(key)
        return await self._publisher.publish(event, data, metadata, key=key, durable=durable)

    async def publish_all(
        self,
        events: Iterable[tuple[_Event, Fields, Fields]],
        keys: Sequence[str | None] | None = None,
        *,
        durable: bool = False,
    ) -> list[Event]:
        """As `EventPublisher.publish_all`; refuses as `publish`, and publishes none then."""
        signed = (
            (event, data, self._signed(event, metadata) or {}) for event, data, metadata in events
        )
        own = None if keys is None else [None if key is None else self._own(key) for key in keys]
        return await self._publisher.publish_all(signed, own, durable=durable)

    def emit_for(self, given: str, event: str, data: Fields, metadata: Fields) -> None:
        """Emit what the gateway made of an event of type `given`: `given` must be allowed.

        So the refusal tells nothing of what the gateway knew.
        """
        self._publisher.emit(event, data, self._signed(given, metadata))

    def emit(
        self, event: _Event, data: Fields | None = None, metadata: Fields | None = None
    ) -> None:
        """As `EventPublisher.emit`; refuses as `publish`."""
        self._publisher.emit(event, data, self._signed(event, metadata))

    def publish_from_thread(
        self, event: _Event, data: Fields | None = None, metadata: Fields | None = None
    ) -> concurrent.futures.Future[Event]:
        """As `EventPublisher.publish_from_thread`; refuses as `publish`."""
        return self._publisher.publish_from_thread(event, data, self._signed(event, metadata))

    def _signed(self, event: _Event, metadata: Fields | None) -> Fields | None:
        type_ = event if isinstance(event, str) else self._publisher.catalog.type_of(type(event))
        if self._credential.ended:
            raise UnauthorizedError(
                "the token or log-in has ended since this request began: send it with one that counts"
            )
        self._access.require_publish(type_)
        if not self._signs:
            return metadata
        return {**(metadata or {}), PUBLISHER: self._access.name}

    def _own(self, key: str) -> str:
        if not self._signs:
            return key
        return hashlib.sha256(f"{self._access.name}\n{key}".encode()).hexdigest()
