"""`EventFilter`: the patterns of one subscriber, parsed once."""

import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from ..errors import InvalidPatternError

MAX_PATTERNS = 256
MAX_TYPE_LENGTH = 64
_TOKEN = r"(?:\*|[a-z][a-z0-9_]*)"
PATTERN = re.compile(rf"\*|{_TOKEN}\.{_TOKEN}")
_SCHEMA: dict[str, object] = {"pattern": f"^(?:{PATTERN.pattern})$", "maxLength": MAX_TYPE_LENGTH}
Pattern = Annotated[str, Meta(extra_json_schema=_SCHEMA)]  # described here, checked by EventFilter


def _checked(pattern: str) -> str:
    if len(pattern) > MAX_TYPE_LENGTH or not PATTERN.fullmatch(pattern):
        raise InvalidPatternError(
            f"pattern {pattern[:80]!r} is malformed: use '*', 'namespace.*', '*.name' or"
            " 'namespace.name', lower-case letters, digits and underscores"
        )
    return pattern


class EventFilter:
    """An immutable set of patterns, in order. Without patterns it matches nothing."""

    __slots__ = ("_all", "_exact", "patterns")

    def __init__(self, patterns: Iterable[str] = ("*",)) -> None:
        """Parse `patterns`.

        Raises:
            InvalidPatternError: a pattern is malformed (the message quotes it), or over 256.
        """
        self.patterns = tuple(dict.fromkeys(_checked(pattern) for pattern in patterns))
        if len(self.patterns) > MAX_PATTERNS:
            raise InvalidPatternError(
                f"{len(self.patterns)} patterns in one filter: at most {MAX_PATTERNS} fit;"
                " use wildcards such as 'workflow.*'"
            )
        self._all = "*" in self.patterns or "*.*" in self.patterns
        self._exact = frozenset(self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventFilter) and self._exact == other._exact

    def __hash__(self) -> int:
        return hash(self._exact)

    def matches(self, type_: str) -> bool:
        """Whether an event of this type passes."""
        if self._all:
            return True
        namespace, _, name = type_.partition(".")
        return not self._exact.isdisjoint((type_, f"{namespace}.*", f"*.{name}"))

    @property
    def matches_all(self) -> bool:
        """Whether nothing is filtered out."""
        return self._all

    def with_patterns(self, added: Iterable[str]) -> "EventFilter":
        """Return this filter plus `added`; raises as the constructor does."""
        return EventFilter((*self.patterns, *added))

    def without_patterns(self, removed: Iterable[str]) -> "EventFilter":
        """Return this filter without exactly these patterns, compared as text."""
        unwanted = frozenset(_checked(pattern) for pattern in removed)
        return EventFilter(pattern for pattern in self.patterns if pattern not in unwanted)
