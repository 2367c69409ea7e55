"""`Watches`: whoever says where in a folder something may have changed. A hint is never believed
further than that: what has changed is found by looking."""

import asyncio
import sys
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class WatchLimitError(OSError):
    """The system allows no more watches."""


class Hint(NamedTuple):
    """Something may have changed: at a name in a folder, or without a name in the folder itself."""

    watch: int | None  # None: hints were lost, anything may have changed
    name: str = ""
    ended: bool = False  # the watch: its folder is gone


class Watches(Protocol):
    """Watches folders one by one."""

    def add(self, folder: int, path: str) -> int:
        """Watch the folder that is open as `folder`; the number stands in its hints."""

    def remove(self, watch: int) -> None:
        """Watch no more."""

    def read(self) -> Iterator[Hint]:
        """The hints so far."""

    async def wait(self, timeout_s: float) -> None:
        """Until there are hints, or the time is over."""

    def close(self) -> None:
        """End all watches."""


class NoWatches:
    """For a system that gives none: every folder is looked at again from time to time."""

    def add(self, folder: int, path: str) -> int:
        """Refuse."""
        raise WatchLimitError("this system gives no watches")

    def remove(self, watch: int) -> None:
        """There is none."""

    def read(self) -> Iterator[Hint]:
        """There are none."""
        return iter(())

    async def wait(self, timeout_s: float) -> None:
        """Wait for the time to be over."""
        await asyncio.sleep(timeout_s)

    def close(self) -> None:
        """There is nothing to end."""


def open_watches(top: str) -> Watches:
    """The best that this system has."""
    if sys.platform != "linux":
        from .recursive import Recursive

        return Recursive(top)
    from .inotify import Inotify

    try:
        return Inotify()
    except WatchLimitError:
        return NoWatches()
