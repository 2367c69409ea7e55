"""Messages of the stream, which anybody may have written, are checked like posted events."""

import json

import pytest

from app.channels.nats.message import encode_body, read_message
from app.channels.strict_json import MAX_DEPTH
from app.events import Clock
from tests.support import make_bus

SUBJECT = "sightline.events.plugin.up"
TIME = "2026-11-22T21:00:00.123Z"


def body(data: str = "{}", metadata: str = "{}", timestamp: str = TIME) -> bytes:
    return f'{{"timestamp":"{timestamp}","data":{data},"metadata":{metadata}}}'.encode()


def nested(levels: int) -> str:
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def test_what_a_gateway_wrote_is_read_byte_by_byte() -> None:
    contents = (b'{"a":[1,2.5e3,"\\u00e9\xc3\xa9"],"e":null}', b'{"agent":"Ada"}')
    assert read_message(SUBJECT, encode_body(TIME, contents)) == ("plugin.up", TIME, contents)


@pytest.mark.parametrize(
    "timestamp",
    [
        "yesterday",
        TIME.translate({digit: digit + 0x630 for digit in range(0x30, 0x3A)}),
        TIME.replace("3", "\uff13"),
        "2026-13-22T21:00:00.123Z",
        "2026-02-30T21:00:00.123Z",
        "2026-11-22T25:00:00.123Z",
        "2026-11-22T21:00:60.123Z",
        "0000-11-22T21:00:00.123Z",
        "2026-11-22T21:00:00.123Z\\n",
        "2026-11-22T21:00:00.123+00:00",
        "2026-11-22T21:00:00Z",
        "",
    ],
)
def test_only_a_time_in_the_gateways_own_form_is_a_timestamp(timestamp: str) -> None:
    with pytest.raises(ValueError, match="its timestamp is not that of a gateway"):
        read_message(SUBJECT, body(timestamp=timestamp))


@pytest.mark.parametrize(
    "value",
    [
        "1e999",
        "-1e400",
        "9" * 400 + ".5",
        "9" * 5000,
        "NaN",
        "Infinity",
        "01",
        "1.",
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\x"',
        '"\x01"',
        "tru",
        "{a:1}",
        "[1,]",
    ],
)
@pytest.mark.parametrize("place", ["data", "metadata"])
def test_what_is_not_json_or_no_float_can_hold_is_no_event(value: str, place: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        read_message(SUBJECT, body(**{place: f'{{"a":{value}}}'}))


@pytest.mark.parametrize("value", ["[]", "null", "1", '"a"', "[{}]"])
def test_data_and_metadata_are_objects(value: str) -> None:
    for text in (body(data=value), body(metadata=value)):
        with pytest.raises(ValueError, match="not both objects"):
            read_message(SUBJECT, text)


@pytest.mark.parametrize("data", ['{"a":1},"data":{"b":2}', '{},"more":{}', "{}}", "{} {}", ""])
def test_data_is_one_value(data: str) -> None:
    for metadata in ("{}", '{"agent":"Ada"}'):
        try:
            found = json.loads(read_message(SUBJECT, body(data, metadata))[2][0])
        except ValueError:
            continue
        assert found in (
            {"b": 2},
            {},
        ), "of a name that stands twice the last counts, as when posted"


def test_spaces_and_another_order_are_json_too() -> None:
    for text in (
        body(' {"a" : 1}\t'),
        body('{"a" : 1}', ' {"b":2} '),
        f'{{ "metadata":{{}},\n"data":{{"a": 1}}, "timestamp":"{TIME}"}}'.encode(),
    ):
        type_, timestamp, (data, _) = read_message(SUBJECT, text)
        assert (type_, timestamp, json.loads(data)) == ("plugin.up", TIME, {"a": 1})


@pytest.mark.parametrize("place", ["data", "metadata"])
@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 5000, 100_000])
def test_nesting_is_bounded_alike_on_every_interpreter(place: str, levels: int) -> None:
    with pytest.raises(
        ValueError, match=r"nested \d+ deep: nest arrays and objects at most 256 deep"
    ):
        read_message(SUBJECT, body(**{place: nested(levels)}))


def test_wide_is_not_deep_and_the_deepest_allowed_is_read() -> None:
    wide = json.dumps({"a": [[]] * 1000})
    for data in (nested(MAX_DEPTH), wide):
        assert read_message(SUBJECT, body(data))[2][0] == data.encode()


def test_size_is_bounded_before_and_after_reading() -> None:
    large = '{"a":"' + "x" * 92 + '"}'
    assert read_message(SUBJECT, body(large), 102)[2][0] == large.encode()
    with pytest.raises(ValueError, match="it has 102 bytes, over the 101 allowed"):
        read_message(SUBJECT, body(large), 101)
    with pytest.raises(ValueError, match="it has 200000 bytes"):
        read_message(SUBJECT, b"x" * 200_000, 100_000)


@pytest.mark.parametrize(
    "subject",
    [
        "sightline.events.Plugin.up",
        "sightline.events.plugin.up\n",
        "sightline.events.plügin.up",
        "sightline.events.plugin.up.more",
        "sightline.events.plugin",
        "sightline.events." + "p" * 62 + ".up",
        "elsewhere.plugin.up",
    ],
)
def test_the_subject_holds_an_event_type(subject: str) -> None:
    with pytest.raises(ValueError, match="holds no event type"):
        read_message(subject, body())


def test_types_past_the_catalog_share_one_label_of_the_metrics() -> None:
    bus = make_bus(Clock())
    for number in range(1, 3001):
        bus.accept(f"foreign{number}.up", TIME, number, (b"{}", b"{}"))
    bus.accept("chat.message_sent", TIME, 3001, (b"{}", b"{}"))
    bus.accept("chat.of_nobody", TIME, 3002, (b"{}", b"{}"))
    bus.flush()
    assert dict(bus.counters.published) == {"other": 3001, "chat": 1}
