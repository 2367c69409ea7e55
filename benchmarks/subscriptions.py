"""What one event costs the bus for each kind of subscriber, without sockets.

Run `python -m benchmarks.subscriptions`; it takes some seconds. Each figure is the best of many short runs,
in nanoseconds an event, so that another process on the machine changes it little.
"""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable

from app.catalog.registry import Catalog
from app.channels.bus import EventBus
from app.channels.filters import EventFilter
from app.channels.replay import ReplayStore
from app.channels.subscription import QueueBounds, Subscription
from app.events import Clock
from app.metrics import Counters

EVENTS = 960  # in one run: fewer than a queue holds
RUNS = 200
CLIENTS = 10
CONTENTS = (b'{"text":"' + b"x" * 900 + b'"}', b"{}")
STAMP = "2026-11-22T21:00:00.123Z"


class _Sink:
    """A client that takes everything at once."""

    def write(self, frames: bytes) -> None:
        """Take them."""

    def fail(self, error: Exception) -> None:
        raise error


def make_bus() -> EventBus:
    """A bus with the default bounds."""
    store = ReplayStore("e", 30, 2000, 64 * 1024 * 1024)
    bounds = QueueBounds(1000, 16 * 1024 * 1024)
    bus = EventBus(store, Catalog(), Clock(), lambda flush: None, bounds, 100, Counters())
    bus.owner.start(asyncio.get_running_loop())
    return bus


def publish(bus: EventBus, count: int = EVENTS) -> None:
    """Number and offer this many events of 1 KB."""
    for number in range(bus.head + 1, bus.head + count + 1):
        bus.accept("chat.message_sent", STAMP, number, CONTENTS)


def drain(subscription: Subscription) -> None:
    """Take all that is there, as an outlet does."""
    while subscription.take() is not None:
        pass


def best(run: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """The fastest of `RUNS`, in nanoseconds an event; `before` each run is not measured."""
    fastest = float("inf")
    for _ in range(RUNS):
        before()
        began = time.perf_counter_ns()
        run()
        fastest = min(fastest, time.perf_counter_ns() - began)
    return fastest / EVENTS


async def measure() -> dict[str, float]:
    """Every figure, by what it is of."""
    found: dict[str, float] = {}
    bus = make_bus()
    found["publish, nobody subscribed"] = best(lambda: publish(bus))

    bus = make_bus()
    for _ in range(CLIENTS):
        bus.groups.go_direct(bus.subscribe(), _Sink())
    found[f"publish, {CLIENTS} clients that keep up"] = best(lambda: publish(bus))

    bus = make_bus()
    behind = bus.subscribe()
    found["publish, one consumer in the process"] = best(
        lambda: publish(bus), lambda: drain(behind)
    )
    found["take, from a queue"] = best(lambda: drain(behind), lambda: publish(bus))

    bus = make_bus()
    bus.subscribe()
    publish(bus, 1000)
    found["publish, one queue in the process that is full"] = best(lambda: publish(bus))

    bus = make_bus()
    for _ in range(CLIENTS - 1):
        bus.groups.go_direct(bus.subscribe(), _Sink())
    bus.subscribe().fall_behind()
    publish(bus, 1000)
    found[f"publish, {CLIENTS} clients of which one stalled"] = best(lambda: publish(bus))

    bus = make_bus()
    inside = bus.subscribe()
    publish(bus)

    async def iterate() -> None:
        for _ in range(EVENTS):
            await anext(inside)

    fastest = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter_ns()
        await iterate()
        fastest = min(fastest, time.perf_counter_ns() - began)
        publish(bus)
    found["async for, by a consumer in the process"] = fastest / EVENTS
    return found


async def bytes_of_a_subscription() -> float:
    """What an idle subscription takes."""
    bus, event_filter = make_bus(), EventFilter(("*",))
    bus.join(event_filter)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [bus.join(event_filter)[0] for _ in range(1000)]
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size / len(kept)


def main() -> None:
    """Print the table."""
    gc.disable()
    for what, nanoseconds in asyncio.run(measure()).items():
        print(f"{what:<44}{nanoseconds:8.0f} ns an event")
    print(f"{'an idle subscription':<44}{asyncio.run(bytes_of_a_subscription()):8.0f} bytes")


if __name__ == "__main__":
    main()
