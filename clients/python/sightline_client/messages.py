"""What arrives: `Event` and `Gap` for the user, and the control messages that the core reads."""

import re
from collections.abc import Mapping

import msgspec

from sightline_client.errors import ProtocolError
from sightline_client.events import DATA_CLASSES, KnownData

Data = KnownData | dict[str, object]


class Position(msgspec.Struct, frozen=True):
    """A place in the stream: the last number processed. `epoch` None means the current one."""

    sequence_number: int
    epoch: str | None = None


class Event(msgspec.Struct, frozen=True):
    """One event. `data` is its type's class, and a dict for a type unknown to this client.

    `case Event(WorkflowStarted(workflow_name=name))` matches on it. `raw` is the message as it
    came, so also with the fields of `data` that the class does not know.
    """

    data: Data
    type: str
    timestamp: str
    sequence_number: int
    metadata: dict[str, object]
    raw: str

    @property
    def fields(self) -> dict[str, object]:
        """`data` as a dict whatever the type, with every field that came; made anew each time."""
        return msgspec.json.decode(_decode_envelope(self.raw).data, type=dict[str, object])


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """Events were lost to this client exactly here. The range is inclusive; None: not known."""

    from_sequence_number: int | None
    to_sequence_number: int | None
    dropped: int | None
    reason: str


Item = Event | Gap


class Limits(msgspec.Struct, frozen=True):
    """What the gateway holds a client to; sizes in bytes, the window in seconds."""

    max_clients: int
    queue_size: int
    replay_limit: int
    replay_window_s: float
    max_message_bytes: int
    max_event_bytes: int


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """The first message of a connection."""

    client_id: str
    epoch: str
    sequence_number: int
    types: tuple[str, ...]
    heartbeat_interval_s: float
    resumed: bool
    replayed: int | None  # None: from the history, whose events are not counted before
    limits: Limits


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """The connection works, and all up to this number was handed over or filtered out."""

    sequence_number: int


class Complaint(msgspec.Struct, frozen=True, tag="error"):
    """The gateway's answer to a control message."""

    message: str
    code: str


Control = Connected | Gap | Heartbeat | Complaint


class _Envelope(msgspec.Struct):
    type: str
    timestamp: str
    sequence_number: int
    data: msgspec.Raw
    metadata: dict[str, object] = {}


class _Type(msgspec.Struct):
    type: str


_decode_type = msgspec.json.Decoder(_Type).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_control = msgspec.json.Decoder(Control).decode
_decode_dict = msgspec.json.Decoder(dict[str, object]).decode
_DECODERS: Mapping[str, msgspec.json.Decoder[KnownData]] = {
    type_: msgspec.json.Decoder(data) for type_, data in DATA_CLASSES.items()
}
_CONTROL = {"connected", "gap", "heartbeat", "error"}
_HEAD = re.compile(
    r'\{"type":"(?P<type>[^"\\]*)"(?:,"timestamp":"[^"\\]*","sequence_number":(?P<number>\d{1,16})\D)?'
)
UNDECODABLE = "undecodable"


def decode(text: str) -> Event | Control | None:
    """Read one message; None for a control message without meaning for this client.

    Raises:
        ProtocolError: no `events.v1` gateway says this.
    """
    try:
        type_ = _decode_type(text).type
        if "." in type_:
            return _event(text)
        return _decode_control(text) if type_ in _CONTROL else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"not a message of events.v1: {error}; got {text[:80]!r}") from error


def loss_in(text: str) -> Gap | None:
    """The loss with a message that `decode` refuses; None if it cannot be an event or a gap.

    How a gateway writes the head of an event is enough to say which one it was.
    """
    head = _HEAD.match(text)
    if head is None:
        return Gap(None, None, None, UNDECODABLE)
    if "." not in head["type"] and head["type"] != "gap":
        return None
    if head["number"] is None:
        return Gap(None, None, None, UNDECODABLE)
    number = int(head["number"])
    return Gap(number, number, 1, UNDECODABLE)


def _event(text: str) -> Event:
    envelope = _decode_envelope(text)
    decoder = _DECODERS.get(envelope.type)
    data: Data
    try:
        data = decoder.decode(envelope.data) if decoder else _decode_dict(envelope.data)
    except msgspec.ValidationError:  # a catalog other than this client's
        data = _decode_dict(envelope.data)
    return Event(
        data,
        envelope.type,
        envelope.timestamp,
        envelope.sequence_number,
        envelope.metadata,
        text,
    )
