"""`obstacle`: which part of a value keeps it from being JSON. Only a refused publish asks."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from .strict_json import MAX_DEPTH

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # a key that needs no quotes in a path
_MOST_KEY = 64  # characters of a key in a path
_MOST_PATH = 200  # characters of a path; a longer one is cut at its start


def obstacle(name: str, value: object, redact: Callable[[str], str]) -> str | None:
    """The first part of `value` without a form in JSON, such as "data.a[0] is nan".

    None if no part within the allowed depth is the reason, or if a method of a part raises. `redact`
    replaces secrets in the keys of the path.
    """
    try:
        found = _search(value, (), set())
    except Exception:
        return None
    if found is None:
        return None
    keys, why = found
    path = "".join(f"[{key}]" if isinstance(key, int) else _step(redact(key)) for key in keys)
    return f"{name}{path if len(path) <= _MOST_PATH else '…' + path[-_MOST_PATH:]} {why}"


def _search(
    value: object, around: tuple[int, ...], seen: set[int]
) -> tuple[list[str | int], str] | None:
    """The keys and indices that lead from `value` to the obstacle, and what is wrong there.

    `around` has the ids of the parents of `value`. `seen` has the ids of all parts searched before,
    so that a part in many places is searched once.
    """
    if isinstance(value, Mapping) and (isinstance(value, dict) or not around):
        parts: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        why = _why_not(value)
        return ([], why) if why else None
    if id(value) in around:
        return [], "is inside itself"
    if len(around) >= MAX_DEPTH or id(value) in seen:
        return None
    in_list = not isinstance(value, Mapping)
    for key, part in parts:
        if not in_list and (why := _why_not(key)):
            return [], f"has a key that {why}"
        if found := _search(part, (*around, id(value)), seen):
            # a key of an object as it is in JSON: 1 becomes "1"
            step = key if in_list else next(iter(json.loads(json.dumps({key: None}))))
            return [cast(str | int, step), *found[0]], found[1]
    seen.add(id(value))
    return None


def _step(key: str) -> str:
    return f".{key}" if _NAME.fullmatch(key) else f"[{json.dumps(key[:_MOST_KEY])}]"


def _why_not(value: object) -> str:
    """Why a value without parts is not JSON; empty if it is."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {float.__repr__(value)}"
    if isinstance(value, str):
        try:
            str.encode(value)
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
