"""`Recursive`: hints from `watchfiles`, for systems without inotify."""

import asyncio
import os
import threading
from collections.abc import Iterator

from watchfiles._rust_notify import RustNotify

from .hints import Hint

GATHER_MS, STEP_MS = 50, 25


class Recursive:
    """One recursive watch on the top folder; `add` only registers paths."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._stop = threading.Event()
        self._numbers: dict[str, int] = {}  # by path below the top
        self._hints: list[Hint] = []
        self._count = 0
        self._notify: RustNotify | None = None

    def add(self, folder: int, path: str) -> int:
        """Register the path; for the top folder, which may be a new one, restart the watch."""
        if path == self._top or self._notify is None:
            self._begin()
        self._count += 1
        self._numbers[os.path.relpath(path, self._top)] = self._count
        return self._count

    def remove(self, watch: int) -> None:
        """Do nothing: the caller ignores hints with an unknown number."""

    def read(self) -> Iterator[Hint]:
        """The hints that the last `wait` received."""
        hints, self._hints = self._hints, []
        return iter(hints)

    async def wait(self, timeout_s: float) -> None:
        """Wait for hints, at most `timeout_s`. After an error the watch is restarted."""
        if self._notify is None:
            await asyncio.sleep(timeout_s)
            return
        arguments = (GATHER_MS, STEP_MS, int(timeout_s * 1000), self._stop)
        try:
            found = await asyncio.to_thread(self._notify.watch, *arguments)
        except Exception:  # it has no class of its own; one cause is a name that is not UTF-8
            await asyncio.to_thread(self._begin)
            self._hints.append(Hint(None))
            return
        for _, path in found if isinstance(found, set) else ():
            self._hints += self._hint(path)

    def close(self) -> None:
        """End the watch."""
        self._stop.set()
        if self._notify is not None:
            self._notify.close()

    def _hint(self, path: str) -> Iterator[Hint]:
        parent, name = os.path.split(os.path.relpath(path, self._real))
        number = self._numbers.get(parent or os.curdir)
        if number is not None:
            yield Hint(number, name)

    def _begin(self) -> None:
        if self._notify is not None:
            self._notify.close()
        self._real = os.path.realpath(self._top)
        self._notify = RustNotify([self._real], False, False, 300, True, True)
