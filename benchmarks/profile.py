"""Where the gateway's time goes, flat out: shares of its CPU time by function, and the kernel's."""

from benchmarks.events import Order
from benchmarks.reader import Setup
from benchmarks.results import load, save
from benchmarks.runner import ask, started

CLIENTS = (10, 100, 1000)
SECONDS = 3.0
SHOWN = 12


def write() -> None:
    """Sample, print, keep for the report."""
    results = load()
    results.profile = {}
    for clients in CLIENTS:
        with started(Setup(peer="gateway", clients=clients)) as reader:
            ask(reader, ("flat_out", Order(seconds=0.5)))
            shares = ask(reader, ("profile", Order(seconds=SECONDS, sample=True)))
        results.profile[str(clients)] = shares
        print(f"{clients} clients, 1 KB events, flat out: share of the server's CPU time")
        for function, share in sorted(shares.items(), key=lambda item: -item[1])[:SHOWN]:
            print(f"  {share:6.1%}  {function}")
    save(results)
