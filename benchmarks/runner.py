"""How it is measured: contenders take turns, run by run, so that what disturbs one disturbs all."""

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

from benchmarks.events import Order
from benchmarks.reader import Figures, Setup, serve
from benchmarks.scenarios import Comparison

CHECKED_TURNS = 2  # turns of events of which every client's every byte is checked, before all runs
QUIET = 0.95  # of its core that a process which never sleeps gets on a quiet machine
Runs = dict[str, list[Figures]]  # by contender


def measure(comparison: Comparison, runs: int, attempts: int) -> Runs:
    """Run all contenders `runs` times in turn, each run up to `attempts` times if disturbed."""
    found: Runs = {name: [] for name in comparison.contenders}
    job = (comparison.kind, comparison.order)
    with ExitStack() as stack:
        readers = {
            name: stack.enter_context(_reader(setup, comparison))
            for name, setup in comparison.contenders.items()
            if not comparison.fresh
        }
        for _ in range(runs):
            for name, setup in comparison.contenders.items():
                if comparison.fresh:
                    with _reader(setup, comparison) as reader:
                        found[name].append(ask(reader, job))
                else:
                    found[name].append(_undisturbed(readers[name], job, attempts))
    return found


def _undisturbed(reader: Connection, job: tuple[str, Order], attempts: int) -> Figures:
    """One run, made again when other processes had part of the cores."""
    tried = [ask(reader, job)]
    while _quiet(tried[-1]) < QUIET and len(tried) < attempts:
        tried.append(ask(reader, job))
    return max(tried, key=_quiet)


def _quiet(figures: Figures) -> float:
    """The share of its core that the reader got, and flat out the server, which spins too."""
    paced = "p50_ms" in figures
    return min(figures.get("reader_cpu", 1), 1 if paced else figures.get("server_cpu", 1))


@contextmanager
def started(setup: Setup) -> Iterator[Connection]:
    """A reader process with its server and all its clients; ends with the block."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(setup, there), daemon=True)
    process.start()
    there.close()
    try:
        _answer(here)
        yield here
        here.send(None)
    finally:
        here.close()  # a reader that waits for orders ends by this too
        process.join()


@contextmanager
def _reader(setup: Setup, comparison: Comparison) -> Iterator[Connection]:
    with started(setup) as reader:
        if setup.clients:
            order, events = comparison.order, CHECKED_TURNS * comparison.order.per_turn
            check = Order(
                events=events,
                per_turn=order.per_turn,
                window=order.window,
                file=order.file,
            )
            ask(reader, ("check", check))
        yield reader


def ask(reader: Connection, job: tuple[str, Order]) -> Figures:
    """One run."""
    reader.send(job)
    return _answer(reader)


def _answer(reader: Connection) -> Figures:
    try:
        return reader.recv()
    except EOFError:
        raise SystemExit("benchmarks: a run failed; its reason is above") from None
