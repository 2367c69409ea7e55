"""Repositories for tests, and a source that watches one."""

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.sources.git import GitSource
from tests.kit.waiting import WATCHDOG_S

Commits = asyncio.Queue[dict[str, object]]


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    command = ["git", *settings, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, message: str, *names: str) -> str:
    for name in names:
        (folder / name).write_text(message)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def create(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    return folder


@asynccontextmanager
async def watching(folder: Path, is_there: bool = True) -> AsyncIterator[Commits]:
    """What a source reports, once it watches; all of it must be taken."""
    commits: Commits = asyncio.Queue()

    def emit(kind: str, data: dict[str, object], metadata: dict[str, object]) -> None:
        assert (kind, metadata) == ("git.commit_created", {"source": "git"})
        commits.put_nowait(data)

    source = GitSource(emit, folder)
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(WATCHDOG_S):
            if is_there:
                await source.ready.wait()
        yield commits
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not [t for t in threading.enumerate() if t.name.startswith("folder-watch")]
    assert commits.empty()


async def following(commits: Commits) -> dict[str, object]:
    async with asyncio.timeout(WATCHDOG_S):
        return await commits.get()
