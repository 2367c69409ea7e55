"""The plan to a million clients: what was measured, or is assumed, times what is asked for.

`python -m benchmarks.million` prints the tables of `docs/scaling.md`. It reads `build/cluster.json`
and `build/benchmarks.json`; each figure that is not there is assumed, and the first table says so.
What no machine here can run, a reconnect storm, is simulated with the real clients' back-off.
"""

import heapq
import random
from collections.abc import Iterator

import msgspec
from sightline_client.core import HANDSHAKE_S, backoff_s

from benchmarks.report import number, table
from benchmarks.results import FILE, Results, load

CLIENTS = 1_000_000
CORE = 0.5  # of a core that a gateway should use, so that bursts find room
EVENT_BYTES = 1200  # 1 KB of `data` in its envelope and frame
PORTS = 28_000  # connections from one proxy address to one gateway: Linux's ephemeral ports
NATS_GBIT = 10.0  # network of a NATS server
WINDOW_S = 30.0  # `SIGHTLINE_REPLAY_WINDOW_S`


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What one core does; `measured` are the names of the figures that come from a run."""

    follow_us: float = 40.0  # an event from NATS to the replay log, for any number of clients
    send_us: float = 15.0  # one event to one client, in a turn of its own
    batched_us: float = 0.3  # the same in a full turn of 64
    connects_per_s: float = 1000.0
    kb_per_connection: float = 30.0
    measured: frozenset[str] = frozenset()


class Load(msgspec.Struct, frozen=True):
    """Events published a second, and the share of them that each client's filter takes."""

    published: int
    share: float

    @property
    def rate(self) -> float:
        """Events a second to each client."""
        return self.published * self.share


LOADS = (Load(100, 0.01), Load(1000, 0.01), Load(1000, 0.1), Load(1000, 1.0))


