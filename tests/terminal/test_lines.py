import json
import time

import pytest
from hypothesis import example, given, strategies as st
from rich.cells import cell_len
from sightline_client import Gap
from sightline_client.events import DATA_CLASSES
from sightline_client.messages import Event, decode
from sightline_client.terminal.lines import of_catalog, of_event, of_gap


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def event(data: dict[str, object], type_: str = "a.b") -> Event:
    fields = {"timestamp": "2026-11-22T21:00:00.123Z", "sequence_number": 7, "metadata": {}}
    decoded = decode(json.dumps({"type": type_, "data": data, **fields}))
    assert isinstance(decoded, Event)
    return decoded


def test_a_line_holds_time_number_type_and_fields() -> None:
    data = {"path": "src/a.py", "text": "a b", "n": 3, "ok": True, "list": ["x", 1], "no": None}
    assert of_event(event(data)) == (
        '21:00:00.123 #7 a.b path=src/a.py text="a b" n=3 ok=true list=["x",1] no=null'
    )
    assert of_event(event({})) == "21:00:00.123 #7 a.b"


def test_what_looks_like_another_field_is_quoted() -> None:
    assert of_event(event({"a": "1 b=2", "c": "d=e", "f": ""})).endswith('a="1 b=2" c="d=e" f=""')


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_a_line_is_one_line_and_steers_no_terminal(data: dict[str, object]) -> None:
    assert of_event(event(data)).isprintable()


@given(st.text(min_size=100), st.integers(0, 200))
@example("\u65e5\u672c" * 100, 80)  # two columns each
def test_a_line_fits_the_window(text: str, width: int) -> None:
    assert cell_len(of_event(event({"text": text}), width=width)) <= max(
        width, len("21:00:00.123 #7 a.b ") + 10
    )


def test_failures_are_red() -> None:
    assert "\x1b[31;1mworkflow.failed" in of_event(event({}, "workflow.failed"), colour=True)
    assert "\x1b[31" not in of_event(event({}, "workflow.started"), colour=True)


def test_a_gap_says_what_is_lost() -> None:
    assert of_gap(Gap(3, 8, 6, "expired")) == "--- gap: 6 events were lost from #3 to #8 (expired)"
    assert of_gap(Gap(None, None, None, "epoch_changed")) == (
        "--- gap: numbers begin again, events may be lost (epoch_changed)"
    )


def test_the_catalog_has_a_line_a_type() -> None:
    assert [line.split()[0] for line in of_catalog().splitlines()] == list(DATA_CLASSES)


@pytest.mark.parametrize("width", [40, 80])
def test_the_catalog_fits_a_window_with_each_type_at_the_margin(width: int) -> None:
    shown = of_catalog(width).splitlines()
    assert max(map(len, shown)) <= width
    types = [line for line in shown if not line.startswith(" ")]
    assert types == [line.split()[0] for line in of_catalog().splitlines()]
