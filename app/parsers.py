"""How each `SIGHTLINE_*` variable is read: a parser, which raises `ValueError`, and what fits."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from .redaction.kinds import KINDS, choice_of
from .user_parsers import USER_PARSERS
from .webhooks.endpoint import entries_of, secrets_of

MIB = 1024 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]*")
_TYPE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NATS_SCHEMES = ("nats", "tls", "ws", "wss")
_LEVELS = ("debug", "info", "warning", "error", "critical")


def is_session_token(text: str) -> bool:
    """Whether this can be a session token: it fits a header and a subprotocol."""
    return _TOKEN.fullmatch(text) is not None


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError


def _token(text: str) -> str:
    _check(is_session_token(text))
    return text


def _whole(text: str) -> int:
    number = int(text)
    _check(0 < number < 2**63)
    return number


def _journal_bytes(text: str) -> int:
    number = _whole(text)
    _check(number >= MIB)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    _check(math.isfinite(number) and number > 0)
    return number


def _folder(text: str) -> Path:
    _check(bool(text.strip()) and "\0" not in text)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # an unknown home folder
        raise ValueError from None


def _optional_folder(text: str) -> Path | None:
    return _folder(text) if text else None


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _journal(text: str) -> str:
    _check("\0" not in text and text == text.strip())
    return text


def _types(text: str) -> tuple[str, ...]:
    names = _items(text)
    _check(all(_TYPE.fullmatch(name) for name in names))
    return names


def _redact(text: str) -> tuple[str, ...]:
    items = _items(text)
    choice_of(items)
    return items


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(item.lower() for item in _items(text))
    for origin in origins:
        parts = urlsplit(origin)  # raises ValueError for malformed brackets
        _check(bool(parts.scheme and parts.hostname) and parts.port != 0)
        _check(origin == f"{parts.scheme}://{parts.netloc}")
        _check(_HOST.fullmatch(parts.netloc) is not None)
    return origins


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(item.lower() for item in _items(text))
    _check(all(_HOST.fullmatch(host) for host in hosts))
    return hosts


def _namespaces(text: str) -> tuple[str, ...]:
    names = _items(text)
    _check(all(_NAMESPACE.fullmatch(name) for name in names))
    return names


def _nats_url(text: str) -> str | None:
    for url in _items(text):
        parts = urlsplit(url)
        _check(parts.scheme in _NATS_SCHEMES and bool(parts.hostname) and parts.port != 0)
    return ",".join(_items(text)) or None


def _stream_name(text: str) -> str:
    _check(_STREAM.fullmatch(text) is not None)
    return text


def _domain(text: str) -> str | None:
    return _stream_name(text) if text else None


def _replicas(text: str) -> int:
    number = int(text)
    _check(1 <= number <= 5)
    return number


def _tokens(text: str) -> str:
    _check(text in ("file", "nats"))
    return text


def _log_format(text: str) -> str:
    _check(text in ("auto", "json", "console"))
    return text


def _log_level(text: str) -> str:
    _check(text.lower() in _LEVELS)
    return text.lower()


_Parser = tuple[Callable[[str], object], str]
_WHOLE: _Parser = (_whole, "a whole number above 0")
_SECONDS: _Parser = (_seconds, "a number of seconds above 0")

PARSERS: dict[str, _Parser] = {
    "session_token": (_token, "letters, digits or any of !#$%&'*+-.^_`|~"),
    "state_dir": (_folder, "the path of a folder"),
    "tokens": (_tokens, "file or nats"),
    "max_clients": _WHOLE,
    "queue_size": _WHOLE,
    "queue_max_bytes": _WHOLE,
    "replay_limit": _WHOLE,
    "replay_window_s": _SECONDS,
    "replay_max_bytes": _WHOLE,
    "replay_max_events": _WHOLE,
    "heartbeat_interval_s": _SECONDS,
    "pong_timeout_s": _SECONDS,
    "max_message_bytes": _WHOLE,
    "max_event_bytes": _WHOLE,
    "allowed_origins": (_origins, "origins like http://localhost:5173, separated by commas"),
    "allowed_hosts": (_hosts, "hosts like example.org or example.org:3000, separated by commas"),
    **USER_PARSERS,
    "extra_namespaces": (_namespaces, "names like deploy or load_test, separated by commas"),
    "workspace": (_optional_folder, "the path of a folder, or nothing to watch none"),
    "nats_url": (_nats_url, "nats://host:4222, several separated by commas, or nothing for none"),
    "nats_stream": (_stream_name, "up to 64 letters, digits, - or _"),
    "nats_domain": (_domain, "a JetStream domain's name, letters, digits, - or _, or nothing"),
    "nats_replicas": (_replicas, "a whole number from 1 to 5"),
    "nats_max_age_s": _SECONDS,
    "nats_max_bytes": _WHOLE,
    "nats_publish_wait_s": _SECONDS,
    "journal": (_journal, "a file's path, below the state folder if relative, or nothing for none"),
    "journal_max_bytes": (_journal_bytes, "a whole number of bytes from 1048576 (1 MiB)"),
    "journal_max_age_days": (_seconds, "a number of days above 0"),
    "journal_leave_out": (_types, "event types like chat.streaming_chunk, separated by commas"),
    "redact": (
        _redact,
        f"all, some of {', '.join(KINDS)}, and key:NAME for more keys, separated by commas;"
        " nothing redacts nothing",
    ),
    "webhooks": (
        entries_of,
        "up to 16 entries like agent.attention_needed,agent.error=https://example.org/hook, or"
        " slack:agent.*=https://…, separated by spaces",
    ),
    "webhook_secret": (
        secrets_of,
        "whsec_ and 24 to 64 bytes as base64, such as the output of `openssl rand -base64 32`;"
        " several separated by spaces",
    ),
    "log_format": (_log_format, "auto, json or console"),
    "log_level": (_log_level, "one of " + ", ".join(_LEVELS)),
}
