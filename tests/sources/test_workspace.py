"""WorkspaceSource against real folders."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.sources import watch
from app.sources.ignore import MOST_BYTES
from app.sources.workspace import CHUNK, WorkspaceSource
from tests.kit.waiting import WATCHDOG_S, ticks

Event = tuple[str, dict[str, object]]


class Seen:
    """Collects events and waits for them."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._more = asyncio.Event()

    def emit(self, kind: str, data: dict[str, object], metadata: dict[str, object]) -> None:
        assert metadata == {"source": "workspace"}
        self.all.append((kind, data))
        self._more.set()

    async def until(self, kind: str, path: str) -> dict[str, object]:
        async with asyncio.timeout(WATCHDOG_S):
            while True:
                for found, data in self.all:
                    if found == kind and data["path"] == path:
                        return data
                await self.more()

    async def more(self) -> None:
        self._more.clear()
        await self._more.wait()

    def paths(self, kind: str = "") -> list[object]:
        return [data["path"] for found, data in self.all if kind in found]


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[Seen]:
    seen = Seen()
    source = WorkspaceSource(seen.emit, folder)
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(WATCHDOG_S):
            await source.ready.wait()
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not [t for t in threading.enumerate() if t.name.startswith("folder-watch")]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


async def test_create_modify_delete(tmp_path: Path) -> None:
    async with watching(tmp_path) as seen:
        file = tmp_path / "a.txt"
        file.write_text("one")
        created = await seen.until("file.created", "a.txt")
        assert created == {"path": "a.txt", "size": 3, "is_directory": False}
        file.write_text("longer")
        assert (await seen.until("file.modified", "a.txt"))["is_directory"] is False
        file.unlink()
        deleted = await seen.until("file.deleted", "a.txt")
        assert deleted == {"path": "a.txt", "is_directory": False}


async def test_new_directories_report_each_file_once(tmp_path: Path) -> None:
    async with watching(tmp_path) as seen:
        deep = tmp_path / "x" / "y"
        deep.mkdir(parents=True)
        for number in range(20):
            (deep / f"{number}.txt").write_text("text")
        (tmp_path / "last").write_text("")
        for number in range(20):
            await seen.until("file.created", f"x/y/{number}.txt")
        await seen.until("file.created", "last")
        assert (await seen.until("file.created", "x/y"))["is_directory"] is True
        assert len(seen.paths("created")) == len(set(seen.paths("created"))) == 23


