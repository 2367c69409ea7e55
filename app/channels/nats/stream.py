"""The JetStream stream that all gateways share: created if absent, never changed; and its epoch."""

import base64
from datetime import datetime

import msgspec
from nats.aio.client import Client

from ...errors import SettingsError, UnavailableError
from ...settings import PREFIX, Settings
from .client import StreamClient
from .message import BODY_MARGIN_BYTES, SUBJECTS

REQUEST_TIMEOUT_S = 2.0
DUPLICATE_WINDOW_S = 120  # how long the stream remembers idempotency keys
_NS = 1_000_000_000
NOT_FOUND, NO_MESSAGE, NAME_IN_USE = 10059, 10037, 10058  # JetStream's own error numbers


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration, under JetStream's names. Ages are nanoseconds, -1 is no limit."""

    name: str
    subjects: tuple[str, ...] = (SUBJECTS,)
    storage: str = "file"
    num_replicas: int = 1
    max_age: int = 0
    max_bytes: int = -1
    duplicate_window: int = 0
    max_msgs: int = -1
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    retention: str = "limits"
    discard: str = "old"
    no_ack: bool = False
    sealed: bool = False


_VARIABLES = {
    "num_replicas": "NATS_REPLICAS",
    "max_age": "NATS_MAX_AGE_S",
    "max_bytes": "NATS_MAX_BYTES",
}


class StreamState(msgspec.Struct, frozen=True):
    """The numbers in the stream; `first_seq` is above `last_seq` when it is empty."""

    first_seq: int
    last_seq: int


class StreamInfo(msgspec.Struct, frozen=True):
    """The stream as the server describes it, and the server's time `ts`."""

    config: StreamConfig
    created: str
    state: StreamState
    ts: str
    domain: str = ""

    @property
    def epoch(self) -> str:
        """The name of this incarnation, from the time of creation."""
        return self.created.replace("-", "").replace(":", "")


class ApiError(msgspec.Struct, frozen=True):
    """An error of JetStream."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Refusal(msgspec.Struct):
    error: ApiError | None = None


class RefusedError(UnavailableError):
    """JetStream answered a request with an error."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(f"JetStream refused: {error.description} ({error.err_code})")
        self.error = error


class _StoredMessage(msgspec.Struct):
    subject: str
    data: str = ""


class _StoredMessageAnswer(msgspec.Struct):
    message: _StoredMessage


def wanted(settings: Settings) -> StreamConfig:
    """The stream that the settings ask for."""
    return StreamConfig(
        name=settings.nats_stream,
        num_replicas=settings.nats_replicas,
        max_age=int(settings.nats_max_age_s * _NS),
        max_bytes=settings.nats_max_bytes,
        duplicate_window=int(min(DUPLICATE_WINDOW_S, settings.nats_max_age_s) * _NS),
    )


def differences(found: StreamConfig, asked: StreamConfig) -> str | None:
    """List what differs and the settings concerned, in one line; None if nothing differs."""
    lines = []
    for name in StreamConfig.__struct_fields__:
        has, wants = getattr(found, name), getattr(asked, name)
        if has != wants:
            variable = f" ({PREFIX}{_VARIABLES[name]})" if name in _VARIABLES else ""
            lines.append(f"{name} is {_shown(name, has)}, not {_shown(name, wants)}{variable}")
    return "; ".join(lines) or None


def _shown(name: str, value: object) -> str:
    if name in ("max_age", "duplicate_window") and isinstance(value, int):
        return f"{value / _NS:g} s"
    return repr(list(value) if isinstance(value, tuple) else value)


async def request(client: Client, operation: str, body: bytes = b"") -> bytes:
    """Send a request to the JetStream API and return the answer.

    Raises:
        RefusedError: JetStream answered with an error.
        nats.errors.Error: it did not answer.
    """
    api = client.api if isinstance(client, StreamClient) else "$JS.API"
    answer = await client.request(f"{api}.{operation}", body, timeout=REQUEST_TIMEOUT_S)
    require_accepted(answer.data)
    return answer.data


def require_accepted(answer: bytes) -> None:
    """Raise `RefusedError` if JetStream answered with an error."""
    refusal = msgspec.json.decode(answer, type=_Refusal)
    if refusal.error is not None:
        raise RefusedError(refusal.error)


async def find_or_create(client: Client, asked: StreamConfig) -> StreamInfo:
    """Return the stream; create it if it is absent. An existing one is never changed.

    Raises:
        RefusedError, nats.errors.Error: as `request`.
    """
    try:
        answer = await request(client, f"STREAM.INFO.{asked.name}")
    except RefusedError as refused:
        if refused.error.err_code != NOT_FOUND:
            raise
        try:
            await request(client, f"STREAM.CREATE.{asked.name}", msgspec.json.encode(asked))
        except RefusedError as race:
            if race.error.err_code != NAME_IN_USE:
                raise
        answer = await request(client, f"STREAM.INFO.{asked.name}")
    return msgspec.json.decode(answer, type=StreamInfo)


def check(found: StreamInfo, asked: StreamConfig) -> None:
    """Refuse a stream that differs from the settings.

    Raises:
        SettingsError: lists the differences.
    """
    if (text := differences(found.config, asked)) is not None:
        raise SettingsError(
            f"the stream {asked.name!r} on NATS is not as the settings ask, and is never changed:"
            f" {text}; give the settings that it has, change it with `nats stream edit`,"
            f" or name another in {PREFIX}NATS_STREAM"
        )


def check_payload(client: Client, max_event_bytes: int) -> None:
    """Refuse a server whose `max_payload` is too small for the largest event.

    Raises:
        SettingsError: names both sizes.
    """
    most = max_event_bytes + BODY_MARGIN_BYTES
    if client.max_payload < most:
        raise SettingsError(
            f"NATS takes messages of {client.max_payload} bytes, an event may have {most}:"
            f" raise its `max_payload` or lower {PREFIX}MAX_EVENT_BYTES"
        )


async def fetch(client: Client, name: str, number: int) -> tuple[str, bytes] | None:
    """Subject and body of one message, or None if the stream no longer has it."""
    try:
        answer = await request(client, f"STREAM.MSG.GET.{name}", b'{"seq":%d}' % number)
    except RefusedError as refused:
        if refused.error.err_code == NO_MESSAGE:
            return None
        raise
    message = msgspec.json.decode(answer, type=_StoredMessageAnswer).message
    return message.subject, base64.b64decode(message.data)


def seconds(time: str) -> float:
    """Unix seconds of a server's RFC 3339 time."""
    return datetime.fromisoformat(time).timestamp()
