"""Publishes Python's log records as `system.error`: `logging.getLogger().addHandler(LogHandler())`."""

import logging

from sightline_client.agent_reports import Emit, Reports
from sightline_client.emitting import THREAD, emit

OWN = "sightline_client"


class LogHandler(logging.Handler):
    """Emits each record; the caller never waits for the gateway.

    What the client itself logs, such as lost events, goes to standard error instead. What its thread
    causes in other libraries is left out: it would cause itself again.
    """

    def __init__(self, level: int | str = logging.ERROR, emit: Emit = emit) -> None:
        super().__init__(level)
        own = logging.getLogger(OWN)
        if logging.lastResort is not None and not own.handlers:
            own.addHandler(logging.lastResort)
        self._reports = Reports("logging", emit)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != OWN and record.threadName != THREAD:
            fields = {"message": record.getMessage(), "code": record.levelname}
            self._reports.send("system.error", None, {**fields, "component": record.name})
