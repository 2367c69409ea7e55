"""`EventFilter`: the patterns of one subscriber, parsed once."""

import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple

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


class Bound(NamedTuple):
    """What the filters of one reader stay within: its patterns, without the `hidden` types."""

    patterns: tuple[str, ...]
    hidden: frozenset[str] = frozenset()


def common(one: str, other: str) -> str | None:
    """The pattern of the types that match both patterns; None if there are none."""
    if other in ("*", "*.*"):
        return one
    if one in ("*", "*.*"):
        return other
    tokens = []
    for left, right in zip(one.split("."), other.split("."), strict=True):
        if left != right and "*" not in (left, right):
            return None
        tokens.append(right if left == "*" else left)
    return ".".join(tokens)


class EventFilter:
    """An immutable set of patterns, in order. Without patterns it matches nothing.

    With a `bound`, the patterns are those in common with the bound. Every filter made from this one
    has the same bound, so a client cannot subscribe to more than its token may read.
    """

    __slots__ = ("_all", "_bound", "_exact", "_hidden", "patterns")

    def __init__(self, patterns: Iterable[str] = ("*",), bound: Bound | None = None) -> None:
        """Parse `patterns`.

        Raises:
            InvalidPatternError: a pattern is malformed (the message quotes it), or over 256.
        """
        self._bound = bound
        self._hidden: frozenset[str] = frozenset() if bound is None else bound.hidden
        self.patterns = self._within(dict.fromkeys(_checked(pattern) for pattern in patterns))
        if len(self.patterns) > MAX_PATTERNS:
            raise InvalidPatternError(
                f"{len(self.patterns)} patterns in one filter: at most {MAX_PATTERNS} fit;"
                " use wildcards such as 'workflow.*'"
            )
        self._all = "*" in self.patterns or "*.*" in self.patterns
        self._exact = frozenset(self.patterns)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, EventFilter)
            and self._exact == other._exact
            and self._bound == other._bound
        )

    def __hash__(self) -> int:
        return hash((self._exact, self._bound))

    def matches(self, type_: str) -> bool:
        """Whether an event of this type passes."""
        if type_ in self._hidden:
            return False
        if self._all:
            return True
        namespace, _, name = type_.partition(".")
        return not self._exact.isdisjoint((type_, f"{namespace}.*", f"*.{name}"))

    @property
    def matches_all(self) -> bool:
        """Whether nothing is filtered out."""
        return self._all and not self._hidden

    def within(self, bound: Bound | None) -> "EventFilter":
        """Return what this filter has in common with `bound`; raises as the constructor does."""
        return self if bound is None else EventFilter(self.patterns, bound)

    def with_patterns(self, added: Iterable[str]) -> "EventFilter":
        """Return this filter plus `added`; raises as the constructor does."""
        return EventFilter((*self.patterns, *added), self._bound)

    def without_patterns(self, removed: Iterable[str]) -> "EventFilter":
        """Return this filter without exactly these patterns, compared as text.

        A pattern that the filter has only in part, because of its bound, is removed as that part.
        """
        unwanted = set[str]()
        for pattern in map(_checked, removed):
            unwanted.update([pattern] if pattern in self._exact else self._within([pattern]))
        return EventFilter((one for one in self.patterns if one not in unwanted), self._bound)

    def _within(self, patterns: Iterable[str]) -> tuple[str, ...]:
        if self._bound is None:
            return tuple(patterns)
        found = dict[str, None]()
        for pattern in patterns:
            shared = [common(pattern, limit) for limit in self._bound.patterns]
            found |= dict.fromkeys([pattern] if pattern in shared else filter(None, shared))
        return tuple(found)


ALL = EventFilter()  # shared: most clients name no pattern
