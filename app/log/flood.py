"""`Flood`: each line is logged or counted, so that no client can fill the disk with its mistakes."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

FIRST_LINES = 20  # of one kind go out as they are
WINDOW_S = 10.0  # then one line tells how many more came in this time
MAX_KINDS = 64  # of a window; the others share one
LOGGER = "sightline.log"
LEFT_OUT = "lines_left_out"

_TELLING = ("status", "reason", "error_type")  # values that are the gateway's, not the client's
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
        self._windows: dict[Kind, _Window] = {}  # in the order they began

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line goes out. Debug lines do: who asks for all gets all."""
        if record.levelno <= logging.DEBUG or record.name == LOGGER:
            return True
        self.tell_ended()
        kind = _kind_of(record)
        with self._lock:
            if kind not in self._windows and len(self._windows) >= MAX_KINDS:
                kind = _OTHERS
            window = self._windows.setdefault(kind, _Window(self._monotonic()))
            window.lines += 1
            lines = window.lines
        if lines == FIRST_LINES + 1:
            self._tell_later()
        return lines <= FIRST_LINES

    def tell_ended(self) -> None:
        """Log how many lines each window that is over left out."""
        self._tell_began_until(self._monotonic() - WINDOW_S)

    def tell_all(self) -> None:
        """Log what has been left out so far: nobody will come by later."""
        self._tell_began_until(self._monotonic())

    def _tell_began_until(self, moment: float) -> None:
        with self._lock:
            ended = [kind for kind, window in self._windows.items() if window.began <= moment]
            left_out = {kind: self._windows.pop(kind).lines - FIRST_LINES for kind in ended}
        for kind, count in left_out.items():
            if count > 0:
                _log.warning(LEFT_OUT, of=" ".join(kind), count=count, seconds=WINDOW_S)

    def _tell_later(self) -> None:
        with suppress(RuntimeError):  # in a thread the next line of any kind tells
            asyncio.get_running_loop().call_later(WINDOW_S, self.tell_ended)


def _kind_of(record: logging.LogRecord) -> Kind:
    if not isinstance(record.msg, dict):
        return record.name, str(record.msg)[:100]
    values = (record.msg.get(name) for name in ("event", *_TELLING))
    return record.name, *(str(value) for value in values if value is not None)


def tell_left_out() -> None:
    """Log what any handler of the root has left out so far."""
    for handler in logging.getLogger().handlers:
        for filter_ in handler.filters:
            if isinstance(filter_, Flood):
                filter_.tell_all()
