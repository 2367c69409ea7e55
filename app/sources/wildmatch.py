"""`Patterns`: the patterns of one ignore file, matched as by git, without backtracking.

Git matches bytes. A star and the text after it match at the first possible place only: the rest
begins with a star again, so no later place could match more. So the time is bounded by the length of
the pattern times the length of the path.
"""

import re
import string
from collections.abc import Iterable, Iterator

MOST_GLOB_BYTES = 64 * 1024  # of all patterns with wildcards in one file
MOST_PATTERN_BYTES = 1024  # of one pattern with wildcards: a match cannot be interrupted

_SPECIAL = b"*?[\\"
_NEVER = b"(?!)"
_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, range(32))) + "\x7f",
    "digit": string.digits,
    "graph": string.ascii_letters + string.digits + string.punctuation,
    "lower": string.ascii_lowercase,
    "print": string.ascii_letters + string.digits + string.punctuation + " ",
    "punct": string.punctuation,
    "space": " \t\n\r\v\f",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


class Glob:
    """One pattern with wildcards."""

    __slots__ = ("by_name", "folders_only", "include", "matches", "number")

    def __init__(self, number: int, text: bytes, flags: tuple[bool, bool, bool], fold: bool):
        self.number = number  # of its line: the last matching line wins
        self.include, self.by_name, self.folders_only = flags
        self.matches = compile_glob(text, not self.by_name, fold).match


class Patterns:
    """The patterns of one file; `left_out` counts the lines that exceed the bounds."""

    def __init__(self, text: bytes = b"", fold: bool = False) -> None:
        """`fold` is git's `core.ignoreCase`."""
        self.left_out = 0
        self._fold = fold
        self._names: dict[tuple[bytes, bool], tuple[int, bool]] = {}
        self._paths: dict[tuple[bytes, bool], tuple[int, bool]] = {}
        self._globs: list[Glob] = []
        room = MOST_GLOB_BYTES
        for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n")):
            room -= self._add(number, line.removesuffix(b"\r"), room)
        self._globs.reverse()

    def __bool__(self) -> bool:
        return bool(self._names or self._paths or self._globs)

    def _add(self, number: int, line: bytes, room: int) -> int:
        """Add a line; return its number of bytes with wildcards."""
        if line.startswith(b"#"):
            return 0
        line = _without_trailing_spaces(line.partition(b"\0")[0])
        negated = line.startswith(b"!")
        text = line[negated:]
        folders_only = text.endswith(b"/")
        text = text[: len(text) - folders_only]
        by_name = b"/" not in text
        text = text.removeprefix(b"/")
        if not any(letter in _SPECIAL for letter in text):
            known = self._names if by_name else self._paths
            for is_folder in (True,) if folders_only else (True, False):
                known[self._folded(text), is_folder] = (number, not negated)
            return 0
        if len(text) > min(room, MOST_PATTERN_BYTES):
            self.left_out += 1
            return 0
        flags = (not negated, by_name, folders_only)
        self._globs.append(Glob(number, text, flags, self._fold))
        return len(text)

    def _folded(self, text: bytes) -> bytes:
        return text.lower() if self._fold else text

    def verdict(self, path: bytes, name: bytes, is_folder: bool) -> bool | None:
        """Whether the last matching line ignores the path; None if no line matches.

        `path` is relative to the folder of the file, `name` is its last part.
        """
        path, name = self._folded(path), self._folded(name)
        by_name = self._names.get((name, is_folder), (-1, False))
        by_path = self._paths.get((path, is_folder), (-1, False))
        number, verdict = max(by_name, by_path)
        for glob in self._globs:
            if glob.number < number:
                break
            if (is_folder or not glob.folders_only) and glob.matches(
                name if glob.by_name else path
            ):
                return glob.include
        return verdict if number >= 0 else None


def _without_trailing_spaces(line: bytes) -> bytes:
    """The line without trailing spaces, except one after a backslash."""
    at, end = 0, 0
    while at < len(line):
        letter = line[at : at + 1]
        at += 2 if letter == b"\\" else 1
        if letter != b" ":
            end = at
    return line[:end]


