"""`Flood`: limits repeated log lines, so that a client's errors cannot fill the disk."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

FIRST_LINES = 20  # of one kind that are logged in one window
WINDOW_S = 10.0  # at its end, one line reports how many were left out
MAX_KINDS = 64  # further kinds are counted as one
LOGGER = "sightline.log"
LEFT_OUT = "lines_left_out"

_KIND_KEYS = ("status", "reason", "error_type")  # values set by the gateway, not by a client
Kind = tuple[str, ...]
_OTHERS: Kind = ("other", "lines")
_log = structlog.get_logger(LOGGER)


class _Window:
    def __init__(self, began: float) -> None:
        self.began = began
        self.lines = 0


class Flood(logging.Filter):
    """Passes the first lines of each kind in a window and counts the rest."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._windows: dict[Kind, _Window] = {}  # oldest first

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log this line. Debug lines are never left out."""
        if record.levelno <= logging.DEBUG or record.name == LOGGER:
            return True
        self.report_ended()
        kind = _kind_of(record)
        with self._lock:
            if kind not in self._windows and len(self._windows) >= MAX_KINDS:
                kind = _OTHERS
            window = self._windows.setdefault(kind, _Window(self._monotonic()))
            window.lines += 1
            lines = window.lines
        if lines == FIRST_LINES + 1:
            self._report_later()
        return lines <= FIRST_LINES

    def report_ended(self) -> None:
        """Log the number of lines left out in each window that is over."""
        self._report_began_by(self._monotonic() - WINDOW_S)

    def report_all(self) -> None:
        """Log the number of lines left out in every window."""
        self._report_began_by(self._monotonic())

    def _report_began_by(self, moment: float) -> None:
        with self._lock:
            ended = [kind for kind, window in self._windows.items() if window.began <= moment]
            left_out = {kind: self._windows.pop(kind).lines - FIRST_LINES for kind in ended}
        for kind, count in left_out.items():
            if count > 0:
                _log.warning(LEFT_OUT, of=" ".join(kind), count=count, seconds=WINDOW_S)

    def _report_later(self) -> None:
        with suppress(RuntimeError):  # no loop in this thread: the next line reports it
            asyncio.get_running_loop().call_later(WINDOW_S, self.report_ended)


def _kind_of(record: logging.LogRecord) -> Kind:
    if not isinstance(record.msg, dict):
        return record.name, str(record.msg)[:100]
    values = (record.msg.get(name) for name in ("event", *_KIND_KEYS))
    return record.name, *(str(value) for value in values if value is not None)


def report_left_out() -> None:
    """Log the number of lines that the root's handlers have left out."""
    for handler in logging.getLogger().handlers:
        for filter_ in handler.filters:
            if isinstance(filter_, Flood):
                filter_.report_all()
