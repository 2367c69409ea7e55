"""The hints of `watchfiles`, which serve where there is no inotify: the same looker, the same results."""

import asyncio
import os
import shutil
from pathlib import Path

from app.sources.ignore import ignore_rules
from app.sources.recursive import Recursive
from app.sources.tree import Tree
from app.sources.watch import TreeWatch
from tests.kit.waiting import WATCHDOG_S
from tests.sources.folders import Scan, fold, scan


async def test_reported_changes_match_the_disk_also_with_recursive_hints(tmp_path: Path) -> None:
    top = tmp_path / "ws"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/x").write_text("x")
    (top / ".gitignore").write_text("*.o\n")
    (tmp_path / "link").symlink_to("ws")
    known: Scan = scan(top)

    async def follow(watch: TreeWatch) -> None:
        while known != scan(top):
            fold(known, await watch.changes())

    link = tmp_path / "link"
    async with (
        asyncio.timeout(WATCHDOG_S),
        TreeWatch(link, ignore_rules, Tree(), open_watches=Recursive) as watch,
    ):
        (top / "a/b/x").write_text("longer")
        (top / "a/x.o").write_text("")
        await follow(watch)
        (top / "a/b").rename(top / "c")
        (top / "c/y").write_text("")
        await follow(watch)
        (top / os.fsdecode(b"a\xff")).write_text("")
        await follow(watch)
        shutil.rmtree(top / "c")
        (top / "d").write_text("")
        await follow(watch)
    assert set(known) >= {"a", "d"}
