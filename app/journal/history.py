"""Questions to the journal, and its answers."""

import re
from typing import Literal

import msgspec

from ..channels.filters import EventFilter
from ..errors import BadRequestError
from ..events import Gap, Position

MAX_WORDS = 32  # terms of one search
_TERM = re.compile(r'"([^"]*)"|(\S+)')
_WORD = re.compile(r"[^\W_]")  # the index needs one of these in a word
Order = Literal["asc", "desc"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a page of the past. Events match every given field; positions are exclusive.

    `since_ms` (inclusive) and `until_ms` (exclusive) are Unix milliseconds.
    """

    limit: int
    order: Order = "asc"
    epoch: str | None = (
        None  # the epoch to begin in, without a position; None is the oldest or newest
    )
    after: Position | None = None
    before: Position | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    event_filter: EventFilter = EventFilter()
    agent: str | None = None
    session: str | None = None
    words: tuple[str, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """Messages of one epoch, in the order asked for; `next` is the newest number read.

    `older` and `newer` are the positions to continue with, as `before` and `after`. `gap` is the
    loss at the start of the page: a page ends before the next hole. `matches` counts the hits of a
    search; it is null if counting takes too long.
    """

    epoch: str
    messages: list[bytes]
    next: int
    gap: Gap | None = None
    older: str | None = None
    newer: str | None = None
    matches: int | None = None


def terms_of(text: str) -> tuple[str, ...]:
    """The words and quoted phrases of a search; a word that ends in `*` is the beginning of one.

    Raises:
        BadRequestError: it has no word, or too many.
    """
    # SQLite's query language ends at a NUL, and no word holds one
    found = (phrase.rstrip("*") or word for phrase, word in _TERM.findall(text.replace("\0", " ")))
    terms = tuple(term for term in found if _WORD.search(term))
    if not terms:
        raise BadRequestError(f"q={text[:80]!r} holds no word: give letters or digits")
    if len(terms) > MAX_WORDS:
        raise BadRequestError(f"q has {len(terms)} words: at most {MAX_WORDS} fit in one search")
    return terms


def position_text(epoch: str, number: int) -> str:
    """A position as one value: `epoch:number`."""
    return f"{epoch}:{number}"
