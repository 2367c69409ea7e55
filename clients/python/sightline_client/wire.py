"""What goes over HTTP to publish events, made and read without I/O."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import httpx
import msgspec

from sightline_client.address import Address
from sightline_client.core import type_of
from sightline_client.errors import InvalidDataError, ProtocolError, UnreachableError, refusal
from sightline_client.events import KnownData

PATH = "/api/events"
TIMEOUT_S = 30.0
MAX_BATCH = 1000  # both as the protocol says for one request
MAX_BODY_BYTES = 4 * 1024 * 1024
Fields = Mapping[str, object]


class NewEvent(msgspec.Struct, frozen=True):
    """An event to publish."""

    type: str
    data: Fields | KnownData
    metadata: Fields = {}


class Published(msgspec.Struct, frozen=True):
    """Where an event stands in the stream."""

    epoch: str
    sequence_number: int
    timestamp: str


def new_event(
    event: NewEvent | KnownData | str, data: Fields | None = None, metadata: Fields | None = None
) -> NewEvent:
    """An event from its class, or from the name of its type and its data."""
    if isinstance(event, NewEvent):
        return event
    if isinstance(event, str):
        return NewEvent(event, data or {}, metadata or {})
    return NewEvent(type_of(type(event)), event, metadata or {})


def encode(event: NewEvent) -> bytes:
    """Encode to strict JSON. The standard library's encoder, as msgspec's turns NaN into null.

    Raises:
        InvalidDataError: it holds NaN, bytes, a lone surrogate or a cycle.
    """
    try:
        # Bytes stay bytes, for the encoder to refuse: as base64 they would go out unasked.
        plain = msgspec.to_builtins(event, builtin_types=(bytes, bytearray, memoryview))
        return json.dumps(
            plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"event {event.type[:64]!r} cannot be encoded as JSON: {str(error)[:200]}"
        raise InvalidDataError(message, 0, "invalid_data") from error


def batches(events: Iterable[NewEvent]) -> Iterator[list[NewEvent]]:
    """Cut a long row of events into lists that each fit one `publish_many`."""
    batch: list[NewEvent] = []
    size_bytes = 0
    for event in events:
        event_bytes = len(encode(event)) + 2
        if batch and (len(batch) == MAX_BATCH or size_bytes + event_bytes > MAX_BODY_BYTES - 2):
            yield batch
            batch, size_bytes = [], 0
        batch.append(event)
        size_bytes += event_bytes
    if batch:
        yield batch


def request_headers(idempotency_key: str | None) -> dict[str, str]:
    """The headers of a publish."""
    headers = {"Content-Type": "application/json"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    return headers


def published(response: httpx.Response) -> list[Published]:
    """Read the answer.

    Raises:
        RefusedError: it is a refusal.
        ProtocolError: it is no gateway's answer.
    """
    if not response.is_success:
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise refusal(response.status_code, headers, response.content)
    try:
        answer = msgspec.json.decode(response.content, type=Published | list[Published])
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not an answer of events.v1: {error}") from error
    return answer if isinstance(answer, list) else [answer]


def body_of(events: Sequence[NewEvent]) -> bytes:
    """The array of `events`."""
    return b"[" + b",\n".join(map(encode, events)) + b"]"


def uses_proxies(address: Address) -> bool:
    """Whether to use the proxies of the environment: not for addresses of this machine."""
    return not (address.local or address.kept)


def unreachable(address: Address, error: httpx.HTTPError) -> UnreachableError:
    """The error for a failed request. It is not known whether the gateway took the events."""
    reason = str(error) or type(error).__name__
    return UnreachableError(f"{address.url} gave no complete answer: {reason}")
