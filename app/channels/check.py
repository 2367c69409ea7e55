"""`EventCheck`: encodes and checks events before they get a number."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat

import msgspec

from ..catalog.registry import Catalog
from ..errors import EventTooLargeError, PublishError
from ..events import Clock
from ..redaction import Redactor
from .bus import Contents
from .encoding import Fields, encode, too_large

_decode = msgspec.json.Decoder(dict[str, object]).decode
_KEY = re.compile(r"[!-~]{1,256}")  # `POST` adds an index to the keys of an array
TURN_BYTES = 64 * 1024  # of events, which takes about a millisecond, where each event counts as
EVENT_BYTES = 512  # more than its bytes: an empty event takes about as long as these
Checked = tuple[str, str, Contents]  # type, timestamp, data and metadata


class EventCheck:
    """What every event passes: JSON, size, redaction, catalog.

    The catalog checks what is left after redaction, which is what readers decode.
    """

    def __init__(self, catalog: Catalog, clock: Clock, max_bytes: int, redactor: Redactor) -> None:
        self._catalog = catalog
        self._clock = clock
        self._max_bytes = max_bytes
        self._redactor = redactor
        self._redact_type = lru_cache(maxsize=1024)(redactor.redact_text)

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
        if type_ not in self._catalog.structs:  # an unknown type is shown in an error
            type_ = self._redact_type(type_)
        max_bytes, redact = self._max_bytes, self._redactor.redact_text
        encoded, fields = encode("data", payload, max_bytes, redact)
        encoded_metadata = encode("metadata", metadata, max_bytes, redact)[0] if metadata else b"{}"
        self._ensure_fits(encoded, encoded_metadata)
        redactor = self._redactor
        if redactor.has_candidates(encoded + encoded_metadata):
            encoded, encoded_metadata = redactor.redact(encoded), redactor.redact(encoded_metadata)
            self._ensure_fits(encoded, encoded_metadata)  # the marks can be longer
            fields = _decode(encoded)
        self._catalog.check(type_, fields)
        return type_, self._clock.timestamp(), (encoded, encoded_metadata)

    async def check_all(
        self,
        events: Iterable[tuple[str | msgspec.Struct, Fields, Fields]],
        keys: Sequence[str | None] | None,
    ) -> list[tuple[Checked, str | None]]:
        """Check all, each with its key, and give the loop a turn after every `TURN_BYTES`.

        Raises:
            PublishError: as `check` and `check_key`.
        """
        checked, size = list[tuple[Checked, str | None]](), 0
        given: Iterable[str | None] = keys or repeat(None)
        for event, key in zip(events, given, strict=bool(keys)):
            one = self.check(*event)
            checked.append((one, None if key is None else self.check_key(key)))
            size += EVENT_BYTES + sum(map(len, one[2]))
            if size >= TURN_BYTES:
                size = 0
                await asyncio.sleep(0)
        return checked

    def _ensure_fits(self, data: bytes, metadata: bytes) -> None:
        size = len(data) + len(metadata)
        if size > self._max_bytes:
            raise EventTooLargeError(too_large("the event", size, self._max_bytes))

    def check_key(self, key: str) -> str:
        """The key, or a digest of it if it has the shape of a secret, as NATS stores keys.

        Raises:
            PublishError: the key is not 1 to 256 visible ASCII characters, so it would end the
                connection to NATS, which all publishers share.
        """
        redacted = self._redactor.redact_text(key)
        if not _KEY.fullmatch(key):
            raise PublishError(
                f"the key {redacted[:80]!r} is not 1 to 256 visible ASCII characters:"
                " send a digest of it"
            )
        return key if redacted == key else hashlib.sha256(key.encode()).hexdigest()
