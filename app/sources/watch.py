"""`TreeWatch`: the changes in a folder, found in a thread; `FolderWatch`: only their paths."""

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

LOOK_S = 2.0  # between two checks whether the folder was replaced
GATHER_TURNS, GATHER_S = 8, 0.025  # wait for further hints, to process them together
log = structlog.get_logger("sightline.watch")


class TreeWatch:
    """Keeps a tree up to date from its own thread, which ends on exit and on cancellation.

    Entering reads the whole folder. A missing folder counts as empty until it is made.
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
        """With `is_new=False`, `changes` also reports changes since `tree` was last kept."""
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
        """Wait for the next changes; may be empty."""
        if self.looker.idle:
            await self._gather()
        if await self.call(self.rules.stale):
            self.rules = await self._make_rules(self._top)
            await self.call(self.looker.use, self.rules)
        return await self.call(self.looker.look)

    def sight(self) -> dict[str, int]:
        """The number of unwatched folders and unread ignore files, by reason."""
        left_out = {"ignore_files": len(self.rules.left_out)} if self.rules.left_out else {}
        return self.looker.blindness.counts() | left_out

    def first_blind(self, reason: str) -> str:
        """The first unwatched path with this reason."""
        if reason == "ignore_files":
            return min(self.rules.left_out)
        return os.fsencode(self.looker.blindness.first(reason) or os.curdir).decode(
            "utf-8", "replace"
        )

    def known(self) -> int:
        """The number of known files and folders."""
        return sum(len(folder.entries) for folder in self._tree.folders())

    async def _gather(self) -> None:
        await self._watches.wait(LOOK_S)
        for _ in range(GATHER_TURNS):
            await asyncio.sleep(GATHER_S)
            if not await self.call(self.looker.read):
                break

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in the thread; on cancellation stop the thread's look and wait for it."""
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


class _Quiet:
    """Ignores the folders with these names at the top."""

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
    """The absolute paths of changes below a folder."""

    def __init__(self, folder: Path, quiet: frozenset[str] = frozenset()) -> None:
        """Changes in the folders named in `quiet`, at the top, are not reported."""
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
        return _Quiet(self._quiet)

    async def changes(self) -> set[str]:
        """The paths of the next changes; empty after two quiet seconds."""
        changes = await self._watch.changes()
        sight = self._watch.sight()
        if sight != self._sight:
            self._sight = sight
            log.warning("folder_partly_blind", path=str(self._folder), **sight)
        return {os.path.join(self._folder, change.path) for change in changes}
