"""Timers of one delay end in order, each once, unless they were cancelled."""

import asyncio
import heapq
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from hypothesis import given, strategies as st

from app.timers import Timer, set_timer
from tests.kit.waiting import until


class FakeLoop:
    """Time moves only by `pass_s`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self.calls: list[tuple[float, int, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, due: float, action: Callable[..., None], *given: object) -> None:
        self.count += 1
        heapq.heappush(self.calls, (due, self.count, partial(action, *given)))

    def call_soon(self, action: Callable[..., None]) -> None:
        self.call_at(self.now, action)

    def pass_s(self, seconds: float) -> None:
        end = self.now + seconds
        while self.calls and self.calls[0][0] <= end:
            self.now, _, action = heapq.heappop(self.calls)
            action()
        self.now = end


STEPS = st.lists(
    st.tuples(st.sampled_from(("set", "cancel", "pass")), st.integers(0, 9)), max_size=40
)


@given(STEPS)
def test_a_timer_acts_once_at_its_time_unless_it_was_cancelled(
    steps: list[tuple[str, int]],
) -> None:
    loop = FakeLoop()
    set_at: list[tuple[float, float, Timer]] = []
    acted: dict[int, float] = {}
    cancelled: set[int] = set()
    for step, number in steps:
        if step == "pass":
            loop.pass_s(number / 2)
        elif step == "cancel" and set_at:
            index = number % len(set_at)
            set_at[index][2].cancel()
            if index not in acted:
                cancelled.add(index)
        elif step == "set":
            index, delay_s = len(set_at), (1.0, 2.0)[number % 2]
            timer = set_timer(
                cast(asyncio.AbstractEventLoop, loop),
                delay_s,
                lambda index=index: acted.setdefault(index, loop.now),
            )
            set_at.append((loop.now, delay_s, timer))
    loop.pass_s(5)
    assert acted == {
        index: at + delay_s
        for index, (at, delay_s, _) in enumerate(set_at)
        if index not in cancelled
    }
    assert not loop.calls


def test_all_timers_that_are_due_act_in_one_turn_however_late_it_is() -> None:
    loop, acted = FakeLoop(), list[int]()
    for number in range(100):
        set_timer(cast(asyncio.AbstractEventLoop, loop), 1.0, partial(acted.append, number))
        loop.now += 0.001
    loop.now = 9.0
    _, _, first = heapq.heappop(loop.calls)
    first()
    turn = [action for _, _, action in sorted(loop.calls, key=lambda call: call[:2])]
    for action in turn:
        action()
    assert acted == list(range(100))
    assert len(turn) == 100


async def test_an_action_that_fails_stops_no_other() -> None:
    loop = asyncio.get_running_loop()
    failures: list[Any] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    acted: list[int] = []
    set_timer(loop, 0.01, lambda: 1 / 0)
    set_timer(loop, 0.01, lambda: acted.append(1))
    await until(lambda: acted)
    assert [type(error) for error in failures] == [ZeroDivisionError]
