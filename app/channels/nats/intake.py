"""`Intake`: events from messages of the stream, without the secrets that other programs publish.

What a gateway published is redacted already. No mark tells such a message apart, because any client
of NATS could write that mark: every message is searched, which changes nothing in one of a gateway.
"""

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from ...errors import InvalidDataError
from ...events import Event
from ...redaction import Redactor
from ..bus import Contents
from ..encoding import as_encoded
from .message import event_of, read_message

MAX_ERROR = 300  # characters of an error that clients and the log get
Read = tuple[str, str, Contents]  # type, timestamp, data and metadata


class Intake:
    """Reads messages that any client of NATS may have written."""

    def __init__(self, redactor: Redactor, max_event_bytes: int | None = None) -> None:
        self._redactor = redactor
        self._max_event_bytes = max_event_bytes
        self._is_secret = lru_cache(maxsize=1024)(
            lambda type_: redactor.redact_text(type_) != type_
        )

    def read(self, subject: str, body: bytes) -> Read:
        """Type, timestamp and contents of a message.

        Raises:
            ValueError: no gateway could have published it; show its text only as `in_place_of` does.
        """
        type_, timestamp, (data, metadata) = read_message(subject, body, self._max_event_bytes)
        if self._is_secret(type_):
            raise ValueError("no event: its type looks like a secret")
        try:
            data, metadata = as_encoded("data", data), as_encoded("metadata", metadata)
        except InvalidDataError as error:
            raise ValueError(f"no event: {error}") from error
        redact = self._redactor.redact
        if self._redactor.has_candidates(data + metadata):  # one search for both
            data, metadata = redact(data), redact(metadata)
            size, most = len(data) + len(metadata), self._max_event_bytes
            if most is not None and size > most:  # the marks can be longer
                raise ValueError(f"no event: it has {size} bytes without its secrets")
        return type_, timestamp, (data, metadata)

    def read_event(self, subject: str, body: bytes, number: int) -> Event:
        """The event of a message that is read outside the follower; raises as `read`."""
        return event_of(number, *self.read(subject, body))

    def in_place_of(self, number: int, stored_at: float, error: ValueError) -> Read:
        """A `system.error` event in place of a foreign message: the same one on every gateway.

        `stored_at` is in Unix seconds.
        """
        why = self._redactor.redact_text(str(error))[:MAX_ERROR]
        data = {
            "message": f"message {number} of the stream is not an event: {why}",
            "code": "foreign_message",
            "component": "nats",
        }
        time = datetime.fromtimestamp(stored_at, UTC)
        timestamp = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
        return "system.error", timestamp, (msgspec.json.encode(data), b"{}")
