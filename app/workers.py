"""Refuse to be one of several worker processes: in memory, each would see a part of the events."""

import fcntl
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import SettingsError


@contextmanager
def only_worker(state_dir: Path) -> Iterator[None]:
    """Hold a lock that the siblings of this process share; free it at the end, also on a crash.

    A gateway that no supervisor started has no siblings, so others may run in the same folder
    on other ports.

    Raises:
        SettingsError: a sibling already serves.
    """
    if multiprocessing.parent_process() is None:
        yield
        return
    path = state_dir / f"workers-{os.getppid()}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                "more than one worker process: events live in one process's memory and would be"
                " split among the workers; start exactly one (no --workers, WEB_CONCURRENCY=1)"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
