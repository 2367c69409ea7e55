"""`Redactor`: replaces the secrets in encoded JSON."""

import json
import re
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import NamedTuple, TypeVar

import msgspec
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from .kinds import ALL, Choice, choice_of
from .names import LITERALS, NAMED, Names, Span, is_placeholder, spellings
from .rules import RULES, Rule

# Of one search. With over 64, it no longer compares many bytes at once, and takes five times as
# long; two searches for 32 to 44 are faster than one for 64.
MOST_LITERALS = 44
T = TypeVar("T")
EVERYTHING = choice_of((ALL,))
_REST_OF_STRING = re.compile(rb'(?:[^"\\]|\\.)*+"')


class _Finder(NamedTuple):
    """What to do where a literal was found: most literals end at `match`."""

    match: Callable[[bytes, int], re.Match[bytes] | None]
    spans: Callable[[bytes, re.Match[bytes]], Iterable[Span]]


class Redactor:
    """Replaces secrets in JSON by `[redacted:KIND]`; the rest stays as it is, byte by byte.

    A search for the literals of all rules comes first. Most events have none, and end there.
    """

    def __init__(self, choice: Choice = EVERYTHING) -> None:
        finders: dict[bytes, _Finder] = {}
        for rule in RULES:
            if rule.kind in choice.kinds:
                finder = _Finder(rule.pattern.match, _spans_of(rule))
                finders |= dict.fromkeys(rule.literals, finder)
        named = _Finder(NAMED.match, Names(choice).find)
        if "env" in choice.kinds or "key" in choice.kinds:
            finders |= dict.fromkeys(LITERALS, named)
        for key in choice.keys:
            finders |= {literal + b'":': named for literal in spellings(key)}
        self._searches: list[Callable[[bytes], list[tuple[int, int, int]]]] = []
        self._finders: list[list[_Finder]] = []
        literals = sorted(finders, key=len)  # the shortest of a search decides how fast it skips
        for first in range(0, len(literals), MOST_LITERALS):
            some = literals[first : first + MOST_LITERALS]
            automaton = BytesAhoCorasick(
                some,
                matchkind=MatchKind.LeftmostLongest,
                implementation=Implementation.ContiguousNFA,
            )
            self._searches.append(automaton.find_matches_as_indexes)
            self._finders.append([finders[one] for one in some])

    def has_candidates(self, body: bytes) -> bool:
        """Whether the JSON has anything that a secret begins with."""
        for search in self._searches:  # noqa: SIM110 (`any` would cost as much as a search)
            if search(body):
                return True
        return False

    def redact(self, body: bytes) -> bytes:
        """The JSON without secrets; the same object if there are none."""
        return self._replace(body) if self.has_candidates(body) else body

    def redact_value(self, value: T) -> T:
        """A JSON value, or a tuple of such, without secrets; the same object if there are none."""
        try:
            body = msgspec.json.encode(value)
        except UnicodeError:  # lone surrogates
            body = json.dumps(value, separators=(",", ":")).encode()
        redacted = self.redact(body)
        return value if redacted is body else msgspec.convert(json.loads(redacted), type(value))

    def redact_text(self, text: str) -> str:
        """A text without secrets, such as a message of an error."""
        body = json.dumps(text).encode()
        redacted = self.redact(body)
        return text if redacted is body else str(json.loads(redacted))

    def _candidates(self, body: bytes) -> list[tuple[int, _Finder]]:
        """Where literals are, in order."""
        found = [
            (start, finders[index])
            for search, finders in zip(self._searches, self._finders, strict=True)
            for index, start, _ in search(body)
        ]
        found.sort(key=itemgetter(0))
        return found

    def _replace(self, body: bytes) -> bytes:
        parts: list[bytes] = []
        done = end_of_string = keys = 0
        for start, (match, spans) in self._candidates(body):
            if start < done or (found := match(body, start)) is None:
                continue
            for span in spans(body, found):
                if span.start < done:
                    continue
                mark = b"0"
                if span.kind is not None:
                    if span.end > end_of_string:
                        rest = _REST_OF_STRING.match(body, span.end)
                        end_of_string = rest.end() if rest is not None else len(body)
                    if body.startswith(b":", end_of_string):  # two keys must not become one
                        keys += 1
                        mark = b"[redacted:%b-%d]" % (span.kind.encode(), keys)
                    else:
                        mark = b"[redacted:%b]" % span.kind.encode()
                parts += (body[done : span.start], mark)
                done = span.end
        return b"".join((*parts, body[done:])) if parts else body


def _spans_of(rule: Rule) -> Callable[[bytes, re.Match[bytes]], Iterable[Span]]:
    def spans(body: bytes, found: re.Match[bytes]) -> Iterable[Span]:
        start, end = found.span(found.lastindex or 0)
        start -= rule.before
        return () if is_placeholder(body[start:end]) else (Span(start, end, rule.kind),)

    return spans
