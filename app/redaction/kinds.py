"""What can be redacted, and how the setting `SIGHTLINE_REDACT` names it."""

import re

import msgspec

KINDS = ("token", "private_key", "authorization", "url", "jwt", "env", "key")
ALL = "all"
KEY = "key:"
_NAME = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_.-]{1,64}")


class Choice(msgspec.Struct, frozen=True):
    """Which kinds are redacted, and which keys beside the usual ones."""

    kinds: frozenset[str]
    keys: tuple[str, ...] = ()


def choice_of(items: tuple[str, ...]) -> Choice:
    """Read the items of the setting: `all`, kinds, and `key:NAME` for more keys.

    Raises:
        ValueError: an item is none of these.
    """
    kinds: set[str] = set()
    keys: list[str] = []
    for item in items:
        if item == ALL:
            kinds.update(KINDS)
        elif item in KINDS:
            kinds.add(item)
        elif item.startswith(KEY) and _NAME.fullmatch(item, len(KEY)):
            keys.append(item.removeprefix(KEY))
        else:
            raise ValueError(f"{item[:40]!r} is not a kind")
    return Choice(frozenset(kinds), tuple(keys))
