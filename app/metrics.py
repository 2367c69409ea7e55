"""`Counters`: plain numbers that the gateway counts about itself."""

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
    """Counts since the start. One per gateway, shared by its parts."""

    published: dict[str, int] = msgspec.field(default_factory=dict)  # events by namespace
    delivered: int = 0  # events handed to consumers, including replayed ones
    replayed: int = 0  # events queued for resuming clients
    dropped: Counter[str] = msgspec.field(default_factory=Counter)  # events lost, by gap reason
    gaps: Counter[str] = msgspec.field(default_factory=Counter)  # gaps handed over, by reason
    evictions: Counter[str] = msgspec.field(default_factory=Counter)  # connections, by reason
    refusals: Counter[str] = msgspec.field(default_factory=Counter)  # requests, by status
    webhooks_delivered: Counter[str] = msgspec.field(default_factory=Counter)  # by endpoint
    webhooks_failed: Counter[str] = msgspec.field(default_factory=Counter)  # given up
    webhooks_dropped: Counter[str] = msgspec.field(default_factory=Counter)  # never tried
    # A state, not a count: the workspace's folders that cannot be watched, by reason.
    blind: dict[str, int] = msgspec.field(default_factory=dict)
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)  # delay of the loop's timers
    publish_to_write: Histogram = msgspec.field(default_factory=Histogram)  # of the oldest event


async def watch_lag(lag: Histogram) -> None:
    """Observe the delay of the loop's timers twice a second. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_INTERVAL_S
        await asyncio.sleep(LAG_INTERVAL_S)
        lag.observe(loop.time() - due)
