import asyncio
import json
import logging

import pytest
import structlog

from app.log import configure, flood as module
from app.log.flood import FIRST_LINES, MAX_KINDS, WINDOW_S, Flood, report_left_out
from app.settings import Settings
from tests.kit.logs import read
from tests.kit.waiting import WATCHDOG_S, ticks
from tests.support import FakeClock

Capture = pytest.CaptureFixture[str]


def begin(monkeypatch: pytest.MonkeyPatch, level: str = "info") -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr("app.log.Flood", lambda: Flood(clock.monotonic))
    configure(Settings(log_format="json", log_level=level))
    return clock


def refuse(times: int, **fields: object) -> None:
    for number in range(times):
        structlog.get_logger("door").warning("refused", **{"status": 401, "peer": number, **fields})


def test_the_first_lines_of_a_kind_go_out_and_the_rest_is_counted(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = begin(monkeypatch)
    refuse(FIRST_LINES + 1000)
    refuse(2, status=503)
    lines = read(capsys)
    assert [line["status"] for line in lines] == [401] * FIRST_LINES + [503] * 2
    clock.advance(WINDOW_S)
    refuse(1)
    reported, again = read(capsys)
    assert reported["event"] == "lines_left_out"
    assert (reported["of"], reported["count"]) == ("door refused 401", 1000)
    assert again["event"] == "refused"


def test_a_line_of_another_library_is_a_kind_by_its_template(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(monkeypatch)
    for number in range(FIRST_LINES + 5):
        logging.getLogger("uvicorn.error").info("%s - gone", number)
    assert len(read(capsys)) == FIRST_LINES
    report_left_out()
    (reported,) = read(capsys)
    assert (reported["of"], reported["count"]) == ("uvicorn.error %s - gone", 5)


def test_more_kinds_than_fit_share_one_so_that_memory_is_bounded_and_all_is_counted(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(monkeypatch)
    for number in range(1000):
        logging.getLogger("x").warning(f"made up {number}")
    out = len(read(capsys))
    assert out == MAX_KINDS + FIRST_LINES
    report_left_out()
    (reported,) = read(capsys)
    assert reported["count"] + out == 1000


async def test_the_count_is_logged_even_after_the_flood_has_ended(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = begin(monkeypatch)
    monkeypatch.setattr(module, "WINDOW_S", 0.01)
    refuse(FIRST_LINES + 7)
    read(capsys)
    clock.advance(1)
    reported = ""
    async with asyncio.timeout(WATCHDOG_S):
        async for _ in ticks(0.005):
            if reported := capsys.readouterr().err:
                break
    assert json.loads(reported)["count"] == 7


def test_debug_lines_are_not_left_out(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(monkeypatch, "debug")
    for _ in range(FIRST_LINES + 5):
        logging.getLogger("x").debug("detail")
    assert len(read(capsys)) == FIRST_LINES + 5
