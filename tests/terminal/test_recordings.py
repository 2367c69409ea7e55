import click
import pytest
from hypothesis import given, strategies as st
from sightline_client import NewEvent
from sightline_client.terminal.publishing import fields_of
from sightline_client.terminal.recordings import (
    Recorded,
    RecordingError,
    read_data,
    read_events,
    schedule,
)

EVENT = NewEvent("a.b", {})


def line(at: str) -> bytes:
    return b'{"type":"a.b","timestamp":"%s","data":{}}' % at.encode()


def test_a_recording_is_read_tolerantly() -> None:
    lines = [
        b'{"type":"connected","epoch":"e"}\n',
        b"\n",
        b'{"type":"a.b","timestamp":"2026-11-22T21:00:00.500Z","sequence_number":3,"data":{"x":1},'
        b'"metadata":{"agent":"Ada"},"later":[]}\r\n',
        b'{"type":"gap","reason":"expired"}',
        b'{"type":"c.d","data":{}}',
    ]
    assert list(read_events(lines, "r")) == [
        Recorded(3, NewEvent("a.b", {"x": 1}, {"agent": "Ada"}), 1795381200.5),
        Recorded(5, NewEvent("c.d", {})),
    ]


@pytest.mark.parametrize(
    "bad",
    [b"{", b"[]", b"1", b"\xff", b'{"data":{}}', b'{"type":"a.b"}', b'{"type":"a.b","data":[]}'],
)
def test_a_bad_line_is_named_with_what_was_expected(bad: bytes) -> None:
    with pytest.raises(RecordingError, match=r'r, line 2 is not an event: .*; expected \{"type"'):
        list(read_events([line("2026-11-22T21:00:00.500Z"), bad], "r"))


def test_data_alone_is_read_for_one_type() -> None:
    assert list(read_data([b'{"x":1}', b""], "a.b", "r")) == [
        Recorded(1, NewEvent("a.b", {"x": 1}))
    ]
    with pytest.raises(RecordingError, match="line 7"):
        list(read_data([b"[]"], "a.b", "r", first=7))


def test_events_are_due_as_their_timestamps_say() -> None:
    recording = [Recorded(1, EVENT, at) for at in (100.0, 101.0, 101.0, 90.0, 93.0)]
    assert [due for due, _ in schedule(recording, 2.0, None, "r")] == [0, 0.5, 0.5, 0.5, 2]


def test_a_rate_needs_no_timestamps() -> None:
    recording = [Recorded(number, EVENT) for number in range(3)]
    assert [due for due, _ in schedule(recording, 1.0, 4.0, "r")] == [0, 0.25, 0.5]
    with pytest.raises(RecordingError, match="line 0 has no timestamp: replay with --rate"):
        list(schedule(recording, 1.0, None, "r"))


@given(st.lists(st.floats(0, 1e9)), st.floats(0.1, 1000))
def test_a_schedule_never_goes_back(times: list[float], speed: float) -> None:
    dues = [due for due, _ in schedule([Recorded(1, EVENT, at) for at in times], speed, None, "r")]
    assert dues == sorted(dues)


def test_fields_are_text_or_json() -> None:
    assert fields_of(["a=1", "b:=1", 'c:=["x"]', "d=", "e=f=g", "h=:=i"]) == {
        "a": "1",
        "b": 1,
        "c": ["x"],
        "d": "",
        "e": "f=g",
        "h": ":=i",
    }


@pytest.mark.parametrize("word", ["a", "=1", ":=1", "a:=x", "a:="])
def test_what_is_no_field_is_refused(word: str) -> None:
    with pytest.raises(click.UsageError, match=word):
        fields_of([word])
