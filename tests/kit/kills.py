"""SIGKILL of a gateway under load, again and again; then every answer is looked up in the journal.

`make kill-journal ROUNDS=100`, or `python -m tests.kit.kills`, counts what was found.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.kit.http import TOKEN
from tests.kit.processes import Run, environment, free_port
from tests.kit.waiting import WATCHDOG_S, WatchfulLoop, until

POSTERS = 8  # connections
PORTS = 5  # to try for one gateway
TURNS = 400  # at most, a few milliseconds
WHOLE = 10  # in every such round, the whole journal is read again; in the others, its end
OUTPUT = "output.txt"
SETTINGS = {"SIGHTLINE_WORKSPACE": "", "SIGHTLINE_EXTRA_NAMESPACES": "plugin"}
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["app.cli.run", "app.gateway", __name__])
Place = tuple[str, int]  # epoch and number


class Load:
    """Posts events of unique texts; knows which were sent, and where those answered stand."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.answered: dict[str, Place] = {}
        self.kept: dict[Place, str] = {}  # as last read
        self._texts = map(str, itertools.count())

    async def post_until_it_dies(self, http: httpx.AsyncClient, batch: int) -> None:
        with suppress(httpx.HTTPError):
            while True:
                texts = list(itertools.islice(self._texts, batch))
                self.sent |= set(texts)
                events = [{"type": "plugin.up", "data": {"text": text}} for text in texts]
                posted = await http.post("/api/events", json=events)
                assert posted.status_code == 201, posted.text
                for text, one in zip(texts, posted.json(), strict=True):
                    self.answered[text] = (one["epoch"], one["sequence_number"])

    async def until_killed(self, run: Run, answers: int, turns: int, batch: int) -> None:
        """Post from many connections; SIGKILL so many turns of the loop after so many answers."""
        wanted = len(self.answered) + answers
        async with run.http() as http, asyncio.TaskGroup() as tasks:
            for _ in range(POSTERS):
                tasks.create_task(self.post_until_it_dies(http, batch))
            await until(lambda: len(self.answered) >= wanted, 4 * WATCHDOG_S)
            for _ in range(turns):  # a kill must not always meet a gateway that has just answered
                await asyncio.sleep(0)
            run.process.kill()

    async def check(self, run: Run, whole: bool = True) -> None:
        """Every answer stands where it was given; the sums are exact.

        Nothing is there twice, nothing was never sent, and each epoch has the numbers from 1 to its
        last one without a hole. Read everything, or only what follows the last check.
        """
        if whole:
            self.kept = {}
        await read_on(run, self.kept)
        kept = self.kept
        missing = {text: at for text, at in self.answered.items() if kept.get(at) != text}
        assert not missing, f"answered with 201, and not in the journal: {missing}"
        texts = set(kept.values())
        assert len(texts) == len(kept), "a text stands at two places"
        assert texts <= self.sent, "a text that was never sent"
        numbers: dict[str, list[int]] = {}
        for epoch, number in kept:
            numbers.setdefault(epoch, []).append(number)
        for epoch, found in numbers.items():
            assert found == [*range(1, len(found) + 1)], f"a hole in {epoch}"
        assert len(kept) == len(self.answered) + len(texts - self.answered.keys())


async def read_on(run: Run, kept: dict[Place, str]) -> None:
    """Add what the journal has after the last of `kept`; each epoch stands in one run."""
    epochs = list(dict.fromkeys(epoch for epoch, _ in kept))
    last = next(reversed(kept), None)
    query = "order=asc&limit=1000" + (f"&after={last[0]}:{last[1]}" if last else "")
    async with run.http() as http:
        while True:
            page = (await http.get(f"/api/events?{query}")).json()
            assert page["gap"] is None, page["gap"]
            if page["events"] and epochs[-1:] != [page["epoch"]]:
                epochs.append(page["epoch"])
            for event in page["events"]:
                kept[page["epoch"], event["sequence_number"]] = event["data"]["text"]
            if page["newer"] is None:
                assert len(epochs) == len(set(epochs))
                return
            query = f"order=asc&limit=1000&after={page['newer']}"


class Forked:
    """A gateway process, forked where its modules are loaded already: it starts at once."""

    stdout = None  # it writes to a file

    def __init__(self, folder: Path, port: int) -> None:
        self._process = FORKS.Process(target=serve, args=(folder, port))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL, as by `kill -9`."""
        self._process.kill()

    async def wait(self) -> int | None:
        await asyncio.to_thread(self._process.join)
        return self._process.exitcode


def serve(folder: Path, port: int) -> None:
    """`sightline run`, until it is killed."""
    from app.cli.run import run

    os.chdir(folder)
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment(SIGHTLINE_SESSION_TOKEN=TOKEN, **SETTINGS))
    run.main(["--port", str(port)])


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Run]:
    """A gateway that accepts clients; raises `AssertionError` with its output if it does not."""
    for _ in range(PORTS):
        port = free_port()
        process: Any = Forked(folder, port)
        run = Run(process, port)
        try:
            if await listens(run):
                yield run
                return
        finally:
            if process.returncode is None:
                process.kill()
            await run.ended()
        # another program may have taken the port that was free a moment ago
        said = (folder / OUTPUT).read_text()
        assert "in use" in said, said
    raise AssertionError(f"{PORTS} ports in a row were taken")


async def listens(run: Run) -> bool:
    """Whether this process, and no other, accepts clients on the port."""
    try:
        await (await run.connected()).close()
        return run.port in {one.laddr.port for one in run.info.net_connections("tcp")}
    except (AssertionError, psutil.Error):
        return False  # it has ended


async def kill_rounds(
    folder: Path, rounds: int, answers: tuple[int, int], batch: int, seed: int = 7
) -> Load:
    """Start, check, post, kill; the last start only checks. Raises `AssertionError` at a loss."""
    load, chance = Load(), random.Random(seed)
    for number in range(rounds + 1):
        async with started(folder) as run:
            whole = number % WHOLE == 0 or number == rounds
            await load.check(run, whole)
            if number and whole:
                print(f"  {number} kills: {shown(load)}", flush=True)
            if number < rounds:
                turns = chance.randint(0, TURNS)
                await load.until_killed(run, chance.randint(*answers), turns, batch)
    return load


def shown(load: Load) -> str:
    return (
        f"{len(load.sent):,} events posted, {len(load.answered):,} answered with 201 and all kept"
        f" at their number, {len(load.kept) - len(load.answered):,} kept without an answer,"
        f" {len({epoch for epoch, _ in load.kept})} epochs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kit.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--answers", type=int, default=300, help="before a kill, at most")
    parser.add_argument("--batch", type=int, default=5, help="events of a post")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as folder,
        asyncio.Runner(loop_factory=WatchfulLoop) as runner,
    ):
        answers = (1, given.answers)
        rounds = kill_rounds(Path(folder), given.rounds, answers, given.batch, given.seed)
        try:
            load = runner.run(rounds)
        except AssertionError as error:
            sys.exit(f"lost or doubled: {error}")
    print(f"{given.rounds} kills in {time.monotonic() - began:.0f} s: {shown(load)}")


if __name__ == "__main__":
    main()
