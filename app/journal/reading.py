"""`Reading`: the threads that answer questions, each with a connection of its own."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from ..errors import UnavailableError
from ..state import require_ours
from .reader import Reader
from .schema import identity

READERS = 2  # threads
MAX_QUESTIONS = 64  # pending at once; further ones are refused
_T = TypeVar("_T")


class Reading:
    """Runs functions of a `Reader` outside the event loop."""

    def __init__(self, path: Path, ours: Callable[[], tuple[int, int]]) -> None:
        """`ours` returns the identity of the file that this gateway writes."""
        self._path = path
        self._ours = ours
        self.pool = ThreadPoolExecutor(READERS, "journal-reader")
        self._own = threading.local()  # each thread's reader and the identity of its file
        self._open: list[Reader] = []
        self._pending = 0

    async def ask(self, read: Callable[[Reader], _T]) -> _T:
        """The result of `read`.

        Raises:
            UnavailableError: the file cannot be read, or too many questions wait.
        """
        if self._pending >= MAX_QUESTIONS:
            raise UnavailableError(f"{MAX_QUESTIONS} questions wait already: ask again in a moment")
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.pool, self._read, read)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"the journal cannot be read: {error}") from error
        finally:
            self._pending -= 1

    def _read(self, read: Callable[[Reader], _T]) -> _T:
        """Run `read` in a reader's thread; reopen its reader if the file was replaced."""
        found = identity(self._path)
        if getattr(self._own, "identity", None) != found:
            if found != self._ours():
                require_ours(self._path)
            if (previous := getattr(self._own, "reader", None)) is not None:
                self._own.reader = self._own.identity = None
                self._open.remove(previous)
                previous.close()
            self._own.reader, self._own.identity = Reader(self._path), found
            self._open.append(self._own.reader)
        return read(cast(Reader, self._own.reader))

    def close(self) -> None:
        """End the threads; a running question takes less than a second."""
        self.pool.shutdown(cancel_futures=True)
        for reader in self._open:
            reader.close()
