"""`obstacle`: which part of a value keeps it from being JSON. Only a refused publish asks."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping

from .strict_json import MAX_DEPTH

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # a key that needs no quotes in a path
_MOST_KEY = 64  # characters of a key in a path
_MOST_PARTS = 20_000  # looked at, in some hundredths of a second: a shared part comes many times
_MOST_PATH = 200  # characters of a path: of a longer one, its end


def obstacle(name: str, value: object) -> str | None:
    """The first part of `value` without a form in JSON, such as "data.a[0] is nan".

    None if there is none within the depth that is allowed and the first `_MOST_PARTS` parts, or if
    one of them is of a class whose methods raise.
    """
    try:
        found = _search(value, (), iter(range(_MOST_PARTS)))
    except Exception:  # also `StopIteration`: it looked at enough
        return None
    if found is None:
        return None
    path, why = found
    return f"{name}{path if len(path) <= _MOST_PATH else '…' + path[-_MOST_PATH:]} {why}"


def _search(
    value: object, around: tuple[int, ...], allowed: Iterator[int]
) -> tuple[str, str] | None:
    """The path from `value` to the obstacle, and what it is.

    `around` has the ids of its parents; `allowed` ends when enough was looked at.
    """
    next(allowed)
    if isinstance(value, Mapping) and (isinstance(value, dict) or not around):
        parts: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        why = _why_not(value)
        return ("", why) if why else None
    if id(value) in around:
        return "", "is inside itself"
    if len(around) >= MAX_DEPTH:
        return None
    for key, part in parts:
        if isinstance(value, Mapping) and (why := _why_not(key)):
            return "", f"has a key that {why}"
        step = _step(key) if isinstance(value, Mapping) else f"[{key}]"
        if found := _search(part, (*around, id(value)), allowed):
            return step + found[0], found[1]
    return None


def _step(key: object) -> str:
    text = str(key)
    return f".{text}" if _NAME.fullmatch(text) else f"[{json.dumps(text[:_MOST_KEY])}]"


def _why_not(value: object) -> str:
    """Why a value without parts is not JSON; empty if it is."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {float(value)}"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = ascii(value[error.start])
            return f"has a lone surrogate, {half}, at character {error.start}"
        return ""
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:  # Python's bound on digits
            return "is an integer of too many digits"
        return ""
    return "" if value is None else f"is of type {type(value).__name__}"
