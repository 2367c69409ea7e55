"""What flows through the gateway: `Event`, `Gap`, and the `Position` of a client in the stream."""

import builtins
import time
from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec

Payload = TypeVar("Payload", bound=msgspec.Struct)
GapReason = Literal["epoch_changed", "expired", "replay_limit", "slow_consumer"]


class Clock:
    """The one source of time. Windows and time-outs use `monotonic`, event timestamps `wall`."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds; may jump with the machine's clock, so it orders nothing."""
        return time.time()


def timestamp(wall_s: float) -> str:
    """Format Unix seconds as UTC, ISO 8601, exactly three decimals, ending in Z."""
    instant = datetime.fromtimestamp(wall_s, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"


class Position(msgspec.Struct, frozen=True):
    """A place in the stream. `epoch` None means "the current one" (a script's convenience)."""

    sequence_number: int
    epoch: str | None = None


class Event(msgspec.Struct, frozen=True):
    """One accepted event. `encoded` is the whole JSON message, spliced once, shared by all."""

    type: str
    timestamp: str
    sequence_number: int
    encoded_data: bytes
    encoded_metadata: bytes
    accepted_at: float  # monotonic seconds: the replay window runs on it
    encoded: bytes

    @property
    def data(self) -> dict[str, object]:
        """A fresh decoded copy: what a subscriber changes in it, no other sees."""
        return msgspec.json.decode(self.encoded_data, type=dict[str, object])

    def as_struct(self, payload: builtins.type[Payload]) -> Payload:
        """`data` as its catalog struct; raises `msgspec.ValidationError` for another type's."""
        return msgspec.json.decode(self.encoded_data, type=payload)

    @property
    def metadata(self) -> dict[str, object]:
        """A fresh decoded copy, as `data`."""
        return msgspec.json.decode(self.encoded_metadata, type=dict[str, object])


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """Loss, said in the stream exactly where it is. The range is inclusive."""

    from_sequence_number: int | None
    to_sequence_number: int | None
    dropped: int | None
    reason: GapReason


def splice(type_: str, stamp: str, number: int, data: bytes, metadata: bytes) -> bytes:
    """Put the envelope around already encoded `data` and `metadata`; type and stamp need no escape."""
    head = f'{{"type":"{type_}","timestamp":"{stamp}","sequence_number":{number},"data":'
    return b"".join((head.encode(), data, b',"metadata":', metadata, b"}"))
