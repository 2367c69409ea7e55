"""`Event`, `Gap`, the `Position` of a client in the stream, and the `Clock`."""

import asyncio
import builtins
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, Protocol, TypeVar

import msgspec

Payload = TypeVar("Payload", bound=msgspec.Struct)
GapReason = Literal["epoch_changed", "expired", "not_stored", "replay_limit", "slow_consumer"]


class Timer(Protocol):
    """A call scheduled for later."""

    def cancel(self) -> None:
        """Cancel the call. A second `cancel` does nothing."""


class Clock:
    """The one source of time. Windows and time-outs use `monotonic`, event timestamps `wall`."""

    monotonic = staticmethod(time.monotonic)  # seconds that never jump
    wall = staticmethod(time.time)  # Unix seconds; may jump, so it orders nothing

    def call_later(self, delay_s: float, action: Callable[[], object]) -> Timer:
        """Call `action` on the running loop after `delay_s` of `monotonic`."""
        return asyncio.get_running_loop().call_later(delay_s, action)

    def timestamp(self) -> str:
        """The wall time as ISO 8601 in UTC, with exactly three decimals and a Z."""
        return _formatted(int(self.wall() * 1000))


@lru_cache(maxsize=1)  # many events share a millisecond
def _formatted(wall_ms: int) -> str:
    seconds, ms = divmod(wall_ms, 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


class Position(msgspec.Struct, frozen=True):
    """A position in the stream. `epoch` None means the current one."""

    sequence_number: int
    epoch: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One accepted event. `encoded` is the whole JSON message, encoded once for all consumers."""

    type: str
    timestamp: str
    sequence_number: int
    accepted_at: float  # monotonic seconds: the replay window runs on it
    encoded: bytes

    @property
    def data(self) -> dict[str, object]:
        """A new decoded copy, which the caller may change."""
        return _decode_contents(self.encoded).data

    def as_struct(self, payload: builtins.type[Payload]) -> Payload:
        """`data` as its catalog struct; raises `msgspec.ValidationError` if it does not fit."""
        return msgspec.convert(self.data, type=payload, str_keys=True)

    @property
    def metadata(self) -> dict[str, object]:
        """A new decoded copy, like `data`."""
        return _decode_contents(self.encoded).metadata


class _Contents(msgspec.Struct):
    data: dict[str, object]
    metadata: dict[str, object]


_decode_contents = msgspec.json.Decoder(_Contents).decode


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """A loss, reported in the stream where it happened. The range is inclusive."""

    from_sequence_number: int | None
    to_sequence_number: int | None
    dropped: int | None
    reason: GapReason
