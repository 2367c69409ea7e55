"""`Counters`: what the gateway counts of itself, as plain numbers that cost next to nothing."""

import asyncio
from bisect import bisect_left
from collections import Counter

import msgspec

LAG_INTERVAL_S = 0.5
LATENCY_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)


class Histogram(msgspec.Struct):
    """Observations in seconds, in buckets up to `LATENCY_BOUNDS_S` and one above them."""

    total_s: float = 0.0
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.total_s += seconds
        self.buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1


class Counters(msgspec.Struct):
    """Counts since the start. One per gateway, shared by the rooms that count."""

    published: dict[str, int] = msgspec.field(default_factory=dict)  # events by namespace
    delivered: int = 0  # events handed to consumers, replayed ones among them
    replayed: int = 0  # events promised to clients that came back
    dropped: Counter[str] = msgspec.field(default_factory=Counter)  # events lost, by gap reason
    gaps: Counter[str] = msgspec.field(default_factory=Counter)  # gaps handed over, by reason
    evictions: Counter[str] = msgspec.field(default_factory=Counter)  # connections, by reason
    refusals: Counter[str] = msgspec.field(default_factory=Counter)  # requests, by status
    # A state, not a count: the workspace's folders that cannot be watched, by reason.
    blind: dict[str, int] = msgspec.field(default_factory=dict)
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)  # how late the loop's timers are
    publish_to_write: Histogram = msgspec.field(default_factory=Histogram)  # a turn's oldest event


async def watch_lag(lag: Histogram) -> None:
    """Observe twice a second how late the event loop's timers are; runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_INTERVAL_S
        await asyncio.sleep(LAG_INTERVAL_S)
        lag.observe(loop.time() - due)
