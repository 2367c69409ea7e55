"""`Watches`: gives hints where something may have changed; only a look shows what has changed."""

import asyncio
import sys
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class WatchLimitError(OSError):
    """The system does not allow another watch."""


class Hint(NamedTuple):
    """A place where something may have changed: a name in a folder, or the folder itself."""

    watch: int | None  # None: hints were lost, so anything may have changed
    name: str = ""
    ended: bool = False  # the watch ended, because its folder was removed


class Watches(Protocol):
    """Watches single folders."""

    def add(self, folder: int, path: str) -> int:
        """Watch the folder that is open as `folder`; return the number that its hints have."""

    def remove(self, watch: int) -> None:
        """End one watch."""

    def read(self) -> Iterator[Hint]:
        """The pending hints, without waiting."""

    async def wait(self, timeout_s: float) -> None:
        """Wait for hints, at most `timeout_s`."""

    def close(self) -> None:
        """End all watches."""


class NoWatches:
    """For a system without watches: every folder is looked at again from time to time."""

    def add(self, folder: int, path: str) -> int:
        """Raise `WatchLimitError`."""
        raise WatchLimitError("this system has no watches")

    def remove(self, watch: int) -> None:
        """Do nothing."""

    def read(self) -> Iterator[Hint]:
        """No hints."""
        return iter(())

    async def wait(self, timeout_s: float) -> None:
        """Wait until the time is over."""
        await asyncio.sleep(timeout_s)

    def close(self) -> None:
        """Do nothing."""


def open_watches(top: str) -> Watches:
    """The best kind of watches that this system offers."""
    if sys.platform != "linux":
        from .recursive import Recursive

        return Recursive(top)
    from .inotify import Inotify

    try:
        return Inotify()
    except WatchLimitError:
        return NoWatches()
