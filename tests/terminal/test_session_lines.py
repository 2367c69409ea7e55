"""What a terminal shows of sessions: what needs a person, the tree, and no control characters."""

import msgspec
from sightline_client.sessions import View
from sightline_client.terminal.session_lines import of_sessions, span

from tests.kit.sessions import step
from tests.session_vectors import START, Step, reduced, steps_of


def lines(steps: list[Step], width: int | None = None) -> list[str]:
    views = msgspec.convert(reduced(steps, START + 60), list[View])
    return of_sessions(views, START + 60, width=width)


def test_a_session_that_waits_says_what_for() -> None:
    first, asked = lines(steps_of("permission_prompt")[:6])
    assert first.startswith("waiting  Claude Code befd")
    assert asked == "  ! asks for permission: Bash touch stamp.txt Claude needs your permission"


def test_sub_agents_are_a_tree_and_a_guess_is_marked() -> None:
    _, current, lead, reader = lines(steps_of("nested_two")[:10])
    assert current.startswith("  > Read")
    assert lead.startswith("  - general-purpose a3afa219  working")
    assert reader.startswith("    - general-purpose aac90eba  working")
    assert lead.endswith("(its parent is a guess)")


def test_agents_whose_parents_are_a_circle_are_each_shown_once() -> None:
    circle = [
        step(1, "turn_started", agent_id="x", parent_id="y"),
        step(2, "turn_started", agent_id="y", parent_id="x"),
    ]
    assert len([line for line in lines(circle) if line.startswith("  - ")]) == 2


def test_what_an_agent_says_is_never_obeyed_and_fits_the_window() -> None:
    steps = [step(1, "turn_started", prompt="\x1b[2J" + "x" * 500, folder="a\nb")]
    (line,) = lines(steps, width=80)
    assert line.isprintable()
    assert len(line) <= 80


def test_a_span_has_its_two_largest_units() -> None:
    assert [span(s) for s in (5, 65, 3725, 90000)] == ["5s", "1m05s", "1h02m", "1d01h"]