def compile_glob(text: bytes, is_path: bool, fold: bool = False) -> re.Pattern[bytes]:
    """Compile a glob. In a glob for paths, only `**` matches a slash.

    With `fold`, it matches paths in lower case.

    Each star with the text up to the next star is an atomic group, and so is each `**` with the text
    up to the next `**`.
    """
    # Git compares the text before the first wildcard separately, so a `**` right after it counts
    # as one at the beginning.
    wildcards = (at for at, letter in enumerate(text) if letter in _SPECIAL)
    prefix = next(wildcards, len(text)) if is_path else 0
    regex = re.escape(text[:prefix].lower() if fold else text[:prefix])
    in_star = in_double = False
    for token in _tokens(text[prefix:], is_path, fold):
        if token == b"*":
            regex += b")" * in_star + (b"(?>[^/]*?" if is_path else b"(?>.*?")
            in_star = True
        elif token in (b"**", b"**/"):
            regex += b")" * (in_star + in_double)
            regex += b"(?>(?:[^/]*/)*?" if token == b"**/" else b"(?>.*?"
            in_star, in_double = False, True
        else:
            regex += token
    regex += rb"\Z" + b")" * (in_star + in_double)
    return re.compile(regex, re.DOTALL)


def _tokens(text: bytes, is_path: bool, fold: bool) -> Iterator[bytes]:
    """Regular expressions for single characters; `*`, `**` and `**/` are returned unchanged."""
    at = 0
    while at < len(text):
        letter = text[at : at + 1]
        if letter == b"*":
            start = at
            while text[at : at + 1] == b"*":
                at += 1
            rest = text[at:]
            bounded = text[start - 1 : start] in (b"", b"/") and (
                rest[:1] in (b"", b"/") or rest[:2] == b"\\/"
            )
            if not is_path or at - start == 1 or not bounded:
                yield b"*"
            elif rest[:1] == b"/":
                yield b"**/"
                at += 1
            else:
                yield b"**"
        elif letter == b"?":
            yield b"[^/]" if is_path else b"."
            at += 1
        elif letter == b"[":
            found = _bracket(text, at + 1, fold)
            if found is None:  # malformed: it matches nothing
                yield _NEVER
                return
            letters, at = found
            yield _one_of(letters - {ord("/")} if is_path else letters)
        elif letter == b"\\":
            yield re.escape(text[at + 1 : at + 2]) or _NEVER  # git does not fold an escaped letter
            at += 2
        else:
            yield re.escape(letter.lower() if fold else letter)
            at += 1


def _one_of(letters: set[int]) -> bytes:
    return b"[%s]" % b"".join(b"\\x%02x" % letter for letter in letters) if letters else _NEVER


def _with_lower(letters: Iterable[int], fold: bool) -> set[int]:
    found = set(letters)
    return found | set(bytes(found).lower()) if fold else found


def _bracket(text: bytes, at: int, fold: bool) -> tuple[set[int], int] | None:
    """The bytes that the `[…]` with content at `at` matches, and its end; None if malformed."""
    negated = text[at : at + 1] in (b"!", b"^") and bool(text[at : at + 1])
    at += negated
    letters: set[int] = set()
    before = None  # the possible start of a range
    first = True
    while first or text[at : at + 1] != b"]":
        first = False
        if at >= len(text):
            return None
        letter: int | None = text[at]
        if letter == ord("\\"):
            at += 1
            if at >= len(text):
                return None
            letter = text[at]
            letters.add(text[at])
        elif letter == ord("-") and before is not None and text[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            at += text[at : at + 1] == b"\\"
            if at >= len(text):
                return None
            letters.update(_with_lower(range(before, text[at] + 1), fold))
            letter = None
        elif text[at : at + 2] == b"[:":
            end = text.find(b"]", at + 2)
            if end < 0:
                return None
            if end - 1 > at + 1 and text[end - 1 : end] == b":":
                named = _CLASSES.get(text[at + 2 : end - 1].decode("latin-1"))
                if named is None:
                    return None
                letters.update(_with_lower(named.encode(), fold))
                at, letter = end, None
            else:
                letters.add(ord("["))
        else:
            letters.add(text[at])
        before = letter
        at += 1
    return (set(range(256)) - letters if negated else letters), at + 1
