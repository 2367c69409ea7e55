"""SIGKILL under load over real sockets: whatever was answered with 201 is in the journal, once."""

from pathlib import Path

import pytest

from tests.kit.kills import kill_rounds


@pytest.mark.slow
async def test_three_kills_under_load_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    load = await kill_rounds(tmp_path, 3, (50, 400), batch=5)
    assert len({epoch for epoch, _ in load.answered.values()}) == 3


@pytest.mark.attack
async def test_a_hundred_kills_under_load_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    load = await kill_rounds(tmp_path, 100, (1, 300), batch=5)
    assert len({epoch for epoch, _ in load.answered.values()}) == 100


@pytest.mark.attack
async def test_a_kill_in_the_middle_of_10000_posts_loses_none_that_was_answered(
    tmp_path: Path,
) -> None:
    load = await kill_rounds(tmp_path, 2, (5000, 5000), batch=1)
    assert len(load.answered) >= 10_000