def costs(cluster: Results | None, single: Results | None) -> Costs:
    """The costs by what was measured, as far as it was."""
    found: dict[str, float] = {}
    if cluster and (runs := cluster.of("fan-out")):
        few, many = runs[0], runs[-1]
        us = {int(r.label): 1e6 / r.median("on NATS", "events_per_s") for r in (few, many)}
        (a, at_a), (b, at_b) = sorted(us.items())
        if b > a and at_b > at_a:
            found["batched_us"] = (at_b - at_a) / (b - a)
            found["follow_us"] = max(1.0, at_a - a * found["batched_us"])
    for figure, scenario, label, name, make in (
        ("send_us", "turns", "1", "deliveries_per_s", lambda rate: 1e6 / rate),
        ("connects_per_s", "connects", None, "connects_per_s", float),
        ("kb_per_connection", "memory", None, "kb_per_connection", float),
    ):
        for result in single.of(scenario) if single else ():
            if label in (None, result.label):
                found[figure] = make(result.median(result.first, name))
    return Costs(**found, measured=frozenset(found))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a load needs."""

    gateways: int  # of one core each
    bound: str  # what asks for so many
    egress_gbit: float  # to the clients, all together
    nats_gbit: float  # from NATS, if each gateway follows the whole stream
    memory_gb: float
    breaks: str  # what breaks first, with so many gateways


def plan(load: Load, of: Costs) -> Plan:
    """How many gateways, and what they ask of everything else."""
    # A turn holds what arrived meanwhile: a client with a high rate gets several events in one write.
    turns = min(1.0, 100 / load.rate)  # a gateway at half a core has some hundred turns a second
    send_us = turns * of.send_us + (1 - turns) * of.batched_us
    room_us = CORE * 1e6 - load.published * of.follow_us
    needed = {
        "sends": CLIENTS * load.rate * send_us / room_us if room_us > 0 else float("inf"),
        "ports": CLIENTS / PORTS,
    }
    bound = max(needed, key=lambda name: needed[name])
    gateways = int(-(-needed[bound] // 1))
    gbit = EVENT_BYTES * 8 / 1e9
    egress, nats = CLIENTS * load.rate * gbit, load.published * gateways * gbit
    breaks = {
        "the network to the clients": egress / gateways / 1.0,  # of 1 Gbit/s a gateway
        "NATS's network": nats / NATS_GBIT,
        "a gateway's core by the stream alone": load.published * of.follow_us / 1e6 / CORE,
    }
    worst = max(breaks, key=lambda name: breaks[name])
    return Plan(
        gateways=gateways,
        bound=bound,
        egress_gbit=egress,
        nats_gbit=nats,
        memory_gb=CLIENTS * of.kb_per_connection / 1e6,
        breaks=f"{worst} ({breaks[worst]:.0%})",
    )


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """How the clients of one gateway reconnected after all lost their connection at once."""

    clients: int
    half_s: float  # until half of them were back
    all_s: float
    late: float  # share that reconnected after the replay window: they get a gap


def storm(clients: int, connects_per_s: float, seed: int = 1) -> Storm:
    """Simulate: each waits as the SDKs do, gives a handshake ten seconds, and tries again.

    A gateway serves handshakes one after the other; one that was given up costs as much.
    """
    dice = random.Random(seed)
    waiting = [(backoff_s(0, dice.random()), 0) for _ in range(clients)]
    heapq.heapify(waiting)
    free_at, back = 0.0, []
    while waiting:
        arrived, attempt = heapq.heappop(waiting)
        free_at = max(free_at, arrived) + 1 / connects_per_s
        if free_at - arrived <= HANDSHAKE_S:
            back.append(free_at)
        else:
            again = arrived + HANDSHAKE_S + backoff_s(attempt + 1, dice.random())
            heapq.heappush(waiting, (again, attempt + 1))
    late = sum(at > WINDOW_S for at in back) / clients
    return Storm(clients=clients, half_s=back[len(back) // 2], all_s=back[-1], late=late)


def storms(of: Costs, gateways: int) -> Iterator[tuple[str, Storm]]:
    """The two that matter: one gateway dies, or all begin anew at once."""
    each = CLIENTS // gateways
    yield f"1 of {gateways:,} gateways dies", storm(each // (gateways - 1) or 1, of.connects_per_s)
    yield "all of them begin anew at once", storm(each, of.connects_per_s)


def costs_table(of: Costs) -> str:
    said = {
        "follow_us": "an event from NATS into the replay log, µs",
        "batched_us": "that event to one client, in a turn of 64, µs",
        "send_us": "the same in a turn of its own, µs",
        "connects_per_s": "handshakes a second",
        "kb_per_connection": "memory of a connection, KB",
    }
    rows = [
        [what, number(getattr(of, name)), "measured" if name in of.measured else "assumed"]
        for name, what in said.items()
    ]
    return table(["one core", "", ""], rows)


def plan_table(of: Costs) -> str:
    rows = []
    for one in LOADS:
        needs = plan(one, of)
        rows.append(
            [
                f"{one.published:,} events/s, {number(one.rate)} to each",
                f"{needs.gateways:,} ({needs.bound})",
                number(needs.egress_gbit),
                number(needs.nats_gbit),
                number(needs.memory_gb),
                needs.breaks,
            ]
        )
    head = ["a million clients", "gateways (what asks for them)", "to clients, Gbit/s"]
    return table([*head, "from NATS, Gbit/s", "memory, GB", "nearest to its limit"], rows)


def storm_table(of: Costs) -> str:
    gateways = plan(LOADS[0], of).gateways
    rows = [
        [what, f"{s.clients:,}", number(s.half_s), number(s.all_s), f"{s.late:.0%}"]
        for what, s in storms(of, gateways)
    ]
    head = ["what happens", "clients that come to a gateway", "half are back after, s"]
    return table([*head, "all, s", "after the replay window"], rows)


def tables(cluster: Results | None, single: Results | None) -> dict[str, str]:
    """By the mark in the page."""
    of = costs(cluster, single)
    return {"costs": costs_table(of), "million": plan_table(of), "storms": storm_table(of)}


def measured() -> tuple[Results | None, Results | None]:
    """What was measured here, of the cluster and of one gateway."""
    files = (FILE.parent / "cluster.json", FILE)
    cluster, single = (load(path) if path.exists() else None for path in files)
    return cluster, single


if __name__ == "__main__":
    print("\n\n".join(tables(*measured()).values()))
