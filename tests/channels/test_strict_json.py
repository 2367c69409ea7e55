"""JSON is nested at most 256 deep on every Python, and half characters are called by their name."""

import json

import msgspec
import pytest
from hypothesis import given, strategies as st

from app.channels import encoding
from app.channels.strict_json import MAX_DEPTH, check_depth, depth, reason
from app.errors import EventTooLargeError, InvalidDataError

TEXT = st.text(alphabet='[]{}"\\,: a\u00e9\n')
JSON = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


def depth_of(value: object) -> int:
    """The depth as its definition has it: the arrays and objects around the innermost value."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(JSON)
def test_the_depth_of_any_json_is_counted_without_its_strings(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert depth(text.encode()) == depth_of(value)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_256_deep_is_taken_and_one_more_refused_with_the_depth() -> None:
    check_depth("data", nested(MAX_DEPTH))
    check_depth("data", b'{"text":"' + b"[" * 300 + b'"}')
    check_depth("data", b"[" + b"[]," * 300 + b"[]]")
    for levels in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(InvalidDataError, match=f"^data is nested {levels} deep: .+ 256 deep$"):
            check_depth("data", nested(levels))
    with pytest.raises(InvalidDataError):
        encoding.check_depth("data", nested(MAX_DEPTH + 1))


def objects(levels: int) -> dict[str, object]:
    """So many objects in each other, the outermost counted too."""
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


class Holder(msgspec.Struct):
    a: object


@pytest.mark.parametrize("name", ["data", "metadata"])
def test_what_services_publish_is_nested_at_most_256_deep(name: str) -> None:
    for value in (objects(MAX_DEPTH), Holder(objects(MAX_DEPTH - 1))):
        assert depth(encoding.encode(name, value)[0]) == MAX_DEPTH
    for value in (objects(MAX_DEPTH + 1), Holder(objects(MAX_DEPTH))):
        with pytest.raises(InvalidDataError, match=f"^{name} is nested 257 deep"):
            encoding.encode(name, value)
    with pytest.raises(InvalidDataError, match=f"^{name} cannot .+ nested over 256 deep"):
        encoding.encode(name, objects(200_000))


def test_the_size_is_looked_at_before_the_depth_and_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "_decode", None)
    with pytest.raises(EventTooLargeError, match=r"^data has \d+ bytes, over the 100 allowed"):
        encoding.encode("data", objects(300), 100)


@pytest.mark.parametrize(
    ("text", "lone", "at"),
    [
        (rb'{"a":"\ud800"}', r"\ud800", 6),
        (rb'{"a":"x\uDBFFy"}', r"\uDBFF", 7),
        (rb'{"a":"\udc00"}', r"\udc00", 6),
        (rb'{"a":"\ud83d\ude00\ud800\u0041"}', r"\ud800", 18),
        (rb'{"a":"\ud800\ud800\udc00"}', r"\ud800", 6),
        (rb'{"a":"\\\ud800 and more text behind it"}', r"\ud800", 8),
        (rb'{"a":"\ud83dx\ude00"}', r"\ud83d", 6),
        (rb'{"a\ud800":1}', r"\ud800", 3),
    ],
)
def test_a_lone_surrogate_is_called_so_with_its_place(text: bytes, lone: str, at: int) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(text)
    said = reason(caught.value, text)
    assert said.startswith(f"a lone surrogate, {lone}, at byte {at}: ")
    assert "send both halves" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a":"x', "Input data was truncated"),
        (rb'{"a":"\ud83d\ude00', "Input data was truncated"),
        (b"{", "Input data was truncated"),
        (rb'{"a":"\\ud800', "Input data was truncated"),
        (b'{"a":"\xed\xa0\x80"}', "byte 0xed at 6 is not UTF-8 (invalid continuation byte)"),
    ],
)
def test_what_is_no_lone_surrogate_keeps_its_own_reason(text: bytes, expected: str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeError)) as caught:
        msgspec.json.decode(text)
    assert reason(caught.value, text) == expected


def test_the_depth_of_a_long_text_is_that_of_all_its_parts() -> None:
    strings = b'"[[\\"[[",' * 60_000  # over two parts; the ends of parts are inside of strings
    text = b'{"x":[' + strings + b"[[[]]]," * 40_000 + strings + nested(200) + b"]}"
    assert depth(text) == 2 + 200
    assert 256 < depth(b"[" * 4_000_000) <= 4_000_000


@pytest.mark.parametrize("before", [rb"\u0041", rb"\ud83d\ude00", rb"\\", "é".encode()])
@pytest.mark.parametrize("shift", range(12))
def test_a_lone_surrogate_is_found_in_a_long_text(before: bytes, shift: int) -> None:
    head = b'{"a":"' + b"x" * shift + before * 40_000
    for behind in (b'"}', b'x"}', b" and " * 30_000 + b'"}'):
        text = head + rb"\ud800" + behind
        with pytest.raises(msgspec.DecodeError) as caught:
            msgspec.json.decode(text)
        assert reason(caught.value, text).startswith(
            f"a lone surrogate, \\ud800, at byte {len(head)}"
        )
        text = head + rb"\ud83d\ude00" + behind[:-2]
        with pytest.raises(msgspec.DecodeError) as caught:
            msgspec.json.decode(text)
        assert reason(caught.value, text) == "Input data was truncated"


def test_an_error_about_a_field_and_one_about_the_stack_keep_their_reasons() -> None:
    field = msgspec.ValidationError("Expected `int`")
    assert reason(field, rb'{"a":"\ud800"}') == "Expected `int`"
    assert reason(RecursionError(), nested(300)).startswith("it is nested 300 deep: ")
    assert reason(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), b"{}")
