"""Reads the times that people and programs write."""

import re
from datetime import UTC, datetime

from ..errors import BadRequestError

_AGE = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIX_MS = re.compile(r"[0-9]{9,16}")


def to_unix_ms(text: str, now: float) -> int:
    """Unix milliseconds of ISO 8601 (UTC by default), Unix milliseconds, or an age such as `2h`.

    Raises:
        BadRequestError: `text` has none of these forms.
    """
    if _UNIX_MS.fullmatch(text):
        return int(text)
    if (age := _AGE.fullmatch(text)) is not None:
        return int((now - int(age[1]) * _SECONDS[age[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadRequestError(
            f"{text[:80]!r} is not a time: give ISO 8601, such as 2026-11-22T18:02:00Z, Unix"
            " milliseconds, or an age such as 2h or 7d"
        ) from None
