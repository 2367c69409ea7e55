"""The JetStream stream that all gateways share: made if absent, never changed, and its epoch."""

import asyncio
import base64
from datetime import datetime

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from app.channels.message import SUBJECTS, subject_of
from app.errors import SettingsError, UnavailableError
from app.settings import PREFIX, Settings

REQUEST_TIMEOUT_S = 2.0
PROBE_S = 0.5  # in which every stream that takes the events, however far, answers
DUPLICATE_WINDOW_S = 120  # how long the stream remembers idempotency keys
_NS = 1_000_000_000
_NOT_FOUND, _NO_MESSAGE, _NAME_IN_USE = 10059, 10037, 10058  # JetStream's own error numbers


class StreamClient(Client):
    """A connection to the JetStream API of one domain, or of the server's own."""

    def __init__(self, domain: str | None = None) -> None:
        super().__init__()
        self.api = f"$JS.{domain}.API" if domain else "$JS.API"

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """Whatever anybody wrote into the headers of a message, the connection goes on."""
        try:
            return await super()._process_headers(headers)
        except Exception:
            return None


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateways rely on, under JetStream's names; ages are nanoseconds, -1 is no limit."""

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
    """The numbers that the stream holds; `first_seq` is above `last_seq` when it is empty."""

    first_seq: int
    last_seq: int


class StreamInfo(msgspec.Struct, frozen=True):
    """The stream as the server has it, and the server's time of saying so."""

    config: StreamConfig
    created: str
    state: StreamState
    ts: str
    domain: str = ""

    @property
    def epoch(self) -> str:
        """The name of this incarnation: a stream that is made again was created at another time."""
        return self.created.replace("-", "").replace(":", "")


class ApiError(msgspec.Struct, frozen=True):
    """Why JetStream refused."""

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


class _ProbeAnswer(msgspec.Struct):
    stream: str = ""


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
    """Say in one line what differs and which settings are concerned; None if nothing does."""
    said = []
    for name in StreamConfig.__struct_fields__:
        has, wants = getattr(found, name), getattr(asked, name)
        if has != wants:
            variable = f" ({PREFIX}{_VARIABLES[name]})" if name in _VARIABLES else ""
            said.append(f"{name} is {_shown(name, has)}, not {_shown(name, wants)}{variable}")
    return "; ".join(said) or None


def _shown(name: str, value: object) -> str:
    if name in ("max_age", "duplicate_window") and isinstance(value, int):
        return f"{value / _NS:g} s"
    return repr(list(value) if isinstance(value, tuple) else value)


async def request(client: Client, operation: str, body: bytes = b"") -> bytes:
    """Ask the JetStream API.

    Raises:
        RefusedError: JetStream answered with an error.
        nats.errors.Error: it did not answer.
    """
    api = client.api if isinstance(client, StreamClient) else "$JS.API"
    answer = await client.request(f"{api}.{operation}", body, timeout=REQUEST_TIMEOUT_S)
    refusal = msgspec.json.decode(answer.data, type=_Refusal)
    if refusal.error is not None:
        raise RefusedError(refusal.error)
    return answer.data


async def look(client: Client, asked: StreamConfig) -> StreamInfo:
    """Look at the stream; make it if it is absent. One that differs is left alone.

    Raises:
        RefusedError, nats.errors.Error: as `request`.
    """
    try:
        answer = await request(client, f"STREAM.INFO.{asked.name}")
    except RefusedError as refused:
        if refused.error.err_code != _NOT_FOUND:
            raise
        try:
            await request(client, f"STREAM.CREATE.{asked.name}", msgspec.json.encode(asked))
        except RefusedError as race:
            if race.error.err_code != _NAME_IN_USE:
                raise
        answer = await request(client, f"STREAM.INFO.{asked.name}")
    return msgspec.json.decode(answer, type=StreamInfo)


async def look_first(client: Client, asked: StreamConfig) -> StreamInfo:
    """`look`, at the start of a gateway: with one stream alone does an event have one number.

    Raises:
        SettingsError: what is published reaches more streams than one, in several domains.
        RefusedError, nats.errors.Error: as `request`.
    """
    if takers := await _takers(client):
        try:  # one may be that of another domain: then none must be made here
            await request(client, f"STREAM.INFO.{asked.name}")
        except RefusedError as refused:
            if refused.error.err_code != _NOT_FOUND:
                raise
            raise _ambiguous([*takers, asked.name]) from None
    found = await look(client, asked)
    if not takers:  # another gateway may have made one at the same moment
        takers = await _takers(client)
    if len(takers) > 1:
        raise _ambiguous(takers)
    return found


async def _takers(client: Client) -> list[str]:
    """The names of all streams, of whatever domain, that would keep a message under our subjects.

    Each refuses a message that expects another stream, and keeps nothing.
    """
    takers: list[str] = []

    async def on_answer(message: Msg) -> None:
        if message.data:  # without any, the server says that nobody takes it
            takers.append(msgspec.json.decode(message.data, type=_ProbeAnswer).stream)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=on_answer)
    try:
        headers = {"Nats-Expected-Stream": "no-stream-has-this-name"}
        await client.publish(subject_of("sightline.probe"), reply=inbox, headers=headers)
        await asyncio.sleep(PROBE_S)
    finally:
        await subscription.unsubscribe()
    return takers


def _ambiguous(takers: list[str]) -> SettingsError:
    names = ", ".join(map(repr, takers))
    return SettingsError(
        f"events published to NATS here would be kept by {len(takers)} streams ({names}), in several"
        f" JetStream domains, and so have several numbers: name one domain in {PREFIX}NATS_DOMAIN of"
        " all gateways, and delete the stream in each other one (`nats stream rm --js-domain …`)"
    )


def check(found: StreamInfo, asked: StreamConfig) -> None:
    """Refuse to work on a stream that is not what the settings ask for.

    Raises:
        SettingsError: says what differs.
    """
    if (said := differences(found.config, asked)) is not None:
        raise SettingsError(
            f"the stream {asked.name!r} on NATS is not as the settings ask, and is never changed:"
            f" {said}; give the settings that it has, change it with `nats stream edit`,"
            f" or name another in {PREFIX}NATS_STREAM"
        )


async def fetch(client: Client, name: str, number: int) -> tuple[str, bytes] | None:
    """Subject and body of one message, or None if the stream no longer has it."""
    try:
        answer = await request(client, f"STREAM.MSG.GET.{name}", b'{"seq":%d}' % number)
    except RefusedError as refused:
        if refused.error.err_code == _NO_MESSAGE:
            return None
        raise
    message = msgspec.json.decode(answer, type=_StoredMessageAnswer).message
    return message.subject, base64.b64decode(message.data)


def seconds(time: str) -> float:
    """Unix seconds of a server's RFC 3339 time."""
    return datetime.fromisoformat(time).timestamp()
