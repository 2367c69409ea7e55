"""Any value is refused with a reason, or read as the standard library's strict JSON has it."""

import dataclasses
import enum
import json
import math
import re
import uuid
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from app.channels.encoding import encode, ensure_can_fit
from app.channels.strict_json import MAX_DEPTH
from app.errors import EventTooLargeError, InvalidDataError
from tests.kit.examples import up_to


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(enum.StrEnum):
    ADA = "ada"


class Odd(enum.StrEnum):
    """Its text and its value differ."""

    ONE = "one"

    def __new__(cls, value: str) -> "Odd":
        member = str.__new__(cls, "text of " + value)
        member._value_ = value
        return member


class Text(str):
    pass


class Number(int):
    pass


class Float(float):
    pass


class Items(list[object]):
    pass


@dataclasses.dataclass
class Point:
    x: int = 1


ODD = [
    *(Colour.RED, Level.HIGH, Name.ADA, Odd.ONE, Text("t"), Number(4), Float(1.5), Items([1])),
    *(Point(), uuid.UUID(int=7), datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2), Decimal("1")),
    *(b"x", bytearray(b"x"), memoryview(b"x"), {1}, frozenset([1]), 1j, ..., object(), int, len),
    *(math.nan, math.inf, -math.inf, "\ud800", "\udc00x", 2**63, 2**64, -(2**63) - 1, 2**200),
    *((1, 2), (), OrderedDict(a=1), UserDict(a=1), MappingProxyType({"a": 1}), range(2)),
    *(0.1, 1e16, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 100000000000000000000.0, None),
]
KEYS = st.text(max_size=4) | st.sampled_from(
    [1, 1.5, True, None, Text("k"), Level.HIGH, b"x", (1,)]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=10,
)


def strictly(value: object) -> object:
    """What a reader decodes of the strict encoder's text; raises what it raises."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False).encode().decode()
    return json.loads(text)


def same(one: object, other: object) -> bool:
    """Equal, of the same types, and zeros of the same sign."""
    return repr(one) == repr(other)


STEP = re.compile(r'\.(\w+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]', re.ASCII)


def path_in(message: str) -> str:
    """The path that a refusal names, such as `.a[0]`."""
    found = re.match(
        rf"data cannot be encoded as JSON: data((?:{STEP.pattern})*) (is|has) ", message
    )
    assert found, message
    return found[1]


def at(step: re.Match[str], part: Any) -> list[Any]:
    """What is there: more than one thing if keys have the same text."""
    if step[2]:
        return [part[int(step[2])]]
    text = step[1] or json.loads(step[3])
    return [
        inner for key, inner in part.items() if not is_refused({key: 0}) and as_key(key) == text
    ]


def as_key(key: object) -> str:
    """The key as JSON has it."""
    (found,) = json.loads(json.dumps({key: None}))
    return str(found)


def is_refused(part: object) -> bool:
    try:
        strictly(part)
    except (TypeError, ValueError):
        return True
    return False


@settings(max_examples=up_to(200), deadline=None)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_a_value_is_refused_or_read_as_strict_json_has_it(value: dict[str, object]) -> None:
    try:
        expected = strictly(value)
    except (TypeError, ValueError):
        with pytest.raises(InvalidDataError) as refused:
            encode("data", value)
        path, parts = path_in(str(refused.value)), [value]
        for step in STEP.finditer(path):
            parts = [inner for part in parts for inner in at(step, part)]
        assert parts, path
        assert all(is_refused(part) for part in parts), path
        return
    encoded, fields = encode("data", value)
    assert same(json.loads(encoded), expected)
    assert same(json.loads(json.dumps(fields)), expected)
    assert b"\n" not in encoded  # it would end a server-sent event


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("beside", [{}, {"n": None}])
def test_each_odd_value_alone_and_beside_a_null(odd: object, beside: dict[str, object]) -> None:
    test_a_value_is_refused_or_read_as_strict_json_has_it.hypothesis.inner_test(  # type: ignore
        {"a": [{"b": odd}], **beside}
    )


@pytest.mark.parametrize("levels", [253, 254, 255, 256, 257, 1000])
def test_the_depth_is_the_same_whichever_encoder_takes_it(levels: int) -> None:
    value: Any = "x"
    for _ in range(levels - 1):
        value = [value]
    if levels <= MAX_DEPTH:
        assert json.loads(encode("data", {"a": value})[0]) == {"a": value}
    else:
        with pytest.raises(InvalidDataError, match="nested"):
            encode("data", {"a": value})


def test_a_refusal_names_the_path_to_a_cycle_and_to_a_key() -> None:
    inner: dict[str, Any] = {"list": []}
    inner["list"].append({"two words": inner})
    with pytest.raises(
        InvalidDataError, match=r'JSON: data\.a\.list\[0\]\["two words"\] is inside'
    ):
        encode("data", {"a": inner})
    with pytest.raises(InvalidDataError, match=r"JSON: data\.a has a key that is of type tuple;"):
        encode("data", {"a": {(1, 2): 3}})
    with pytest.raises(InvalidDataError, match=r"JSON: data…(\.n){100} is nan;"):
        encode("data", {"a": nested_in("n", 200, math.nan)})


class Hostile(str):
    """A text whose methods raise."""

    def encode(self, *_: object) -> bytes:
        raise RuntimeError


def test_the_search_for_the_obstacle_is_bounded_and_never_raises() -> None:
    value: object = math.nan
    for _ in range(MAX_DEPTH):
        value = [value]
    for _ in range(40):  # few objects, and 2**40 parts: without a bound this never ends
        value = [value, value]
    with pytest.raises(InvalidDataError, match="data cannot be encoded as JSON: Out of range"):
        encode("data", {"a": value})
    with pytest.raises(InvalidDataError, match=r"JSON: data\.b is nan"):
        encode("data", {"a": Hostile("x"), "b": math.nan})
    with pytest.raises(InvalidDataError, match="data cannot be encoded as JSON: Out of range"):
        encode("data", {"a": Odd.ONE, Unreadable("b"): math.nan})


class Unreadable(str):
    """A text without a hash from its second use on, as that of a key."""

    used = False

    def __hash__(self) -> int:
        if self.used:
            raise RuntimeError
        self.used = True
        return 1


def nested_in(key: str, levels: int, value: object) -> object:
    for _ in range(levels):
        value = {key: value}
    return value


def test_a_large_value_is_measured_before_it_is_looked_at() -> None:
    with pytest.raises(EventTooLargeError, match="data has 2008 bytes, over the 100 allowed"):
        encode("data", {"a": "x" * 2000}, 100)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    # Each of these is written longer in some way than it has to be.
    | st.text(max_size=6) | st.sampled_from(["é/\n", "🙂", 1e300, 0.5, "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=4), JSON), st.booleans(), st.sampled_from([None, 4]))
def test_no_text_is_refused_by_its_length_that_would_fit_once_it_is_read(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).replace("/", "\\/")
    text = text.replace(".5", ".500000")
    size = len(encode("data", json.loads(text))[0])
    ensure_can_fit("data", text.encode(), size)


@pytest.mark.parametrize(
    "value", [{"a": "xyz" * 100}, {"a": [{"b": True}] * 40}, {"a": ["", ""] * 99}]
)
def test_a_text_that_cannot_fit_is_refused_unread(value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    with pytest.raises(EventTooLargeError, match=f"^data has {len(text)} bytes, over the 100 "):
        ensure_can_fit("data", text, 100)
