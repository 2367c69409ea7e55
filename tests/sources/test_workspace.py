"""WorkspaceSource against real folders."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

from structlog.testing import capture_logs

from app.sources.workspace import WorkspaceSource
from tests.waiting import WATCHDOG_S, ticks

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


async def test_unusable_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("missing", "file"):
        with capture_logs() as logs:
            async with asyncio.timeout(WATCHDOG_S):
                await WorkspaceSource(Seen().emit, tmp_path / name).run()
        assert [entry["event"] for entry in logs] == ["workspace_unavailable"]


async def test_the_folder_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    seen = Seen()
    source = WorkspaceSource(seen.emit, folder)
    with capture_logs() as logs:
        async with asyncio.timeout(WATCHDOG_S), asyncio.TaskGroup() as group:
            group.create_task(source.run())
            await source.ready.wait()
            folder.rmdir()
    assert [entry["event"] for entry in logs] == ["files_watched", "workspace_unavailable"]


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
