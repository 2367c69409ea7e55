"""What the tests of watching share: a scan of their own, and a watch that takes its steps by hand."""

import asyncio
import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from app.sources.hints import Watches
from app.sources.ignore import ignore_rules, is_silent
from app.sources.inotify import Inotify
from app.sources.look import Looker
from app.sources.tree import Change, Tree
from tests.support import FakeClock

Scan = dict[str, tuple[bool, int]]  # by path: whether it is a folder, and its size


def git(folder: Path, *arguments: str, given: str = "", check: bool = True) -> str:
    """Run git without the user's settings."""
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "gc.auto=0")
    done = subprocess.run(
        ["git", *settings, *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def scan(top: Path) -> Scan:
    """What is there to see, by the system's own means; what git ignores is left out."""
    found: Scan = {}
    if not top.is_dir():
        return found
    for folder, names, files in os.walk(os.path.realpath(top)):
        names[:] = [name for name in names if not is_silent(name)]
        for name in (*names, *(file for file in files if not is_silent(file))):
            path = os.path.join(folder, name)
            is_folder = os.path.isdir(path) and not os.path.islink(path)
            key = os.path.relpath(path, os.path.realpath(top))
            found[key] = (is_folder, 0 if is_folder else os.lstat(path).st_size)
    asked = "".join(f"{path}\0" for path in found)
    inside = git(top, "rev-parse", "--show-toplevel", check=False)
    lent = () if inside else ("--git-dir", empty_repository(), "--work-tree", os.path.realpath(top))
    answer = git(
        top, *lent, "check-ignore", "--no-index", "--stdin", "-z", given=asked, check=False
    )
    for path in answer.split("\0")[:-1]:
        del found[path]
    return found


@cache
def empty_repository() -> str:
    """What lends git's rules to a folder that is in no repository."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    git(Path(folder), "init", "-q")
    return f"{folder}/.git"


def fold(known: Scan, changes: list[Change]) -> None:
    """Apply changes; each must fit to what is known."""
    for kind, path, is_folder, size in changes:
        parent = path.rpartition("/")[0]
        assert not parent or known[parent][0], f"{kind} {path}: there is no folder for it"
        assert (path in known) == (kind != "created"), f"{kind} {path}"
        if kind == "deleted":
            assert known.pop(path)[0] == is_folder
            assert not is_folder or not any(other.startswith(f"{path}/") for other in known)
        else:
            assert kind == "created" or not is_folder, f"a folder was {kind}: {path}"
            known[path] = (is_folder, size)


class Watched:
    """A watch whose steps the test takes. `known` is the first scan with all changes applied."""

    def __init__(
        self,
        top: Path,
        watches: Watches | None = None,
        open_folder: Callable[[str, int], int] = os.open,
    ) -> None:
        self.top = top
        self.clock = FakeClock()
        self.watches = watches or Inotify()
        self.tree = Tree()
        self.reported: list[Change] = []
        self.rules = asyncio.run(ignore_rules(top))
        self.looker = Looker(
            str(top),
            self.tree,
            self.rules,
            self.watches,
            clock=self.clock.monotonic,
            open_folder=open_folder,
        )
        while True:
            self.looker.look()
            if self.looker.idle:
                break
        self.known: Scan = {
            folder.path_of(name): (entry.is_folder, entry.size)
            for folder in self.tree.folders()
            for name, entry in folder.entries.items()
        }

    def step(self) -> list[Change]:
        """Look at a part of what may have changed."""
        if self.rules.stale():
            self.rules = asyncio.run(ignore_rules(self.top))
            self.looker.use(self.rules)
        changes = self.looker.look()
        self.reported += changes
        fold(self.known, changes)
        return changes

    def settle(self) -> list[Change]:
        """Look until there is nothing left to look at; return what that reported."""
        before = len(self.reported)
        while True:
            self.step()
            if self.looker.idle and not self.looker.read() and not self.rules.stale():
                return self.reported[before:]

    def paths(self, kind: str) -> list[str]:
        """The events of this kind so far."""
        return [change.path for change in self.reported if change.kind == kind]

    def watched(self) -> set[str]:
        """The folders that have a watch of the system."""
        return {folder.path for folder in self.tree.folders() if folder.watch is not None}

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.watches.close()


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
