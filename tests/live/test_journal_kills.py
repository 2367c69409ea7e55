"""SIGKILL under load over real sockets: whatever was answered with 201 is in the journal, once."""

import asyncio
import itertools
import random
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.kit.processes import Run, quiet_run
from tests.kit.waiting import WATCHDOG_S, until

POSTERS = 8
Place = tuple[str, int]  # epoch and number


class Load:
    """Posts events of unique texts; knows which were sent, and where those answered stand."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.answered: dict[str, Place] = {}
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

    async def until_killed(self, run: Run, answers: int, batch: int) -> None:
        """Post from many connections; SIGKILL in their midst."""
        wanted = len(self.answered) + answers
        async with run.http() as http, asyncio.TaskGroup() as tasks:
            for _ in range(POSTERS):
                tasks.create_task(self.post_until_it_dies(http, batch))
            await until(lambda: len(self.answered) >= wanted, 4 * WATCHDOG_S)
            run.process.kill()

    def check(self, kept: dict[Place, str]) -> None:
        """Every answer stands where it was given; nothing is there twice or was never sent."""
        assert {text: kept.get(place) for text, place in self.answered.items()} == {
            text: text for text in self.answered
        }
        texts = list(kept.values())
        assert len(texts) == len(set(texts))
        assert set(texts) <= self.sent


async def history(run: Run) -> dict[Place, str]:
    """Everything in the journal, in the order of pages; each epoch stands in one run."""
    kept: dict[Place, str] = {}
    epochs: list[str] = []
    async with run.http() as http:
        query = "order=asc&limit=1000"
        while True:
            page = (await http.get(f"/api/events?{query}")).json()
            if page["events"] and epochs[-1:] != [page["epoch"]]:
                epochs.append(page["epoch"])
            for event in page["events"]:
                kept[page["epoch"], event["sequence_number"]] = event["data"]["text"]
            if page["newer"] is None:
                assert len(epochs) == len(set(epochs))
                return kept
            query = f"order=asc&limit=1000&after={page['newer']}"


SETTINGS = {"SIGHTLINE_WORKSPACE": "", "SIGHTLINE_EXTRA_NAMESPACES": "plugin"}


async def kill_rounds(folder: Path, rounds: int, answers: tuple[int, int], batch: int) -> Load:
    load, chance = Load(), random.Random(7)
    for number in range(rounds + 1):
        async with quiet_run(folder, env=SETTINGS) as run:
            await (await run.connected()).close()
            load.check(await history(run))
            if number < rounds:
                await load.until_killed(run, chance.randint(*answers), batch)
    return load


@pytest.mark.slow
async def test_three_kills_under_load_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    load = await kill_rounds(tmp_path, 3, (50, 400), batch=5)
    assert len({epoch for epoch, _ in load.answered.values()}) == 3


@pytest.mark.attack
async def test_a_hundred_kills_under_load_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    load = await kill_rounds(tmp_path, 100, (1, 300), batch=5)
    assert len({epoch for epoch, _ in load.answered.values()}) == 100


@pytest.mark.attack
async def test_a_kill_in_the_middle_of_10000_posts_loses_none_that_was_answered(
    tmp_path: Path,
) -> None:
    load = await kill_rounds(tmp_path, 2, (5000, 5000), batch=1)
    assert len(load.answered) >= 10_000
