"""The pages that promise something name tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["acceptance.md", "reliability.md"])
def test_every_test_that_the_page_names_exists(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", tests))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert named <= defined
    for path in re.findall(r"`((?:tests|docs)/[\w/.]+)`", page):
        assert (ROOT / path).is_file(), path
