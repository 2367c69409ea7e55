"""`Inotify`: hints from the Linux kernel about single folders."""

import asyncio
import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from inotify_simple import INotify, flags, parse_events  # type: ignore[import-untyped]

from .hints import Hint, WatchLimitError

MASK = (
    flags.CREATE
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.MODIFY
    | flags.CLOSE_WRITE
    | flags.ATTRIB
    | flags.ONLYDIR
    | flags.EXCL_UNLINK
)
READ_BYTES = 64 * 1024
LIMITS = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Inotify:
    """Watches single folders by inode, without their subfolders."""

    def __init__(self) -> None:
        """Raise `WatchLimitError` if this user has reached the limit of instances."""
        try:
            self._kernel = INotify(nonblocking=True)
        except OSError as error:
            raise WatchLimitError(error.errno, os.strerror(error.errno or 0)) from error

    def add(self, folder: int, path: str) -> int:
        """Watch the folder that is open as `folder`; the same folder gets the same number.

        Raises:
            WatchLimitError: this user has reached the limit of watches.
            OSError: the folder cannot be watched.
        """
        try:
            try:  # the open folder, even if its path was replaced meanwhile
                return int(self._kernel.add_watch(f"/proc/self/fd/{folder}", MASK))
            except FileNotFoundError:  # no /proc
                return int(self._kernel.add_watch(path, MASK | flags.DONT_FOLLOW))
        except OSError as error:
            if error.errno in LIMITS:
                raise WatchLimitError(error.errno, error.strerror) from error
            raise

    def remove(self, watch: int) -> None:
        """End a watch, which may have ended already."""
        with suppress(OSError):
            self._kernel.rm_watch(watch)

    def read(self) -> Iterator[Hint]:
        """The pending hints, without waiting."""
        while True:
            try:
                data = os.read(self._kernel.fileno(), READ_BYTES)
            except BlockingIOError:
                return
            for event in parse_events(data):
                if event.mask & flags.Q_OVERFLOW:
                    yield Hint(None)
                else:
                    yield Hint(event.wd, event.name, bool(event.mask & flags.IGNORED))

    async def wait(self, timeout_s: float) -> None:
        """Wait for hints, at most `timeout_s`."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._kernel.fileno(), readable.set)
        try:
            async with asyncio.timeout(timeout_s):
                await readable.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._kernel.fileno())

    def close(self) -> None:
        """End all watches."""
        self._kernel.close()
