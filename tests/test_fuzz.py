"""Input from outside: parsers accept it or refuse it with their own errors, never with another."""

import json
import math
import string
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from app.auth.access import FULL
from app.channels.encoding import encode
from app.channels.filters import EventFilter
from app.errors import BadRequestError, InvalidDataError, InvalidPatternError
from app.main import create_app
from app.settings import Settings
from app.ws import messages
from app.ws.queries import MAX_SEQUENCE_NUMBER, Query
from app.ws.session import Session
from tests.support import FakeClock, make_bus

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters())  # lone surrogates too
    | st.sampled_from(["git.*", "*", "chat.message_sent", "Bad", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONTROL = st.fixed_dictionaries(
    {"type": st.sampled_from(["subscribe", "unsubscribe", "ping"]) | JSON},
    optional={"types": st.lists(st.sampled_from(["git.*", "*", "Bad"]) | JSON) | JSON, "id": JSON},
)
PATTERN_TEXT = st.text(st.sampled_from("ab_9*.A é,"), max_size=12) | st.text()


def mutated(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The text with one character put in, taken out or cut off behind."""

    @st.composite
    def change(draw: st.DrawFn) -> str:
        whole = draw(text)
        at = draw(st.integers(0, len(whole)))
        how = draw(st.integers(0, 2))
        return whole[:at] + (draw(st.text(max_size=2)) + whole[at:], whole[at + 1 :], "")[how]

    return change()


@given(st.text() | CONTROL.map(json.dumps) | mutated(CONTROL.map(json.dumps)))
@example("[" * 100_000)
@example('{"type":"ping","id":1e999}')
@example('{"type":"ping","id":' + "9" * 5_000 + "}")
def test_any_control_message_is_answered_in_json_and_an_error_changes_nothing(text: str) -> None:
    bus = make_bus(FakeClock())
    subscription = bus.subscribe("chat.*")
    mistakes: list[str] = []
    answer = json.loads(messages.encode(Session(bus, subscription, mistakes.append).handle(text)))
    if answer["type"] == "error":
        assert answer["code"] in ("invalid_message", "invalid_pattern", "binary_frame")
        assert answer["message"]
        assert len(answer["message"]) < 1000
        assert subscription.filter.patterns == ("chat.*",)
        assert mistakes == [answer["code"]]
    else:
        sent = json.loads(text)
        assert answer["type"] == {"ping": "pong"}.get(sent["type"], "subscribed")
        assert ("id" in answer, answer.get("id")) == ("id" in sent, sent.get("id"))
        if answer["type"] == "subscribed":
            assert tuple(answer["types"]) == subscription.filter.patterns


def well_formed(pattern: str) -> bool:
    """The protocol's rule, said once more in other words."""

    def token(text: str) -> bool:
        rest = set(string.ascii_lowercase + string.digits + "_")
        return text == "*" or (text[:1] in set(string.ascii_lowercase) and set(text) <= rest)

    tokens = pattern.split(".")
    return pattern == "*" or (len(pattern) <= 64 and len(tokens) == 2 and all(map(token, tokens)))


@given(st.lists(PATTERN_TEXT, max_size=4), st.sampled_from(["ab.a", "a.b_9", "b.b"]))
def test_a_filter_takes_exactly_the_well_formed_patterns_and_matches_as_they_say(
    patterns: list[str], type_: str
) -> None:
    try:
        event_filter = EventFilter(patterns)
    except InvalidPatternError:
        assert not all(map(well_formed, patterns))
        return
    assert all(map(well_formed, patterns))
    tokens = type_.split(".")
    assert event_filter.matches(type_) == any(
        pattern == "*"
        or all(p in ("*", t) for p, t in zip(pattern.split("."), tokens, strict=True))
        for pattern in patterns
    )


NAMES = st.sampled_from(["types", "client_id", "epoch", "last_sequence_number", "limit"])
VALUES = st.text(st.sampled_from("0129ae.*,_- %+&=é\x00"), max_size=20) | st.integers().map(str)
QUERY = st.binary(max_size=80) | st.lists(st.tuples(NAMES, VALUES), max_size=5).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode()
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"x-client-id", b"X-Last-Sequence", b"x-epoch", b"Last-Event-ID"]),
        st.binary(max_size=20) | st.from_regex(rb"[a-z.:]{1,3}:[0-9]{0,18}"),
    ),
    max_size=3,
)


