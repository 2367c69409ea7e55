"""`python -m benchmarks.publish`: what a publish in the process costs, nested data beside flat.

Compare the ratios: the microseconds depend on the machine and on what else it does. With `--rounds`
it prints the CPU time of the best round with one direct client as JSON, for `benchmarks.loops`.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable

from app.catalog.registry import Catalog
from app.channels.backend import MemoryBackend
from app.channels.bus import EventBus
from app.channels.encoding import encode
from app.channels.publisher import EventPublisher
from app.channels.replay import ReplayStore
from app.channels.subscription import QueueBounds
from app.events import Clock
from app.metrics import Counters
from benchmarks import shapes

KIB = 1024
ROUNDS, TIMES = 40, 200
Fields = dict[str, object]


def flat(size: int) -> Fields:
    return {"session_id": "s-9", "agent_name": "x" * (size - 90), "model": "small"}


def nested(size: int) -> Fields:
    item = {"id": 1, "name": "parser", "tags": ["a", "b"], "done": True, "seconds": 1.5}
    return {"details": {"items": [{**item, "id": number} for number in range(size // 68)]}}


def of_hook(size: int) -> Fields:
    tool = {"command": "make test", "description": "Run the tests", "timeout": 60000}
    details = {"cwd": "/home/ada/project", "effort": {"level": "medium"}, "output": "x" * 200}
    call = {"tool_name": "Bash", "tool_input": tool, "details": details}
    return {"session_id": "s-9", "details": {"calls": [call] * (size // 270)}}


def publisher_of(
    max_event_bytes: int, call_soon: Callable[..., object] = lambda flush: None
) -> tuple[EventPublisher, EventBus]:
    clock, catalog = Clock(), Catalog(["bench"])
    store = ReplayStore("bench", 30, 1000, 64 * KIB * KIB)
    bounds = QueueBounds(1000, 16 * KIB * KIB)
    bus = EventBus(store, catalog, clock, call_soon, bounds, 100, Counters())
    return EventPublisher(MemoryBackend(bus), catalog, clock, max_event_bytes), bus


def microseconds(work: Callable[[], object], times: int) -> float:
    """The best of some runs."""
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            work()
        spent.append((time.perf_counter() - began) / times)
    return min(spent) * 1e6


async def publish_many(publisher: EventPublisher, data: Fields, times: int) -> None:
    for _ in range(times):
        await publisher.publish("agent.reported", data, {"source": "bench"})


class Nowhere:
    """A direct client whose bytes nobody reads."""

    def write(self, frames: bytes) -> None:
        pass

    def fail(self, error: Exception) -> None:
        raise error


async def costs(rounds: int) -> dict[str, float]:
    """Microseconds of CPU time of a publish of 1 KB, by shape."""
    publisher, bus = publisher_of(256 * KIB, asyncio.get_running_loop().call_soon)
    bus.subscribe().go_direct(Nowhere())
    found = {}
    for name, data in (("nested", shapes.nested(KIB)), ("flat", shapes.flat(KIB))):
        spent = []
        for _ in range(rounds):
            began = time.process_time()
            for _ in range(640):
                await publisher.publish(shapes.TYPE, data)
            spent.append((time.process_time() - began) / 640 * 1e6)
        found[f"{name}_us"] = min(spent)  # what disturbs a round only adds
    return found


async def main() -> None:
    publisher, _ = publisher_of(256 * KIB)
    print(f"{'':14} {'bytes':>7} {'encode':>10} {'publish':>10} {'of flat':>8}")
    for size in (KIB, 64 * KIB):
        base = 0.0
        for make in (flat, nested, of_hook):
            data = {"kind": "bench", **make(size)}
            times = max(TIMES * KIB // size, 5)
            encoding = microseconds(lambda data=data: encode("data", data), times)
            spent = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await publish_many(publisher, data, times)
                spent.append((time.perf_counter() - began) / times * 1e6)
            base = base or min(spent)
            print(
                f"{make.__name__:14} {len(encode('data', data)[0]):7} {encoding:7.2f} µs"
                f" {min(spent):7.2f} µs {min(spent) / base:7.2f}x"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--rounds", type=int)
    if rounds := parser.parse_args().rounds:
        print(json.dumps(asyncio.run(costs(rounds))))
    else:
        asyncio.run(main())