async def test_a_moved_directory(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_text("")
    async with watching(tmp_path) as seen:
        (tmp_path / "old").rename(tmp_path / "new")
        await seen.until("file.deleted", "old/a")
        assert (await seen.until("file.deleted", "old"))["is_directory"] is True
        await seen.until("file.created", "new/a")
        (tmp_path / "new" / "b").write_text("")
        await seen.until("file.created", "new/b")


async def test_what_is_ignored_is_silent_and_the_rules_may_change(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".git" / "info" / "exclude").write_text("private\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    folder = tmp_path / "w"
    (folder / "build").mkdir(parents=True)
    (folder / ".gitignore").write_text("build/\n")
    async with watching(folder) as seen:
        for name in ("a.log", "build/x", "private", ".a.swp"):
            (folder / name).write_text("")
        (folder / "shown").write_text("")
        await seen.until("file.created", "shown")
        assert seen.paths() == ["shown"]
        (folder / ".gitignore").write_text("*.txt\n")
        await seen.until("file.modified", ".gitignore")
        (folder / "b.txt").write_text("")
        (folder / "build" / "y").write_text("")
        await seen.until("file.created", "build/y")
        (tmp_path / ".gitignore").write_text("")
        (folder / "b.log").write_text("")
        await seen.until("file.created", "b.log")
        assert "b.txt" not in seen.paths()


async def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    async with watching(tmp_path) as seen:
        (tmp_path / "sub" / os.fsdecode(b"a\xff")).write_text("")
        await seen.until("file.created", "sub/a\N{REPLACEMENT CHARACTER}")
        (tmp_path / "after").write_text("")
        await seen.until("file.created", "after")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often whether the folder is still the same one."""
    monkeypatch.setattr(watch, "LOOK_S", 0.02)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("name", ["missing", "file"])
async def test_a_folder_that_is_made_later_is_watched(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with capture_logs() as logs:
        async with watching(tmp_path / name) as seen:
            (tmp_path / "file").unlink()
            (tmp_path / name).mkdir()
            (tmp_path / name / "a").write_text("")
            await seen.until("file.created", "a")
            (tmp_path / name / "b").write_text("")
            await seen.until("file.created", "b")
    assert [entry["event"] for entry in logs] == ["workspace_unavailable", "files_watched"]


@pytest.mark.usefixtures("soon")
async def test_a_deleted_folder_is_reported_and_its_replacement_is_watched(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "a").write_text("")
    with capture_logs() as logs:
        async with watching(folder) as seen:
            folder.rename(tmp_path / "old")
            await seen.until("file.deleted", "a")
            (tmp_path / "w").symlink_to("old")
            await seen.until("file.created", "a")
            (folder / "b").write_text("")
            await seen.until("file.created", "b")
    reported = [entry["event"] for entry in logs]
    assert reported == ["files_watched", "workspace_unavailable", "files_watched"]


@asynccontextmanager
async def running(source: WorkspaceSource) -> AsyncIterator[None]:
    source.ready.clear()
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(WATCHDOG_S):
            await source.ready.wait()
            yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_restarted_source_reports_what_it_missed(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("")
    seen = Seen()
    source = WorkspaceSource(seen.emit, tmp_path)
    async with running(source):
        pass
    (tmp_path / "b").write_text("")
    (tmp_path / "gone").unlink()
    async with running(source):
        await seen.until("file.created", "b")
        await seen.until("file.deleted", "gone")
    assert len(seen.all) == 2


async def test_what_cannot_be_seen_is_said_once_with_the_remedy_and_when_it_can(
    tmp_path: Path,
) -> None:
    (tmp_path / ".gitignore").write_text("#" * (MOST_BYTES + 1))
    sights: list[Mapping[str, int]] = []
    seen = Seen()
    source = WorkspaceSource(seen.emit, tmp_path, sights.append)
    with capture_logs() as logs:
        async with running(source):
            (tmp_path / ".gitignore").write_text("*.o\n")
            await seen.until("file.modified", ".gitignore")
            (tmp_path / "a.o").write_text("")
            (tmp_path / "b").write_text("")
            await seen.until("file.created", "b")
    assert "a.o" not in seen.paths()
    assert sights == [{"ignore_files": 1}, {}]
    reported = {entry["event"]: entry for entry in logs}
    assert set(reported) == {"files_watched", "workspace_partly_blind", "workspace_seen_again"}
    assert reported["workspace_partly_blind"]["first"] == str(tmp_path / ".gitignore")
    assert "1 MiB" in reported["workspace_partly_blind"]["remedy"]


@pytest.mark.usefixtures("soon")
async def test_between_200_events_of_a_storm_the_loop_has_a_turn(tmp_path: Path) -> None:
    turns = [0]
    seen = Seen()

    def emit(kind: str, data: dict[str, object], metadata: dict[str, object]) -> None:
        if not seen.all:
            asyncio.get_running_loop().call_soon(turn)
        seen.emit(kind, data, metadata)

    def turn() -> None:
        turns.append(len(seen.all))
        if len(seen.all) < 3 * CHUNK:
            asyncio.get_running_loop().call_soon(turn)

    (tmp_path / "new").mkdir()
    for number in range(3 * CHUNK):
        (tmp_path / "new" / str(number)).write_text("")
    async with running(WorkspaceSource(emit, tmp_path / "w")):
        (tmp_path / "new").rename(tmp_path / "w")
        while len(seen.all) < 3 * CHUNK:
            await seen.more()
    assert max(after - before for before, after in pairwise(turns)) == CHUNK


async def test_a_hostile_ignore_file_holds_nobody_up(tmp_path: Path) -> None:
    hostile = ("*a" * 12 + "*b", "**/" * 300 + "x", "*" * 900 + "z", "[" * 900, "\\" * 901)
    (tmp_path / ".gitignore").write_text("\n".join(hostile))
    (tmp_path / ("a" * 200)).write_text("")
    async with watching(tmp_path) as seen:
        (tmp_path / ("a" * 201)).write_text("")
        await seen.until("file.created", "a" * 201)


@pytest.mark.slow
async def test_a_large_checkout_leaves_the_loop_free(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "empty")
    git(tmp_path, "switch", "-q", "-c", "large")
    for number in range(5000):
        file = tmp_path / f"d{number % 50}" / f"{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("text")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "large")
    git(tmp_path, "switch", "-q", "main")
    # The loop's own CPU time: other programs and threads do not add to it.
    turns = [time.thread_time()]

    async def turn() -> None:
        async for _ in ticks(0.005):
            turns.append(time.thread_time())

    async with watching(tmp_path) as seen:
        turning = asyncio.create_task(turn())
        await asyncio.to_thread(git, tmp_path, "switch", "-q", "large")
        async with asyncio.timeout(WATCHDOG_S):
            while len(seen.paths("created")) < 5050:
                await seen.more()
        turning.cancel()
        paths = seen.paths("created")
        assert len(paths) == len(set(paths)) == 5050
    assert max(after - before for before, after in pairwise(turns)) < 0.1
