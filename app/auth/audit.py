"""`Audit`: who used and changed which credential, as log lines and as `system.audit` events."""

from collections.abc import Callable, Mapping

import structlog

from ..events import Clock
from .access import AUDIT

FIRST = 30  # records of one action in one window; the next record after it counts the rest
WINDOW_S = 60.0
_MOST_CHARACTERS = 200
_log = structlog.get_logger("sightline.audit")
Emit = Callable[[str, Mapping[str, object]], None]


class Audit:
    """Writes records. They hold names, paths and addresses, and never a secret.

    Everybody can cause refusals, so each action is limited: `FIRST` records in `WINDOW_S`.
    """

    def __init__(self, clock: Clock | None = None, emit: Emit = lambda type_, data: None) -> None:
        """`emit` publishes an event; it is called only while `publishes` is true."""
        self.publishes = False
        self._clock = clock or Clock()
        self._emit = emit
        self._windows: dict[str, _Window] = {}  # by action, of which there are few

    def record(self, action: str, identity: str = "", **fields: object) -> None:
        """Record that the holder of a named credential did something, or that it happened to it."""
        window = self._windows.setdefault(action, _Window(self._clock.monotonic()))
        now = self._clock.monotonic()
        if now - window.began >= WINDOW_S:
            window.began, window.count = now, 0
        window.count += 1
        if window.count > FIRST:
            window.left_out += 1
            return
        if window.left_out:
            fields["left_out"], window.left_out = window.left_out, 0
        if identity:
            fields = {"identity": identity, **fields}
        shown = {
            name: value[:_MOST_CHARACTERS] if isinstance(value, str) else value
            for name, value in fields.items()
        }
        _log.info("audit", action=action, **shown)
        if self.publishes:
            self._emit(AUDIT, {"action": action, **shown})


class _Window:
    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.left_out = 0  # since the last record
