"""What is measured: comparisons, each a few contenders under one order, their runs interleaved."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.events import Order
from benchmarks.peers import ROOT, TITLES
from benchmarks.reader import Setup
from benchmarks.shapes import KB, file_of, file_of_tool_calls

RECORDED = ROOT.parent / "shared" / "data" / "agent-activity.jsonl"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a table: the first contender is set in relation to each other one."""

    scenario: str
    label: str
    kind: str  # the method of `Reader` that is one run
    order: Order
    contenders: dict[str, Setup]
    fresh: bool = False  # a new server process for each run


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how large: the whole suite, or the quick look that its test takes."""

    runs: int = 5
    attempts: int = 3  # at a run, while other processes have part of the cores
    seconds: float = 1.0
    clients: tuple[int, ...] = (10, 100, 1000, 5000)
    paced_clients: tuple[int, ...] = (10, 100, 1000)
    paced_seconds: float = 3.0
    filters: tuple[int, ...] = (1, 100, 1000)
    filtered_clients: int = 1000
    sizes: tuple[int, ...] = (100, KB, 64 * KB)
    turns: tuple[int, ...] = (1, 4, 16, 64, 256)
    middling: int = 100  # clients where another thing is varied
    connects: int = 1000
    idle: int = 2000
    returning: int = 1000
    recorded_events: int = 22_018


FULL = Scale()
QUICK = Scale(
    runs=1,
    attempts=1,
    seconds=0.1,
    clients=(10,),
    paced_clients=(10,),
    paced_seconds=0.5,
    filters=(1, 10),
    filtered_clients=20,
    sizes=(64 * KB,),
    turns=(4,),
    middling=10,
    connects=50,
    idle=100,
    returning=50,
    recorded_events=500,
)
Comparisons = Iterator[Comparison]


def fan_out(scale: Scale, peers: list[str]) -> Comparisons:
    """1 KB of nested data to all clients, as fast as they are read."""
    for clients in scale.clients:
        yield _all_peers("fan-out", str(clients), peers, clients, Order(seconds=scale.seconds))


def flat(scale: Scale, peers: list[str]) -> Comparisons:
    """As fan-out, with one string of 1 KB in place of the nested data."""
    order = Order(seconds=scale.seconds, file=file_of("flat"))
    for clients in scale.clients:
        yield _all_peers("flat", str(clients), peers, clients, order)


def filters(scale: Scale, peers: list[str]) -> Comparisons:
    """Distinct filters among the clients; every event passes all of them."""
    setups = {
        str(count): Setup(peer="gateway", clients=scale.filtered_clients, filters=count)
        for count in scale.filters
    }
    order = Order(seconds=scale.seconds)
    label = f"{scale.filtered_clients} clients"
    yield Comparison(
        scenario="filters", label=label, kind="flat_out", order=order, contenders=setups
    )


def sizes(scale: Scale, peers: list[str]) -> Comparisons:
    """Events of other sizes; a turn publishes 64 of them or 64 KB."""
    for size in scale.sizes:
        per_turn = max(1, min(64, 64 * KB // size))
        order = Order(
            seconds=scale.seconds,
            file=file_of("nested", size),
            per_turn=per_turn,
            window=max(4, 2 * per_turn),
        )
        yield _all_peers("sizes", str(size), peers, scale.middling, order)


def turns(scale: Scale, peers: list[str]) -> Comparisons:
    """Events published before the event loop gets a turn."""
    for per_turn in scale.turns:
        order = Order(seconds=scale.seconds, per_turn=per_turn, window=max(128, 2 * per_turn))
        yield _all_peers("turns", str(per_turn), peers, scale.middling, order)


def paced(scale: Scale, peers: list[str]) -> Comparisons:
    """1,000 events a second: latency and CPU."""
    for clients in scale.paced_clients:
        order = Order(seconds=scale.paced_seconds, rate=1000, window=250)
        yield _all_peers("paced", str(clients), peers, clients, order, "paced")


def stalled(scale: Scale, peers: list[str]) -> Comparisons:
    """Ten clients, one of which reads nothing: what it costs the others."""
    contenders = {
        "one of ten stalled": Setup(peer="gateway", clients=9, stalled=1),
        "all ten read": Setup(peer="gateway", clients=10),
    }
    order = Order(seconds=scale.seconds)
    yield Comparison(
        scenario="stalled", label="10", kind="flat_out", order=order, contenders=contenders
    )


def resume(scale: Scale, peers: list[str]) -> Comparisons:
    """All clients reconnect at once, each a hundred events behind."""
    order = Order(events=scale.returning, per_turn=100)
    yield _all_peers("resume", str(scale.returning), ["gateway"], 0, order, "resume")


def connects(scale: Scale, peers: list[str]) -> Comparisons:
    """Handshakes a second, 50 under way together."""
    order = Order(events=scale.connects)
    yield _all_peers("connects", str(scale.connects), peers, 0, order, "connects")


def memory(scale: Scale, peers: list[str]) -> Comparisons:
    """Resident memory of an idle connection."""
    order = Order(events=scale.idle)
    yield _all_peers("memory", str(scale.idle), peers, 0, order, "memory", fresh=True)


def recorded(scale: Scale, peers: list[str]) -> Comparisons:
    """Recorded events of real work, small and of several types, to ten clients."""
    path = Path(os.environ.get("SIGHTLINE_BENCH_EVENTS", RECORDED))
    if not path.exists():
        print("recorded: skipped; name a file of events in SIGHTLINE_BENCH_EVENTS")
        return
    order = Order(events=scale.recorded_events, file=str(path))
    yield _all_peers("recorded", "10", peers, 10, order)


def tools(scale: Scale, peers: list[str]) -> Comparisons:
    """What recorded coding agents sent, as events, to ten clients and to a hundred."""
    for clients in (10, scale.middling):
        order = Order(seconds=scale.seconds, file=file_of_tool_calls(), per_turn=16)
        yield _all_peers("tools", str(clients), peers, clients, order)


def _all_peers(
    scenario: str,
    label: str,
    peers: list[str],
    clients: int,
    order: Order,
    kind: str = "flat_out",
    fresh: bool = False,
) -> Comparison:
    return Comparison(
        scenario=scenario,
        label=label,
        kind=kind,
        order=order,
        contenders={TITLES[peer]: Setup(peer=peer, clients=clients) for peer in peers},
        fresh=fresh,
    )


SCENARIOS: dict[str, Callable[[Scale, list[str]], Comparisons]] = {
    "fan-out": fan_out,
    "flat": flat,
    "filters": filters,
    "sizes": sizes,
    "turns": turns,
    "paced": paced,
    "stalled": stalled,
    "resume": resume,
    "connects": connects,
    "memory": memory,
    "tools": tools,
    "recorded": recorded,
}
