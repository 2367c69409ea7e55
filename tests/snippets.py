"""The fenced blocks of the documentation, as the tests take them to run them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "docs/decisions", "clients/js", "clients/python", "tests")
    for page in (ROOT / folder).glob("*.md")
)
# Opening and closing fence. `blocks` refuses an indented or longer one, which this would miss.
_FENCE = re.compile(r"^```(?P<kind>.*)\n(?P<code>(?:(?!```).*\n)*?)```$", re.M)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->\n\n?\Z")


class Block(NamedTuple):
    """One fenced block; `not_run` is the reason that stands in a comment before it."""

    kind: str
    code: str
    not_run: str | None


def blocks(page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        mark = _NOT_RUN.search(text, 0, fence.start())
        found.append(Block(fence["kind"] or "text", fence["code"], mark and mark["reason"]))
    fences = len(re.findall(r"^[ >]*(?:```|~~~)", text, re.M))
    assert fences == 2 * len(found), f"{page}: fence blocks with three ` at the left margin"
    return found


def to_run(page: str) -> list[tuple[str, str]]:
    """Kind and code of what can be run, with the JSON that goes with it."""
    return [(kind, code) for kind, code, not_run in blocks(page) if kind != "text" and not not_run]


def snippets(page: str, kinds: str) -> list[str]:
    """The code of the blocks of `page` that a test runs, which must be of these kinds, in order."""
    found = to_run(page)
    has = " ".join(kind for kind, _ in found)
    assert has == kinds, (
        f"{page} has the blocks {has!r}, its test runs {kinds!r}: run the new one there,"
        " or write `<!-- not run: reason -->` on the line before it"
    )
    return [code for _, code in found]
