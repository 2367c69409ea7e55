"""`FolderWatch`: what changed in a folder, from a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

# Not the public `watch()`: that generator begins to watch only with its first step, which also
# waits for a change, and an error ends it. So nobody could tell when looking around is safe, and
# what happens between an error and the next step would go unseen.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError as WatchError

__all__ = ("FolderWatch", "WatchError")

P = ParamSpec("P")
T = TypeVar("T")

GATHER_MS = 200  # changes this close together come in one set
STEP_MS = 50
QUIET_MS = 5000


class FolderWatch:
    """Watches a folder from one thread of its own; leaving or cancelling ends the thread."""

    def __init__(self, folder: Path) -> None:
        self.stop = threading.Event()
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, "folder-watch")
        self._notify: RustNotify | None = None

    async def __aenter__(self) -> "FolderWatch":
        try:
            await self.call(self.reopen)
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

    def _close(self) -> None:
        self.stop.set()
        if self._notify is not None:
            self._notify.close()
        self._pool.shutdown()

    def reopen(self) -> None:
        """Start watching, or start again after the watcher reported an error (blocking)."""
        if self._notify is not None:
            self._notify.close()
        self._notify = RustNotify(
            [str(self._folder)],
            debug=False,
            force_polling=False,
            poll_delay_ms=300,
            recursive=True,
            ignore_permission_denied=True,
        )

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the thread; on cancellation ask it to stop and wait until it has."""
        future = asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self.stop.set()
            await asyncio.wait({future})
            raise

    async def changes(self) -> set[tuple[int, str]] | None:
        """The next changes, empty after five quiet seconds, None when changes may be missing."""
        if self._notify is None:
            return set()
        try:
            found = await self.call(self._notify.watch, GATHER_MS, STEP_MS, QUIET_MS, self.stop)
        except WatchError:  # for one, a name that is not UTF-8
            await self.call(self.reopen)
            return None
        return set() if isinstance(found, str) else found
