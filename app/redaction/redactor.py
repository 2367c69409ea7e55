"""`Redactor`: replaces the secrets in encoded JSON."""

import json
import re
from collections.abc import Callable, Iterator

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from .kinds import ALL, Choice, choice_of
from .names import LITERALS, Names, Span, is_placeholder, spellings
from .rules import RULES, Rule

MOST_LITERALS = 64  # with more, the search no longer compares 16 bytes at once: five times slower
_Finder = Callable[[bytes, int], Iterator[Span]]
_REST_OF_STRING = re.compile(rb'(?:[^"\\]|\\.)*+"')
EVERYTHING = choice_of((ALL,))


class Redactor:
    """Replaces secrets in JSON by `[redacted:KIND]`; the rest stays as it is, byte by byte.

    A search for the literals of all rules comes first. Most events have none, and end there.
    """

    def __init__(self, choice: Choice = EVERYTHING) -> None:
        finders: dict[bytes, _Finder] = {}
        for rule in RULES:
            if rule.kind in choice.kinds:
                finders |= dict.fromkeys(rule.literals, _finder_of(rule))
        names = Names(choice).find
        if "env" in choice.kinds or "key" in choice.kinds:
            finders |= dict.fromkeys(LITERALS, names)
        for key in choice.keys:
            finders |= {literal + b'":': names for literal in spellings(key)}
        literals = list(finders)
        self._searches = [
            _Search({one: finders[one] for one in literals[first : first + MOST_LITERALS]})
            for first in range(0, len(literals), MOST_LITERALS)
        ]
        self._finds = [one.find for one in self._searches]

    def redact(self, body: bytes) -> bytes:
        """The JSON without secrets; the same object if there are none."""
        for find in self._finds:
            if find(body):
                break
        else:
            return body
        return self._replace(body)

    def redact_text(self, text: str) -> str:
        """A text without secrets, such as a message of an error."""
        body = json.dumps(text).encode()
        redacted = self.redact(body)
        return text if redacted is body else str(json.loads(redacted))

    def _replace(self, body: bytes) -> bytes:
        parts: list[bytes] = []
        done = end_of_string = keys = 0
        candidates = [one for search in self._searches for one in search.candidates(body)]
        for start, find in sorted(candidates, key=lambda one: one[0]):
            if start < done:
                continue
            for span in find(body, start):
                if span.start < done:
                    continue
                parts += (body[done : span.start], b"0")
                if span.kind is not None:
                    if span.end > end_of_string:
                        rest = _REST_OF_STRING.match(body, span.end)
                        end_of_string = rest.end() if rest is not None else len(body)
                    mark = span.kind
                    if body.startswith(b":", end_of_string):  # two keys must not become one
                        keys += 1
                        mark = f"{mark}-{keys}"
                    parts[-1] = f"[redacted:{mark}]".encode()
                done = span.end
        if not parts:
            return body
        return b"".join((*parts, body[done:]))


class _Search:
    """One pass over the bytes for up to `MOST_LITERALS` literals."""

    def __init__(self, finders: dict[bytes, _Finder]) -> None:
        self._finders = list(finders.values())
        automaton = BytesAhoCorasick(
            list(finders),
            matchkind=MatchKind.LeftmostFirst,
            implementation=Implementation.ContiguousNFA,
        )
        self.find = automaton.find_matches_as_indexes

    def candidates(self, body: bytes) -> list[tuple[int, _Finder]]:
        return [(start, self._finders[index]) for index, start, _ in self.find(body)]


def _finder_of(rule: Rule) -> _Finder:
    def find(body: bytes, at: int) -> Iterator[Span]:
        found = rule.pattern.match(body, at)
        if found is not None:
            start, end = found.span(found.lastindex or 0)
            start -= rule.before
            if not is_placeholder(body[start:end]):
                yield Span(start, end, rule.kind)

    return find
