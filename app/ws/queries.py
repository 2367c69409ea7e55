"""Parse the parameters of a request from its query and headers: filter, position, name. Pure."""

import re
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qsl

from ..auth.access import Access
from ..auth.credentials import values_of
from ..channels.filters import ALL, EventFilter
from ..errors import BadRequestError
from ..events import Position

MAX_SEQUENCE_NUMBER = 2**53 - 1  # the largest exact integer in JavaScript
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,16}")


class Query:
    """The parameters of one request; some may come as a header instead."""

    def __init__(self, query_string: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        text = query_string.decode("latin-1")
        self._parameters = parse_qsl(text, keep_blank_values=True, errors="replace") if text else []
        self._headers = tuple(headers)
        self._sent = {name.lower() for name, _ in self._headers}

    def get(self, name: str, header: bytes | None = None) -> str | None:
        """Return the value of `name`, or None.

        Raises:
            BadRequestError: there are different values, in the query or the header.
        """
        if not self._parameters and header not in self._sent:
            return None
        values = {value for key, value in self._parameters if key == name}
        if header in self._sent:
            values |= {value.decode("latin-1") for value in values_of(self._headers, header)}
        if len(values) > 1:
            raise BadRequestError(f"{name} was given twice with different values: send it once")
        return values.pop() if values else None

    def event_filter(self, access: Access) -> EventFilter:
        """The filter in `types`, held to what the caller may read.

        Without `types` it matches all of that, with an empty one nothing.
        """
        types = self.get("types")
        if types is None:
            return access.held(ALL)
        return access.held(EventFilter(types.split(",") if types else ()))

    def client_id(self) -> str:
        """The client's name for itself, or a new one."""
        value = self.get("client_id", b"x-client-id")
        return new_client_id() if value is None else _name("client_id", value)

    def position(
        self, name: str, header: bytes | None, epoch_header: bytes | None
    ) -> Position | None:
        """The position to resume from, or None."""
        number = self.number(name, header)
        epoch = self.get("epoch", epoch_header)
        if epoch is not None:
            _name("epoch", epoch)
            if number is None:
                raise BadRequestError(
                    f"epoch without {name}: send both, a position consists of both"
                )
        return None if number is None else Position(number, epoch)

    def any_position(self, name: str) -> Position | None:
        """A position as `epoch:number`, or as a number with the parameter `epoch`; or None."""
        value, epoch = self.get(name), self.get("epoch")
        if epoch is not None:
            _name("epoch", epoch)
        if value is None:
            if name == "after" and epoch is not None and self.get("before") is None:
                raise BadRequestError("epoch without after: send both, a position consists of both")
            return None
        if ":" in value:
            return parse_position(name, value)  # which names its epoch itself
        number = self.number(name)
        assert number is not None
        return Position(number, epoch)

    def last_event_id(self) -> Position | None:
        """The position in `Last-Event-ID`, which `EventSource` sends; or None."""
        values = {value.decode("latin-1") for value in values_of(self._headers, b"last-event-id")}
        if not values:
            return None
        value = ", ".join(values)
        epoch, _, number = value.rpartition(":")
        if not NAME.fullmatch(epoch) or not _is_number(number):
            raise BadRequestError(
                f"Last-Event-ID {value[:100]!r} is not the id of an event,"
                " epoch:sequence_number: omit it to begin live"
            )
        return Position(int(number), epoch)

    def history(self) -> bool:
        """Whether the replay is to reach back as far as the journal: `history=1`."""
        value = self.get("history")
        if value not in (None, "0", "1"):
            raise BadRequestError(f"history={value[:80]!r} is not 0 or 1")
        return value == "1"

    def number(self, name: str, header: bytes | None = None) -> int | None:
        """An integer from 0 to 2^53-1, or None."""
        value = self.get(name, header)
        if value is None:
            return None
        if not _is_number(value):
            raise BadRequestError(
                f"{name}={value[:80]!r} is not an integer from 0 to {MAX_SEQUENCE_NUMBER}"
            )
        return int(value)


def parse_position(name: str, value: str) -> Position:
    """A position as one value, `epoch:number`."""
    epoch, _, number = value.rpartition(":")
    if not NAME.fullmatch(epoch) or not _is_number(number):
        raise BadRequestError(f"{name}={value[:100]!r} is not a position, epoch:number")
    return Position(int(number), epoch)


def new_client_id() -> str:
    """A random name for a client that sends none."""
    return secrets.token_urlsafe(12)


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None and int(value) <= MAX_SEQUENCE_NUMBER


def _name(name: str, value: str) -> str:
    if not NAME.fullmatch(value):
        raise BadRequestError(f"{name}={value[:80]!r} is not 1 to 64 of A-Z a-z 0-9 . _ -")
    return value
