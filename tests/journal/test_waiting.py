"""Waiting for the disk: only for an event of the present epoch, and leaving nothing behind."""

import asyncio
import threading
from pathlib import Path

import pytest

from app.errors import JournalUnavailableError
from app.journal import retention, storing
from app.journal.journal import Journal
from app.journal.pending import Start
from app.journal.storing import Progress
from app.journal.writer import Bounds
from tests.kit.journal import event
from tests.kit.waiting import until
from tests.support import FakeClock

BOUNDS = Bounds(64 * 1024 * 1024, 86_400_000)


async def test_a_late_report_of_another_epoch_stores_nothing_of_this_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", BOUNDS, FakeClock())
    await journal.open()
    journal.begin("e1", 0)
    journal.begin("e2", 0)
    journal.offer(event(1, "x", "ada"))
    journal._on_report(
        Progress(Start("e1", 0), 500, None, None, 0)
    )  # it was on its way when e2 began
    assert journal.status.behind == 1
    await journal.stored(1)
    await journal.close()


async def test_the_size_on_disk_is_read_by_the_thread_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    read = storing.size_on_disk

    def size_on_disk(path: Path) -> int:
        threads.add(threading.current_thread().name)
        return read(path)

    for module in (storing, retention):
        monkeypatch.setattr(module, "size_on_disk", size_on_disk)
    journal = Journal(tmp_path / "journal.db", BOUNDS, FakeClock())
    await journal.open()
    journal.begin("e1", 0)
    await journal.opened()
    journal.offer(event(1, "x", "ada"))
    assert journal.status.behind == 1
    await journal.stored(1)
    assert (journal.status.behind, journal.status.bytes) == (0, read(journal.path))
    await journal.close()
    assert threads == {"journal-writer"}


async def test_waiters_of_an_epoch_that_ended_get_an_error_and_a_cancelled_one_is_forgotten(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "journal.db", BOUNDS, FakeClock())
    await journal.open()
    journal.begin("e1", 0)
    journal._head = 8
    never = asyncio.create_task(journal.stored(7))
    cancelled = asyncio.create_task(journal.stored(8))
    await until(lambda: len(journal._waiters) == 2)
    cancelled.cancel()
    await until(lambda: len(journal._waiters) == 1)
    journal.begin("e2", 0)
    with pytest.raises(JournalUnavailableError, match="another stream began"):
        await never
    with pytest.raises(JournalUnavailableError, match="another stream began"):
        await journal.stored(8)  # asked too late
    assert not journal._waiters
    await journal.close()
