"""A sampling profiler: where a process spends its CPU time, without slowing what it measures."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.001
ROOT = Path(__file__).parent.parent


@contextmanager
def sampled(wanted: bool) -> Iterator[dict[str, int]]:
    """Count which function is on top at each millisecond of CPU time.

    The interpreter looks for signals between calls, so the time of a C function, a `send` above
    all, counts for the Python function that called it.
    """
    samples: Counter[str] = Counter()

    def sample(_signal: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            samples[f"{_place(code.co_filename)} {code.co_qualname}"] += 1

    if not wanted:
        yield samples
        return
    previous = signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _place(filename: str) -> str:
    """The file's name as one reads it: `app/channels/bus.py`, `asyncio/selector_events.py`."""
    path = Path(filename)
    if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
        return path.relative_to(ROOT).as_posix()
    return "/".join(path.parts[-2:])
