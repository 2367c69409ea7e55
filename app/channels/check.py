"""`EventCheck`: encodes and checks events before they get a number."""

import re

import msgspec

from ..catalog.registry import Catalog
from ..errors import EventTooLargeError, PublishError
from ..events import Clock
from .bus import Contents
from .encoding import Fields, encode, too_large

_KEY = re.compile(r"[!-~]{1,256}")  # `POST` adds an index to the keys of an array
Checked = tuple[str, str, Contents]  # type, timestamp, data and metadata


class EventCheck:
    """The checks that every event passes: JSON, size, catalog."""

    def __init__(self, catalog: Catalog, clock: Clock, max_bytes: int) -> None:
        self._catalog = catalog
        self._clock = clock
        self._max_bytes = max_bytes

    def check(
        self, event: str | msgspec.Struct, data: Fields | None, metadata: Fields | None
    ) -> Checked:
        """Return the event's type, timestamp and encoded contents.

        Raises:
            PublishError: the type is unknown, or the data does not fit.
        """
        payload: Fields | msgspec.Struct
        if isinstance(event, str):
            type_, payload = event, data if data is not None else {}
        else:
            type_, payload = self._catalog.type_of(type(event)), event
        max_bytes = self._max_bytes
        encoded, fields = encode("data", payload, max_bytes)
        encoded_metadata = encode("metadata", metadata, max_bytes)[0] if metadata else b"{}"
        size = len(encoded) + len(encoded_metadata)
        if size > max_bytes:
            raise EventTooLargeError(too_large("the event", size, max_bytes))
        self._catalog.check(type_, fields)
        return type_, self._clock.timestamp(), (encoded, encoded_metadata)


def check_key(key: str) -> None:
    """Refuse a key that would end the connection to NATS, which all publishers share.

    Raises:
        PublishError: the key is not 1 to 256 visible ASCII characters.
    """
    if not _KEY.fullmatch(key):
        raise PublishError(
            f"the key {key[:80]!r} is not 1 to 256 visible ASCII characters: send a digest of it"
        )
