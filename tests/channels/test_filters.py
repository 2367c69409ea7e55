"""Patterns: which are well-formed, what they match, and how a filter changes."""

import pytest

from app.channels.filters import MAX_PATTERNS, EventFilter
from app.errors import InvalidPatternError


@pytest.mark.parametrize(
    ("pattern", "type_", "expected"),
    [
        ("*", "a.x", True),
        ("*.*", "a.x", True),
        ("a.*", "a.x", True),
        ("a.*", "ab.x", False),
        ("*.x", "b.x", True),
        ("*.x", "b.xx", False),
        ("a.x", "a.x", True),
        ("a.x", "a.y", False),
        ("a1_b.c_2", "a1_b.c_2", True),
    ],
)
def test_a_pattern_matches_exactly_its_types(pattern: str, type_: str, expected: bool) -> None:
    event_filter = EventFilter([pattern])
    assert [event_filter.matches(type_) for _ in range(2)] == [expected, expected]


@pytest.mark.parametrize(
    "pattern",
    ["", "a", "a.", ".a", "a.b.c", "A.b", "a.b\n", " a.b", "a*.b", "**", "1a.b", "_a.b", "a.é"],
)
def test_a_malformed_pattern_is_refused_and_quoted(pattern: str) -> None:
    with pytest.raises(InvalidPatternError) as caught:
        EventFilter(["a.x", pattern])
    assert repr(pattern) in str(caught.value)


def test_a_pattern_has_at_most_64_characters() -> None:
    EventFilter(["a." + "b" * 62])
    with pytest.raises(InvalidPatternError) as caught:
        EventFilter(["a." + "b" * 100_000])
    assert len(str(caught.value)) < 300


def test_at_most_256_different_patterns_fit_wherever_they_came_from() -> None:
    full = EventFilter(f"a.x{i}" for i in range(MAX_PATTERNS))
    assert full.with_patterns(["a.x0", "a.x1"]).patterns == full.patterns
    with pytest.raises(InvalidPatternError, match="257"):
        full.with_patterns(["b.y"])
    assert len(full.patterns) == MAX_PATTERNS


def test_no_pattern_matches_nothing() -> None:
    nothing = EventFilter(())
    assert not nothing.matches("a.x")
    assert not nothing.matches_all


def test_only_a_full_wildcard_matches_all() -> None:
    assert EventFilter().matches_all
    assert EventFilter(["a.x", "*.*"]).matches_all
    assert not EventFilter(["a.*", "*.x"]).matches_all


def test_patterns_keep_their_order_and_lose_doubles() -> None:
    assert EventFilter(["b.y", "a.x", "b.y"]).patterns == ("b.y", "a.x")


def test_a_filter_never_changes_itself() -> None:
    first = EventFilter(["a.x"])
    assert first.with_patterns(["b.*"]).patterns == ("a.x", "b.*")
    assert first.without_patterns(["a.x"]).patterns == ()
    assert first.patterns == ("a.x",)


def test_patterns_are_taken_out_by_their_text_only() -> None:
    every = EventFilter(["*", "a.x"])
    assert every.without_patterns(["*.*", "b.y"]).patterns == ("*", "a.x")
    assert every.without_patterns(["*"]).patterns == ("a.x",)
    with pytest.raises(InvalidPatternError, match="'bad'"):
        every.without_patterns(["*", "bad"])


def test_filters_with_the_same_patterns_are_one_to_the_bus() -> None:
    one, other = EventFilter(["a.*", "b.y"]), EventFilter(["b.y", "a.*", "b.y"])
    assert (one, hash(one)) == (other, hash(other))
    assert one != EventFilter(["a.*"])
    assert one != "a.*"
