"""What watching costs: `python -m benchmarks.watching`, on this machine's files.

A tree of 100,000 files, half of them ignored: how long the first look takes, how many watches it has,
how long a `git switch` of 10,000 files and a removal of 3,000 folders take to be told, and how late the
event loop's turns were meanwhile.
"""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from app.sources.ignore import ignore_rules
from app.sources.tree import Tree
from app.sources.watch import TreeWatch

FOLDERS, FILES = 2500, 20  # of each kind: seen and ignored


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def _fill(top: Path, kind: str, folders: int, files: int) -> None:
    for number in range(folders):
        folder = top / kind / str(number % 50) / str(number)
        folder.mkdir(parents=True)
        for file in range(files):
            (folder / f"{file}.txt").write_text(kind)


@asynccontextmanager
async def _lateness(what: str) -> AsyncIterator[None]:
    """Print how long something took, and by how much the latest of the loop's turns was late."""
    latest = 0.0

    async def turn() -> None:
        nonlocal latest
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            latest = max(latest, time.perf_counter() - due)

    turning = asyncio.create_task(turn())
    began = time.perf_counter()
    yield
    took_ms = 1000 * (time.perf_counter() - began)
    turning.cancel()
    with suppress(asyncio.CancelledError):
        await turning
    print(f"{what:52} {took_ms:8.0f} ms   loop late by {1000 * latest:5.1f} ms at most")


async def _measure(top: Path) -> None:
    tree = Tree()
    watch = TreeWatch(top, ignore_rules, tree)
    async with _lateness("first look at 100,000 files, half of them ignored"):
        await watch.__aenter__()
    watches = sum(folder.watch is not None for folder in tree.folders())
    print(f"{watch.known()} known files and folders, {watches} watches")

    async def told(count: int) -> None:
        while count > 0:
            count -= len(await watch.changes())

    try:
        async with _lateness("one file, from its writing to its being told"):
            (top / "seen" / "one").write_text("")
            await told(1)
        async with _lateness("git switch: 10,000 files go, 10,000 come"):
            telling = asyncio.create_task(told(20_000))
            began = time.perf_counter()
            await asyncio.to_thread(_git, top, "switch", "-q", "other")
            took_ms = 1000 * (time.perf_counter() - began)
            await telling
        print(f"{'of which git took':52} {took_ms:8.0f} ms")
        async with _lateness("rename of 3,000 folders with 3,000 files"):
            (top / "many").rename(top.parent / "many")
            await told(6_000)
    finally:
        await watch.__aexit__(None, None, None)


def main() -> None:
    """Make the tree, measure, print."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name) / "workspace"
        top.mkdir()
        _git(top, "init", "-q", "-b", "other")
        for branch in ("other", "main"):
            _git(top, "switch", "-q", "--orphan", branch)
            (top / ".gitignore").write_text("node_modules/\n*.pyc\n.venv/\ndist/\n")
            _fill(top, branch, 500, 20)
            _git(top, "add", "-A")
            _git(top, "commit", "-q", "-m", branch)
        _fill(top, "node_modules", FOLDERS, FILES)
        _fill(top, "seen", FOLDERS, FILES)
        _fill(top, "many", 3000, 1)
        asyncio.run(_measure(top))


if __name__ == "__main__":
    main()
