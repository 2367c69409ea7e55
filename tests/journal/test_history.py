"""What a search is taken apart into."""

import pytest

from app.errors import BadRequestError
from app.journal.history import MAX_WORDS, terms_of


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("red green", ("red", "green")),
        ('"red green" blue', ("red green", "blue")),
        ('"red', ('"red',)),
        ("-- red --", ("red",)),
        ("red\0green", ("red", "green")),
        ("app/ws/outlet.py", ("app/ws/outlet.py",)),
        ('outl* "red*"', ("outl*", "red")),
    ],
)
def test_a_search_is_words_and_quoted_phrases(text: str, terms: tuple[str, ...]) -> None:
    assert terms_of(text) == terms


@pytest.mark.parametrize("text", ["", "--", '""', "\0", " ".join(["a"] * (MAX_WORDS + 1))])
def test_a_search_without_a_word_or_with_too_many_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError):
        terms_of(text)
