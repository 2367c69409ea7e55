"""SIGKILL of a gateway under load, again and again; then every answer is looked up in the journal.

`make kill-journal ROUNDS=100`, or `python -m tests.kit.kills`, counts what was found.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.kit.processes import Run, quiet_run
from tests.kit.waiting import WATCHDOG_S, WatchfulLoop, until

POSTERS = 8  # connections
PORTS = 5  # to try for one gateway
TURNS = 400  # at most, a few milliseconds
SETTINGS = {"SIGHTLINE_WORKSPACE": "", "SIGHTLINE_EXTRA_NAMESPACES": "plugin"}
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
            for _ in range(turns):  # the kill must not always meet a gateway that has just answered
                await asyncio.sleep(0)
            run.process.kill()

    async def check(self, run: Run) -> None:
        """Every answer stands where it was given; the sums are exact.

        Nothing is there twice, nothing was never sent, and each epoch has the numbers from 1 to its
        last one without a hole.
        """
        kept = self.kept = await history(run)
        missing = {text: at for text, at in self.answered.items() if kept.get(at) != text}
        assert not missing, f"answered with 201, and not in the journal: {missing}"
        texts = set(kept.values())
        assert len(texts) == len(kept), "a text stands at two places"
        assert texts <= self.sent
        for epoch in {epoch for epoch, _ in kept}:
            numbers = [number for one, number in kept if one == epoch]
            assert numbers == [*range(1, len(numbers) + 1)], f"a hole in {epoch}"
        unanswered = len(texts - self.answered.keys())
        assert len(kept) == len(self.answered) + unanswered


async def history(run: Run) -> dict[Place, str]:
    """Everything in the journal, in the order of pages; each epoch stands in one run."""
    kept: dict[Place, str] = {}
    epochs: list[str] = []
    async with run.http() as http:
        query = "order=asc&limit=1000"
        while True:
            page = (await http.get(f"/api/events?{query}")).json()
            assert page["gap"] is None, page["gap"]
            if page["events"] and epochs[-1:] != [page["epoch"]]:
                epochs.append(page["epoch"])
            for event in page["events"]:
                kept[page["epoch"], event["sequence_number"]] = event["data"]["text"]
            if page["newer"] is None:
                assert len(epochs) == len(set(epochs))
                return kept
            query = f"order=asc&limit=1000&after={page['newer']}"


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Run]:
    """A gateway that accepts clients; raises `AssertionError` with its output if it does not."""
    said = folder / "output.txt"
    for _ in range(PORTS):
        with said.open("wb") as output:
            async with quiet_run(folder, env=SETTINGS, stdout=output) as run:
                try:
                    await (await run.connected()).close()
                    listens = run.port in {
                        one.laddr.port for one in run.info.net_connections("tcp")
                    }
                except (AssertionError, psutil.Error):
                    listens = False
                if listens:
                    yield run
                    return
        # another program may have taken the port that was free a moment ago
        assert "in use" in said.read_text(), said.read_text()
    raise AssertionError(f"{PORTS} ports in a row were taken")


async def kill_rounds(
    folder: Path, rounds: int, answers: tuple[int, int], batch: int, seed: int = 7
) -> Load:
    """Start, check, post, kill; the last start only checks. Raises `AssertionError` at a loss."""
    load, chance = Load(), random.Random(seed)
    for number in range(rounds + 1):
        async with started(folder) as run:
            await load.check(run)
            if number and number % 10 == 0:
                print(f"  {number} kills: {shown(load)}", flush=True)
            if number < rounds:
                await load.until_killed(
                    run, chance.randint(*answers), chance.randint(0, TURNS), batch
                )
    return load


def shown(load: Load) -> str:
    unanswered = len(load.kept) - len(load.answered)
    return (
        f"{len(load.sent):,} events posted, {len(load.answered):,} answered with 201 and all kept"
        f" at their number, {unanswered:,} kept without an answer,"
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