@given(QUERY, HEADERS)
def test_any_query_is_understood_or_a_bad_request(
    query_string: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    query = Query(query_string, headers)
    for read in (
        lambda: query.event_filter(FULL),
        query.client_id,
        lambda: query.position("last_sequence_number", b"x-last-sequence", b"x-epoch"),
        lambda: query.number("limit"),
        query.last_event_id,
    ):
        refused = ""
        try:
            read()
        except BadRequestError as error:
            refused = str(error)
        assert len(refused) < 500
    try:
        position = query.position("last_sequence_number", b"x-last-sequence", b"x-epoch")
    except BadRequestError:
        return
    assert position is None or 0 <= position.sequence_number <= MAX_SEQUENCE_NUMBER


class Text(str):
    __slots__ = ()


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**100), 2**100)
    | st.floats()
    | st.text(st.characters())
    | st.text().map(Text)
    | st.binary()
    | st.just(object())
    | st.complex_numbers()
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner)
    | st.sets(st.integers())
    | st.dictionaries(st.text(st.characters()) | st.integers() | st.floats() | st.none(), inner),
    max_leaves=8,
)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@given(st.dictionaries(st.text(st.characters()) | st.integers(), ANYTHING, max_size=4) | ANYTHING)
@example({"a": 2**64})
@example({"a": -(2**63) - 1})
@example({"a": float("nan")})
@example({"a": "\ud800"})
@example({float("nan"): 1})
@example({"a": {float("inf"): 1}})
def test_what_is_encoded_is_strict_json_and_what_readers_see_or_it_is_refused(value: Any) -> None:
    try:
        encoded, seen = encode("data", value)
    except InvalidDataError:
        return
    read = json.loads(encoded.decode(), parse_constant=refuse_constant)
    assert read == json.loads(json.dumps(seen))  # a tuple may be seen as it is: it fits as a list
    assert not any(isinstance(each, float) and not math.isfinite(each) for each in seen.values())


@pytest.fixture(scope="module")
def gateway_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    return Settings(
        session_token="fuzz-token-0123456789",
        state_dir=folder / "state",
        workspace=None,
        extra_namespaces=("fuzz",),
        log_level="critical",
        journal="",  # each example begins at number 1
    )


BODY = (
    st.binary()
    | JSON.map(json.dumps).map(str.encode)
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["fuzz.a", "chat.message_sent", "Bad", "fuzz.A"]) | JSON},
        optional={"data": st.dictionaries(st.text(), JSON) | JSON, "metadata": JSON},
    )
    .map(json.dumps)
    .map(str.encode)
)


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(BODY, min_size=1, max_size=8))
@example([b'{"type":"fuzz.a","data":{"x":1e999}}', b'{"type":"fuzz.a","data":{"x":1e-999}}'])
@example([b'{"type":"fuzz.a","data":{"x":%s}}' % (b"9" * 5000)])
@example([b'{"type":"fuzz.a","data":{"x":"\\ud800"}}', b"\xef\xbb\xbf{}"])
@example([b'{"type":"fuzz.a","data":{"x":%s1%s}}' % (b"[" * 5000, b"]" * 5000)])
@example([b'{"type":"fuzz.a","data":{"x":%s1%s}}' % (b"[" * 900, b"]" * 900)])
async def test_any_body_is_published_as_it_is_or_refused_and_uses_up_no_number(
    gateway_settings: Settings, bodies: list[bytes]
) -> None:
    app = create_app(gateway_settings)
    headers = {
        "X-Session-Token": "fuzz-token-0123456789",
        "Content-Type": "application/json",
        "Host": "localhost",
    }
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
        ) as http,
    ):
        number = 0
        for body in bodies:
            answer = await http.post("/api/events", content=body)
            if answer.status_code != 201:
                assert answer.status_code in (400, 413)
                assert set(answer.json()) == {"type", "code", "message"}
                continue
            published = answer.json() if isinstance(answer.json(), list) else [answer.json()]
            sent = json.loads(body) if isinstance(json.loads(body), list) else [json.loads(body)]
            assert len(sent) == len(published)
            page = (await http.get(f"/api/events?after={number}&limit=1000")).text
            events = json.loads(page, parse_constant=refuse_constant)["events"]
            for event, one in zip(events, sent, strict=True):
                number += 1
                assert event["sequence_number"] == number
                assert event["data"] == one["data"]
