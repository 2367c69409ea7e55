"""`docs/acceptance.md` names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "acceptance.md").read_text()
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", tests))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert named <= defined
    for path in re.findall(r"`((?:tests|docs)/[\w/.]+)`", page):
        assert (ROOT / path).is_file(), path
