"""Control messages as tagged structs: what a client may say, and what the gateway says beside events."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ..channels.filters import Pattern
from ..errors import ErrorMessage as ErrorMessage  # a control message like those here

Id = Annotated[str, Meta(max_length=64)] | int | msgspec.UnsetType


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Add patterns to the filter."""

    types: list[Pattern]
    id: Id = msgspec.UNSET


class Unsubscribe(msgspec.Struct, tag="unsubscribe"):
    """Take exactly these patterns out of the filter."""

    types: list[Pattern]
    id: Id = msgspec.UNSET


class Ping(msgspec.Struct, tag="ping"):
    """Ask for a `pong`."""

    id: Id = msgspec.UNSET


class Limits(msgspec.Struct, frozen=True):
    """What a client may rely on; sizes in bytes, the window in seconds."""

    max_clients: int
    queue_size: int
    replay_limit: int
    replay_window_s: float
    max_message_bytes: int
    max_event_bytes: int


class HistoryStart(msgspec.Struct, frozen=True):
    """Where the history begins: a position, `epoch:number`, and the time of that event."""

    from_: str = msgspec.field(name="from")
    since: str


class Connected(msgspec.Struct, tag="connected"):
    """Always the first message of a connection."""

    client_id: str
    epoch: str
    sequence_number: int
    types: tuple[Pattern, ...]
    heartbeat_interval_s: float
    resumed: bool
    replayed: int
    limits: Limits
    protocol: Literal["events.v1"] = "events.v1"
    history: HistoryStart | None = None


class Heartbeat(msgspec.Struct, tag="heartbeat"):
    """`sequence_number` is the last one handed to this connection or filtered out for it."""

    timestamp: str
    sequence_number: int


class Notice(msgspec.Struct, tag="notice"):
    """The gateway's own condition, for people to see. It has no number: it is not in the stream."""

    timestamp: str
    code: str
    message: str

    @classmethod
    def backend_away(cls, timestamp: str) -> "Notice":
        """NATS does not answer."""
        return cls(
            timestamp,
            "backend_away",
            "NATS is away: nothing can be published, and nothing new arrives, until it is back",
        )

    @classmethod
    def backend_back(cls, timestamp: str) -> "Notice":
        """NATS answers again, and what was missed has been read."""
        return cls(timestamp, "backend_back", "NATS is back: what was missed has been read")

    @classmethod
    def of_journal(cls, timestamp: str, failing: str | None) -> "Notice":
        """The journal cannot be written, for the reason in `failing`; or, with None, can again."""
        if failing is None:
            return cls(timestamp, "journal_back", "The journal can be written again")
        return cls(
            timestamp,
            "journal_failing",
            f"The journal cannot be written ({failing}): events go on live, and may be missing from"
            " the history",
        )

    @classmethod
    def of_workspace(cls, timestamp: str, blind: Mapping[str, int]) -> "Notice":
        """Changes in parts of the workspace may be told late or not at all; with none, all are seen."""
        if not blind:
            return cls(timestamp, "workspace_back", "All of the workspace can be watched again")
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(blind.items()))
        return cls(
            timestamp,
            "workspace_blind",
            f"Parts of the workspace cannot be watched ({reasons}): their changes may come late or be"
            " missing; the gateway's log says where and what helps",
        )


class Subscribed(msgspec.Struct, tag="subscribed"):
    """The whole filter now; events above `sequence_number` use it."""

    types: tuple[Pattern, ...]
    sequence_number: int
    id: Id = msgspec.UNSET


class Pong(msgspec.Struct, tag="pong"):
    """The answer to `ping`; may overtake events."""

    timestamp: str
    id: Id = msgspec.UNSET


class _Identified(msgspec.Struct):
    id: Id = msgspec.UNSET


def id_of(text: bytes) -> Id:
    """The `id` of a message that may be wrong in all else, so that its error can name it."""
    try:
        return _decode_id(text).id
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return msgspec.UNSET


_decode_id = msgspec.json.Decoder(_Identified).decode
ControlMessage = Subscribe | Unsubscribe | Ping
Answer = Subscribed | Pong | ErrorMessage
decode_control = msgspec.json.Decoder(ControlMessage).decode
encode = msgspec.json.Encoder().encode
