"""Control messages as tagged structs: what a client sends, and what the gateway sends it."""

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
    """Remove exactly these patterns from the filter."""

    types: list[Pattern]
    id: Id = msgspec.UNSET


class Ping(msgspec.Struct, tag="ping"):
    """Request a `pong`."""

    id: Id = msgspec.UNSET


class Limits(msgspec.Struct, frozen=True):
    """The limits of this gateway; sizes in bytes, the window in seconds."""

    max_clients: int
    queue_size: int
    replay_limit: int
    replay_window_s: float
    max_message_bytes: int
    max_event_bytes: int


class HistoryStart(msgspec.Struct, frozen=True):
    """The first event of the history: its position, `epoch:number`, and its time."""

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
    replayed: int | None  # null: from the history, whose events are not counted before
    limits: Limits
    protocol: Literal["events.v1"] = "events.v1"
    history: HistoryStart | None = None


class Heartbeat(msgspec.Struct, tag="heartbeat"):
    """`sequence_number` is the last one sent to this connection or excluded by its filter."""

    timestamp: str
    sequence_number: int


class Notice(msgspec.Struct, tag="notice"):
    """A change in the gateway's condition, for display. It is no event and has no number."""

    timestamp: str
    code: str
    message: str

    @classmethod
    def backend_away(cls, timestamp: str) -> "Notice":
        """NATS is unreachable."""
        return cls(
            timestamp,
            "backend_away",
            "NATS is unreachable: no event can be published or received until it is back",
        )

    @classmethod
    def backend_back(cls, timestamp: str) -> "Notice":
        """NATS is reachable again, and the missed events have been read."""
        return cls(timestamp, "backend_back", "NATS is back: the missed events have been read")

    @classmethod
    def of_journal(cls, timestamp: str, failing: str | None) -> "Notice":
        """The journal fails for the reason in `failing`, or works again (None)."""
        if failing is None:
            return cls(timestamp, "journal_back", "The journal can be written again")
        return cls(
            timestamp,
            "journal_failing",
            f"The journal cannot be written ({failing}): events are still sent live, but may be"
            " missing from the history",
        )

    @classmethod
    def of_workspace(cls, timestamp: str, blind: Mapping[str, int]) -> "Notice":
        """The number of unwatched folders or files by reason; empty: all are watched again."""
        if not blind:
            return cls(timestamp, "workspace_back", "All of the workspace can be watched again")
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(blind.items()))
        return cls(
            timestamp,
            "workspace_blind",
            f"Parts of the workspace cannot be watched ({reasons}): their changes may come late or be"
            " missing; the gateway's log says where and what to do",
        )


class Subscribed(msgspec.Struct, tag="subscribed"):
    """The complete filter, which applies to events after `sequence_number`."""

    types: tuple[Pattern, ...]
    sequence_number: int
    id: Id = msgspec.UNSET


class Pong(msgspec.Struct, tag="pong"):
    """The answer to `ping`; it may arrive before earlier events."""

    timestamp: str
    id: Id = msgspec.UNSET


class _Identified(msgspec.Struct):
    id: Id = msgspec.UNSET


def id_of(text: bytes) -> Id:
    """The `id` of a message that may be invalid otherwise, for the error that answers it."""
    try:
        return _decode_id(text).id
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return msgspec.UNSET


_decode_id = msgspec.json.Decoder(_Identified).decode
ControlMessage = Subscribe | Unsubscribe | Ping
Answer = Subscribed | Pong | ErrorMessage
decode_control = msgspec.json.Decoder(ControlMessage).decode
encode = msgspec.json.Encoder().encode
