"""The names of `tests.kit.waiting`, where they were before."""

from tests.kit.waiting import (
    WATCHDOG_S as WATCHDOG_S,
    WatchfulLoop as WatchfulLoop,
    in_thread as in_thread,
    lines_of_file as lines_of_file,
    ticks as ticks,
    until as until,
)
