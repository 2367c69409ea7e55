"""`Turnstile`: strangers begin a few at a time, the newest first, and none waits for ever."""

import asyncio
from functools import partial

from app.server.turnstile import Turnstile


async def test_each_turn_begins_the_newest_and_the_oldest_and_no_other() -> None:
    turnstile, seen = Turnstile(), list[int]()
    for number in range(5):
        turnstile.admit(number, partial(seen.append, number))
    turns = [list(seen)]
    while len(seen) < 5:
        await asyncio.sleep(0)
        turns.append(list(seen))
    assert turns == [[], [4, 0], [4, 0, 3, 1], [4, 0, 3, 1, 2]]


async def test_a_stranger_that_returns_again_and_again_delays_no_other() -> None:
    turnstile, seen = Turnstile(), set[object]()

    def again(who: int) -> None:
        seen.add(who)
        turnstile.admit(who, partial(again, who))

    turnstile.admit("patient", partial(seen.add, "patient"))
    for who in range(3):
        again(who)
    for _ in range(5):
        await asyncio.sleep(0)
    assert "patient" in seen


async def test_a_connection_that_left_the_line_starts_nothing_and_leaves_nothing() -> None:
    turnstile, seen = Turnstile(), list[str]()
    for name in ("a", "b"):
        turnstile.admit(name, partial(seen.append, name))
        turnstile.leave(name)
        turnstile.leave(name)
    assert "a" not in turnstile
    turnstile.admit("c", partial(seen.append, "c"))
    assert "c" in turnstile
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == ["c"]
