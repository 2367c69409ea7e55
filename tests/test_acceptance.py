"""The pages that promise something name tests that exist, and the story has a row for each criterion."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APP = sorted((ROOT / "app").rglob("*.py"))
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
DEFINED = re.findall(r"^ *(?:async )?def (test_\w+)\(", TESTS, re.M)


def test_no_two_tests_have_one_name() -> None:
    assert [name for name, count in Counter(DEFINED).items() if count > 1] == []


@pytest.mark.parametrize("name", ["tests/acceptance.md", "docs/reliability.md"])
def test_every_test_that_the_page_names_exists(name: str) -> None:
    page = (ROOT / name).read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert named <= set(DEFINED)
    for path in re.findall(r"`((?:tests|docs)/[\w/.-]+)`", page):
        assert (ROOT / path).is_file(), path


def test_every_promise_has_one_row() -> None:
    page = (ROOT / "tests/acceptance.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.M)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_criterion_of_the_story_has_a_row_that_names_what_holds_it() -> None:
    page = (ROOT / "tests/acceptance.md").read_text()
    rows = dict(re.findall(r"^\| (AC\d+|Test \d|Done: [\w ]+) \| (.+) \|$", page, re.M))
    expected = [*(f"AC{n}" for n in range(1, 29)), *(f"Test {n}" for n in range(1, 6))]
    assert list(rows)[: len(expected)] == expected
    assert len(rows) == len(expected) + 15, "the definition of done has 15 lines"
    for row in rows.values():
        assert re.search(r"`(?:test_\w+|tests/[\w/.]+|docs/[\w/.-]+)`", row), row


def test_types_are_strict_and_lines_have_100_characters() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert (tools["mypy"]["strict"], tools["mypy"]["disallow_any_explicit"]) == (True, True)
    assert (tools["mypy"]["files"][0], tools["black"]["line-length"]) == ("app", 100)
    assert [path for path in APP if re.search(r"import .*\bAny\b", path.read_text())] == []


def test_every_logger_of_the_gateway_is_structlogs() -> None:
    for path in APP:
        for line in re.findall(r"^_log = .+$", path.read_text(), re.M):
            assert line.startswith("_log = structlog.get_logger("), path
        # Setting the standard library's logging up, for uvicorn and others, is for two modules.
        if path.parent.name != "log":
            assert "logging.getLogger" not in path.read_text(), path


def test_the_core_is_held_to_full_branch_coverage() -> None:
    coverage = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]
    assert (coverage["run"]["branch"], coverage["report"]["fail_under"]) == (True, 100)
    for module in ("channels/bus", "channels/queue", "channels/subscription", "ws/registry"):
        assert f"app/{module}.py" in coverage["run"]["include"]
    assert all((ROOT / module).is_file() for module in coverage["run"]["include"])
