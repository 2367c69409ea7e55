"""GitSource against real repositories."""

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.sources import git as module
from app.sources import git_command
from app.sources.git import GitSource
from tests.waiting import WATCHDOG_S

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


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[Commits]:
    commits: Commits = asyncio.Queue()

    def emit(kind: str, data: dict[str, object], metadata: dict[str, object]) -> None:
        assert (kind, metadata) == ("git.commit_created", {"source": "git"})
        commits.put_nowait(data)

    source = GitSource(emit, folder)
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(WATCHDOG_S):
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


async def test_first_commit_and_amend(repository: Path) -> None:
    async with watching(repository) as commits:
        first = commit(repository, "first", "a", "b \u00e9\n")
        assert await following(commits) == {
            "commit_hash": first,
            "message": "first",
            "author": "Ada",
            "files_changed": 2,
        }
        git(repository, "commit", "-q", "--amend", "-m", "better")
        assert (await following(commits))["message"] == "better"
        empty = commit(repository, "empty")
        found = await following(commits)
        assert (found["commit_hash"], found["files_changed"]) == (empty, 0)


async def test_merge_and_switch(repository: Path) -> None:
    old = commit(repository, "old", "a")
    commit(repository, "base", "b")
    git(repository, "switch", "-q", "-c", "side", old)
    commit(repository, "side", "c", "d")
    async with watching(repository) as commits:
        git(repository, "switch", "-q", "main")
        git(repository, "switch", "-q", "--detach", old)
        git(repository, "switch", "-q", "main")
        git(repository, "merge", "-q", "--no-ff", "-m", "merged", "side")
        found = await following(commits)
        assert (found["message"], found["files_changed"]) == ("merged", 2)


async def test_rebase_is_oldest_first(repository: Path) -> None:
    commit(repository, "base", "a")
    git(repository, "switch", "-q", "-c", "side")
    commit(repository, "one", "b")
    commit(repository, "two", "c")
    git(repository, "switch", "-q", "main")
    commit(repository, "main", "d")
    async with watching(repository) as commits:
        git(repository, "rebase", "-q", "main", "side")
        assert [(await following(commits))["message"] for _ in range(2)] == ["one", "two"]


async def test_subfolder_and_worktree(repository: Path, tmp_path: Path) -> None:
    commit(repository, "base", "a")
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", "--detach", str(tree))
    (tree / "sub").mkdir()
    async with watching(tree / "sub") as commits:
        commit(tree, "detached", "b")
        assert (await following(commits))["message"] == "detached"
        commit(repository, "elsewhere", "c")
        assert (await following(commits))["message"] == "elsewhere"


async def test_only_the_newest(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_COMMITS", 2)
    base = commit(repository, "base")
    for number in range(4):
        commit(repository, str(number))
    tip = git(repository, "rev-parse", "HEAD")
    git(repository, "reset", "-q", "--hard", base)
    async with watching(repository) as commits:
        git(repository, "reset", "-q", "--hard", tip)
        assert [(await following(commits))["message"] for _ in range(2)] == ["2", "3"]


async def test_no_repository_or_program(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        async with asyncio.timeout(WATCHDOG_S):
            await GitSource(lambda *_: None, tmp_path).run()
            await GitSource(lambda *_: None, tmp_path / "missing").run()
            monkeypatch.setenv("PATH", str(tmp_path))
            await GitSource(lambda *_: None, repository).run()
    assert [entry["event"] for entry in logs] == ["git_unavailable"] * 3


async def test_the_repository_is_deleted(repository: Path) -> None:
    commit(repository, "base", "a")
    source = GitSource(lambda *_: None, repository)
    with capture_logs() as logs:
        async with asyncio.timeout(WATCHDOG_S), asyncio.TaskGroup() as group:
            group.create_task(source.run())
            await source.ready.wait()
            shutil.rmtree(repository)
    said = [entry["event"] for entry in logs]
    # A command may meet the folder half deleted.
    assert [event for event in said if event != "git_command_failed"] == [
        "commits_watched",
        "git_unavailable",
    ]


async def test_a_slow_command_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho $$ > pid\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(git_command, "COMMAND_SECONDS", 2.0)
    async with asyncio.timeout(WATCHDOG_S):
        await GitSource(lambda *_: None, tmp_path).run()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
