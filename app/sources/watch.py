"""`TreeWatch`: the changes in a folder, found in a thread of its own; `FolderWatch`: where they were."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

import structlog

from .hints import Watches, open_watches
from .look import Looker
from .tree import Change, Rules, Tree

P = ParamSpec("P")
T = TypeVar("T")
MakeRules = Callable[[Path], Awaitable[Rules]]

LOOK_S = 2.0  # how often to look whether the folder is still the same one
GATHER_TURNS, GATHER_S = 8, 0.025  # hints that come this close together are looked at together
log = structlog.get_logger("sightline.watch")


class TreeWatch:
    """Keeps a tree true from one thread of its own; leaving or cancelling ends the thread.

    On entering, what is there is taken in; it never ends by itself. A folder that is not there is an
    empty one until it is made.
    """

    def __init__(
        self,
        top: Path,
        make_rules: MakeRules,
        tree: Tree | None = None,
        *,
        is_new: bool = True,
        open_watches: Callable[[str], Watches] = open_watches,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With a `tree` that is not new, what has changed since another watch kept it is told too."""
        self._top = top
        self._make_rules = make_rules
        self._is_new = is_new
        self._tree = tree or Tree()
        self._open_watches = open_watches
        self._clock = clock
        self._pool = ThreadPoolExecutor(1, "folder-watch")

    async def __aenter__(self) -> "TreeWatch":
        try:
            self.rules = await self._make_rules(self._top)
            self._watches = await self.call(self._open_watches, str(self._top))
        except BaseException:
            self._pool.shutdown()
            raise
        self.looker = Looker(
            str(self._top), self._tree, self.rules, self._watches, clock=self._clock
        )
        try:
            while self._is_new:
                await self.call(self.looker.look)
                self._is_new = not self.looker.idle
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._close()

    async def changes(self) -> list[Change]:
        """The next changes; empty where only what can be seen has changed, or nothing."""
        if self.looker.idle:
            await self._gather()
        if await self.call(self.rules.stale):
            self.rules = await self._make_rules(self._top)
            await self.call(self.looker.use, self.rules)
        return await self.call(self.looker.look)

    def sight(self) -> dict[str, int]:
        """How many folders, and ignore files, cannot be seen, by reason."""
        left_out = {"ignore_files": len(self.rules.left_out)} if self.rules.left_out else {}
        return self.looker.blindness.counts() | left_out

    def first_blind(self, reason: str) -> str:
        """One of those that cannot be seen for this reason."""
        if reason == "ignore_files":
            return min(self.rules.left_out)
        return os.fsencode(self.looker.blindness.first(reason) or os.curdir).decode(
            "utf-8", "replace"
        )

    def known(self) -> int:
        """How many files and folders are known."""
        return sum(len(folder.entries) for folder in self._tree.folders())

    async def _gather(self) -> None:
        await self._watches.wait(LOOK_S)
        for _ in range(GATHER_TURNS):
            await asyncio.sleep(GATHER_S)
            if not await self.call(self.looker.read):
                break

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the thread; on cancellation ask it to stop and wait until it has."""
        future = asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            looker: Looker | None = getattr(self, "looker", None)
            if looker is not None:
                looker.stop.set()
            await asyncio.wait({future})
            raise

    def _close(self) -> None:
        self.looker.stop.set()
        self._pool.shutdown()
        self._watches.close()


class _Named:
    """Leaves out what lies below these names at the top."""

    file_name = ""

    def __init__(self, names: frozenset[str]) -> None:
        self.left_out: set[str] = set()
        self._names = names

    def ignored(self, path: str, is_directory: bool) -> bool:
        return is_directory and path in self._names

    def forget(self) -> None:
        pass

    def stale(self) -> bool:
        return False


class FolderWatch:
    """Where something has changed below a folder, as absolute paths."""

    def __init__(self, folder: Path, quiet: frozenset[str] = frozenset()) -> None:
        """Of the folders in `quiet`, at the top, nothing is told."""
        self._folder = folder
        self._quiet = quiet
        self._sight: dict[str, int] = {}

    async def __aenter__(self) -> "FolderWatch":
        self._watch = await TreeWatch(self._folder, self._rules).__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._watch.__aexit__(kind, error, tb)

    async def _rules(self, folder: Path) -> Rules:
        return _Named(self._quiet)

    async def changes(self) -> set[str]:
        """The paths of the next changes; empty after two quiet seconds."""
        changes = await self._watch.changes()
        sight = self._watch.sight()
        if sight != self._sight:
            self._sight = sight
            log.warning("folder_partly_blind", path=str(self._folder), **sight)
        return {os.path.join(self._folder, change.path) for change in changes}
