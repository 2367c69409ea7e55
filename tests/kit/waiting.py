"""How a test waits: for a condition, looked at when it may have changed, never for a time to pass.

A deadline here only ends a test that hangs, so it is generous: `WATCHDOG_S`.
"""

import asyncio
import itertools
import selectors
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from watchfiles import watch

WATCHDOG_S = 60.0


class WatchfulSelector(selectors.DefaultSelector):
    """Looks at the conditions that tests wait for whenever the loop has nothing else to do."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited: dict[asyncio.Future[None], Callable[[], object]] = {}
        self.idle_s = 0.0  # how long the loop has waited with nothing to do

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        for future, condition in self.awaited.items():
            if not future.done() and condition():
                future.set_result(None)
                timeout = 0
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        began = time.monotonic()
        ready = super().select(timeout)
        waited_s = time.monotonic() - began
        self.idle_s += waited_s if timeout is None else min(waited_s, max(timeout, 0))
        return ready


class WatchfulLoop(asyncio.SelectorEventLoop):
    """The loop of every test: what runs in it changes only in its turns, so each turn looks again.

    Its clock counts the time that the loop waits with nothing to do, and the CPU time of its thread.
    It stands still while other processes have the processor, so a test that decides by this clock
    decides the same way on a busy machine.
    """

    def __init__(self) -> None:
        self.selector = WatchfulSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.idle_s + time.thread_time()


async def until(condition: Callable[[], object], timeout_s: float = WATCHDOG_S) -> None:
    """Return as soon as the condition holds, which code in the test's own loop must bring about."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WatchfulLoop)
    future: asyncio.Future[None] = loop.create_future()
    loop.selector.awaited[future] = condition
    try:
        async with asyncio.timeout(timeout_s):
            await future
    finally:
        del loop.selector.awaited[future]


async def in_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread that a failed test can leave behind, unlike one of `asyncio.to_thread`."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, daemon=True).start()
    await done


def lines_of_file(path: Path, count: int, timeout_s: float = WATCHDOG_S) -> list[str]:
    """The lines of a file that another process writes, as soon as there are `count`."""
    began = time.monotonic()
    changes = watch(path.parent, step=10, rust_timeout=200, yield_on_timeout=True)
    for _ in itertools.chain([()], changes):  # its first look may come before the watch begins
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        if len(lines) >= count:
            return lines
        assert time.monotonic() - began < timeout_s, f"{path} has {len(lines)} lines"
    raise AssertionError("the watch ended")


async def ticks(interval_s: float) -> AsyncIterator[int]:
    """Count at a steady pace, catching up when late: a load has a rate, and only a timer gives one."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in itertools.count():
        due = asyncio.Event()
        loop.call_at(began + number * interval_s, due.set)
        await due.wait()
        yield number
