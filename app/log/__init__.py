"""Logging: one format for structlog and the standard library, with secrets redacted."""

import logging
import logging.config
import os
import re
import sys
from collections.abc import Mapping, MutableMapping

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from ..redaction import Redactor
from ..settings import Settings
from .flood import Flood

REDACTED = "[redacted]"
SECRET_KEYS = frozenset(
    {
        *("token", "session-token", "x-session-token", "authorization", "ticket"),
        *("cookie", "set-cookie", "browser-key", "x-browser-key"),
    }
)

# C0, C1, line separators and the marks that reorder text on a screen.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_REQUEST_QUERY = re.compile(r'("(?:WebSocket|[A-Z]+) [^\s"?]*\?)[^\s"]*')
_KEY_IN_QUERY = re.compile(r"(browser_key=)[^&\s]*")
_redact = Redactor().redact_text  # the log has no use for secrets, whatever the settings say
_FALSE_ALARM = "ASGI callable returned without completing handshake."
_HEADER_LINES = ("< %s: %s", "> %s: %s")  # websockets' debug log of all headers, with the token


def configure(settings: Settings) -> None:
    """Set up structlog and the standard library's logging. Can be called again."""
    logging.config.dictConfig(uvicorn_log_config(settings))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(_as_console(settings)),
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def join() -> None:
    """Log through the host application's structlog, or else through the standard library."""
    logging.getLogger("uvicorn.error").addFilter(_without_noise)
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(_without_keys)
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                make_safe,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=False,
        )


def _without_noise(record: logging.LogRecord) -> bool:
    """Drop uvicorn's one false error and the dumps of headers."""
    return record.msg != _FALSE_ALARM and record.msg not in _HEADER_LINES


def _without_keys(record: logging.LogRecord) -> bool:
    """Remove browser keys from the URLs in the host application's access log."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            _KEY_IN_QUERY.sub(r"\1[…]", item) if isinstance(item, str) else item
            for item in record.args
        )
    return True


def uvicorn_log_config(settings: Settings) -> dict[str, object]:
    """The `dictConfig` of all loggers; uvicorn's loggers use the handler of the root."""
    as_console = _as_console(settings)
    level = settings.log_level.upper()
    passed_on: dict[str, object] = {"handlers": [], "level": level, "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"flood": {"()": Flood}, "uvicorn": {"()": UvicornFilter}},
        "formatters": {
            "default": {
                "()": ProcessorFormatter,
                "foreign_pre_chain": _shared_processors(as_console),
                "processors": [
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    make_safe,
                    _renderer(as_console),
                ],
            }
        },
        "handlers": {
            "default": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "default",
                "filters": ["flood", "uvicorn"],
            }
        },
        "root": {"handlers": ["default"], "level": level},
        "loggers": {
            "uvicorn": passed_on,
            "uvicorn.error": passed_on,
            "uvicorn.access": passed_on,
        },
    }


class UvicornFilter(logging.Filter):
    """Removes query strings from uvicorn's lines; drops its false error and dumps of headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != "uvicorn" or not isinstance(record.msg, str):
            return True
        if not _without_noise(record):
            return False
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_query, record.args))
        record.msg = _REQUEST_QUERY.sub(r"\1[…]", record.getMessage())
        record.args = ()
        return True


def make_safe(
    _logger: object, _method: str, event_dict: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Redact secrets, and escape characters that could forge a line or control a terminal."""
    return {
        _escape(key): _safe_traceback(value) if key in ("exception", "stack") else _safe(key, value)
        for key, value in event_dict.items()
    }


def _as_console(settings: Settings) -> bool:
    return settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )


def _shared_processors(as_console: bool) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        _name_uvicorn,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        # A terminal gets local time without a date.
        structlog.processors.TimeStamper("%H:%M:%S" if as_console else "iso", utc=not as_console),
    ]


def _name_uvicorn(
    _logger: object, _method: str, event_dict: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """uvicorn logs ordinary messages as `uvicorn.error` too."""
    if event_dict.get("logger") == "uvicorn.error":
        event_dict["logger"] = "uvicorn"
    return event_dict


def _renderer(as_console: bool) -> Processor:
    if as_console:
        return structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
        )
    return structlog.processors.JSONRenderer()


def _without_query(argument: object) -> object:
    if isinstance(argument, str) and "?" in argument:
        return argument.partition("?")[0] + "?[…]"
    return argument


def _is_secret(key: object) -> bool:
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    return isinstance(key, str) and key.lower().replace("_", "-") in SECRET_KEYS


def _escape(text: str) -> str:
    text = _redact(text)
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def _safe(key: object, value: object) -> object:
    if _is_secret(key):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, Mapping):
        return {_escape(str(name)): _safe(name, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) == 2 and _is_secret(value[0]):  # a header as a pair
            return [_safe(None, value[0]), REDACTED]
        return [_safe(None, item) for item in value]
    return _escape(repr(value))


def _safe_traceback(value: object) -> object:
    """Indent each line, so that none looks like a log line."""
    if not isinstance(value, str):
        return _safe(None, value)
    return "\n".join("    " + _escape(line) for line in _redact(value).split("\n"))
