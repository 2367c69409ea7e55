"""What the unit tests share: a clock they turn by hand, and a small bus."""

import asyncio
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from app.catalog.registry import Catalog
from app.channels.bus import Contents, EventBus
from app.channels.replay import ReplayStore
from app.channels.subscription import QueueBounds, Subscription
from app.events import Clock, Event, Gap
from app.metrics import Counters
from tests.kit.frames import frames as whole_frames

EPOCH = "epoch1"


class FakeClock(Clock):
    """Time that moves only by `advance`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.timers: list[FakeTimer] = []

    def call_later(self, delay_s: float, action: Callable[[], object]) -> "FakeTimer":
        timer = FakeTimer(self, self.now + delay_s, action)
        self.timers.append(timer)
        return timer

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.due <= self.now]:
            if timer in self.timers:  # one that fires may cancel another
                timer.cancel()
                timer.action()


class FakeTimer:
    """A call that `FakeClock.advance` makes when it is due."""

    def __init__(self, clock: FakeClock, due: float, action: Callable[[], object]) -> None:
        self.due, self.action, self._clock = due, action, clock

    def cancel(self) -> None:
        if self in self._clock.timers:
            self._clock.timers.remove(self)


def _soon(flush: Callable[[], None]) -> None:
    """At the end of the turn, where a loop runs; elsewhere a test ends the turn itself."""
    with suppress(RuntimeError):
        asyncio.get_running_loop().call_soon(flush)


def make_bus(
    clock: Clock,
    *,
    queue_size: int = 4,
    queue_max_bytes: int = 100_000,
    replay_limit: int = 3,
    window_s: float = 30.0,
    max_events: int = 100,
    max_bytes: int = 1_000_000,
) -> EventBus:
    """A bus of epoch `EPOCH`, small enough to overflow by hand; any `a.x` type may go through it."""
    store = ReplayStore(EPOCH, window_s, max_events, max_bytes)
    bounds = QueueBounds(queue_size, queue_max_bytes)
    return EventBus(store, Catalog(), clock, _soon, bounds, replay_limit, Counters())


def contents(data: bytes = b"{}") -> Contents:
    """What an event holds, as the publisher would have encoded it."""
    return (data, b"{}")


def make_event(number: int, type_: str = "a.x", at: float = 0.0, data: bytes = b"{}") -> Event:
    """An event as the bus would have made it."""
    stamp = "2026-11-22T21:00:00.123Z"
    head = f'{{"type":"{type_}","timestamp":"{stamp}","sequence_number":{number},"data":'
    return Event(type_, stamp, number, at, head.encode() + data + b',"metadata":{}}')


def publish(bus: EventBus, *types: str, data: bytes = b"{}") -> list[Event]:
    """Accept one event of each type."""
    stamp = bus.clock.timestamp()
    return [bus.accept(type_, stamp, bus.head + 1, contents(data)) for type_ in types]


def brief(item: Event | Gap | None) -> object:
    """An item in the short form that assertions read well in: a number, or a gap's fields."""
    if isinstance(item, Event):
        return item.sequence_number
    return None if item is None else msgspec.structs.astuple(item)


class FakeTransport:
    """A connection that is full once it holds `room` messages, and has room again when read."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.writable = True
        self.evicted: str | None = None
        self.writes = 0
        self._held: list[dict[str, Any]] = []

    def attach(self, on_pause: Callable[[], None], on_resume: Callable[[], None]) -> None:
        self._on_pause, self._on_resume = on_pause, on_resume

    def write(self, frames: bytes) -> None:
        self.writes += 1
        self._held += [msgspec.json.decode(payload) for _, payload in whole_frames(frames)]
        if self.writable and len(self._held) >= self.room:
            self.writable = False
            self._on_pause()

    def refuse(self, frames: bytes) -> None:
        raise RuntimeError("this transport is broken")

    def abort(self, reason: str) -> None:
        self.evicted = reason

    @property
    def unread(self) -> int:
        return len(self._held)

    def take(self) -> list[dict[str, Any]]:
        """Read all it holds, as a client does; what the subscription owes follows."""
        held, self._held = self._held, []
        if not self.writable:
            self.writable = True
            self._on_resume()
        return held


def drain(subscription: Subscription) -> list[object]:
    """Everything the subscription still has to send, in the short form."""
    items: list[object] = []
    while (item := subscription.take()) is not None:
        items.append(brief(item))
    return items


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)
