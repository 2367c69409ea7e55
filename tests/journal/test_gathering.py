"""Publishers that wait for the disk at the same time share one waking of the thread, so one commit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import JournalUnavailableError
from app.journal.journal import Journal
from app.journal.storing import Progress
from app.journal.waiters import GATHER_TURNS
from app.journal.writer import Bounds
from tests.kit.journal import event
from tests.kit.waiting import until
from tests.support import FakeClock

BOUNDS = Bounds(64 * 1024 * 1024, 86_400_000)


class Watched:
    """A journal, and the number of events that each waking of its thread found."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal = Journal(path, BOUNDS, FakeClock())
        self.found: list[int] = []
        self._published = 0
        storing = self.journal._storing
        wake = storing.wake

        def watched_wake() -> None:
            self.found.append(self._published)
            wake()

        monkeypatch.setattr(storing, "wake", watched_wake)

    async def publish(self) -> None:
        """As a publisher that waits for the disk."""
        self._published += 1
        number = self._published
        self.journal.offer(event(number, "x", "ada"))
        await self.journal.stored(number)
        assert self.journal._stored >= number  # nobody is answered before


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    one = Watched(tmp_path / "journal.db", monkeypatch)
    await one.journal.open()
    one.journal.begin("e1", 0)
    await one.journal.opened()
    yield one
    await one.journal.close()


async def test_publishers_of_one_turn_wake_the_thread_once(watched: Watched) -> None:
    await asyncio.gather(*(watched.publish() for _ in range(10)))
    assert watched.found == [10]


async def test_publishers_of_turns_in_a_row_wake_the_thread_once(watched: Watched) -> None:
    waiting = []
    for _ in range(GATHER_TURNS):
        waiting.append(asyncio.create_task(watched.publish()))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert watched.found == [GATHER_TURNS]


async def test_a_stream_of_publishers_does_not_keep_the_first_waiting(watched: Watched) -> None:
    waiting = []
    while not watched.found:
        waiting.append(asyncio.create_task(watched.publish()))
        await asyncio.sleep(0)
        assert len(waiting) <= GATHER_TURNS + 2
    await asyncio.gather(*waiting)


async def test_a_publisher_alone_waits_for_one_turn(watched: Watched) -> None:
    turns = 0
    waiting = asyncio.create_task(watched.publish())
    while not watched.found:
        await asyncio.sleep(0)
        turns += 1
    assert turns <= 3  # it begins, its turn is looked at, nothing came
    await waiting


async def test_a_failure_reaches_those_whose_events_are_still_gathered(watched: Watched) -> None:
    journal = watched.journal
    waiting = asyncio.create_task(watched.publish())
    await until(lambda: len(journal._waiters) == 1)
    assert journal._head == 0
    journal._on_report(Progress(journal._start, 0, "the disk is full", None, 0))
    with pytest.raises(JournalUnavailableError, match="the disk is full"):
        await waiting
    journal._on_report(Progress(journal._start, 0, None, None, 0))


async def test_nobody_waits_after_the_close(watched: Watched) -> None:
    closing = asyncio.create_task(watched.journal.close())
    waiting = []
    while not closing.done():
        waiting.append(asyncio.create_task(watched.publish()))
        await asyncio.sleep(0)
    waiting.append(asyncio.create_task(watched.publish()))
    for _ in range(3):  # the last one begins, and gets its error
        await asyncio.sleep(0)
    assert all(one.done() for one in waiting)
    with pytest.raises(JournalUnavailableError, match="shutting down"):
        await waiting[-1]
    await asyncio.gather(*waiting, return_exceptions=True)
