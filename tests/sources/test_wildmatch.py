"""Patterns against git's own matching, also of odd and hostile ones."""

import os
import random
from pathlib import Path

import pytest

from app.sources.wildmatch import MOST_GLOB_BYTES, MOST_PATTERN_BYTES, Patterns
from tests.sources.folders import git

PIECES = [
    *("a", "b", "c", "x", "A", "B", " ", "#", "é", "-", "!", "\\", "]", "[", "/", "/"),
    *("*", "**", "***", "**/", "/**", "?", "[ab]", "[!a]", "[^b]", "[a-c]", "[A-C]", "[]", "[]a]"),
    *("[[:alpha:]]", "[[:upper:]]", "[[:no:]]", "[:", "[a\\]]", "[--a]", "[a-", "[\\"),
]
NAMES = [
    "a",
    "b",
    "c",
    "x",
    "A",
    "B",
    "ab",
    "Ab",
    "abc",
    "cb",
    "é",
    "a b",
    "]",
    "[",
    "\\",
    "#a",
    "-",
]


def ignored(patterns: Patterns, path: str) -> bool:
    name = os.path.basename(path)
    folders = [path[:at] for at, letter in enumerate(path) if letter == "/"]
    for folder in folders:
        if patterns.verdict(folder.encode(), os.path.basename(folder).encode(), True):
            return True
    return bool(patterns.verdict(path.encode(), name.encode(), False))


def compare(folder: Path, seed: int) -> None:
    chosen = random.Random(seed)
    lines = ["".join(chosen.choices(PIECES, k=chosen.randint(1, 7))) for _ in range(4)]
    paths = ["/".join(chosen.choices(NAMES, k=chosen.randint(1, 4))) for _ in range(60)]
    fold = seed % 4 == 0
    (folder / ".gitignore").write_text("\n".join(lines))
    settings = ("-c", f"core.ignoreCase={fold}", "check-ignore", "--no-index", "--stdin", "-z")
    answer = git(folder, *settings, given="".join(f"{path}\0" for path in paths), check=False)
    patterns = Patterns("\n".join(lines).encode(), fold)
    expected = set(answer.split("\0")[:-1])
    assert {path for path in paths if ignored(patterns, path)} == expected, lines


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    git(tmp_path, "init", "-q")
    return tmp_path


@pytest.mark.slow
def test_random_patterns_match_what_git_matches(repository: Path) -> None:
    for seed in range(150):
        compare(repository, seed)


@pytest.mark.attack
def test_thousands_of_random_patterns_match_what_git_matches(repository: Path) -> None:
    for seed in range(1000, 6000):
        compare(repository, seed)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 12 + "*b", "a" * 200),
        ("*a" * 400 + "*b", "/".join(["a" * 200] * 20)),
        ("**/" + "*a" * 400 + "/b", "/".join(["a" * 200] * 20)),
        ("**/a" * 240 + "/b", "a/" * 2000 + "c"),
        ("x/**/" + "*/" * 400 + "**/b", "x/" + "a/" * 2000 + "c"),
        ("*" + "a" * 1000 + "b", "a" * 255),
        ("*[!b]" * 200 + "/c", "a" * 255 + "/d"),
        ("?*" * 400 + "b", "a" * 255),
    ],
)
def test_no_pattern_takes_more_than_its_length_times_that_of_the_path(
    pattern: str, path: str
) -> None:
    """One that backtracks would not end before the test's limit: 2^200 tries and more."""
    name = path.rpartition("/")[2]
    assert Patterns(pattern.encode()).verdict(path.encode(), name.encode(), False) is None


@pytest.mark.slow
def test_patterns_that_are_too_costly_are_left_out_and_counted() -> None:
    long = Patterns(b"*" + b"a" * MOST_PATTERN_BYTES + b"\n*.o\n" + b"b" * 5000)
    assert long.left_out == 1
    assert long.verdict(b"x.o", b"x.o", False)
    assert long.verdict(b"b" * 5000, b"b" * 5000, False)
    many = Patterns(
        b"\n".join(b"*.%0126d" % number for number in range(MOST_GLOB_BYTES // 128 + 10))
    )
    assert many.left_out == 10
    names = Patterns(b"\n".join(b"/names/%d" % number for number in range(100_000)))
    assert names.left_out == 0  # these are looked up, however many there are
    assert names.verdict(b"names/99999", b"99999", False)
