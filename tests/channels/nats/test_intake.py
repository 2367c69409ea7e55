"""Secrets that another program publishes to the stream are replaced, however it spells its JSON."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from app.channels.encoding import encode
from app.channels.nats.intake import Intake
from app.channels.nats.message import encode_body
from app.redaction import Redactor
from tests.kit.examples import up_to
from tests.redaction.secrets import forms

INTAKE = Intake(Redactor(), 64 * 1024)
SUBJECT = "sightline.events.plugin.up"
TIME = "2026-11-22T21:00:00.123Z"
FORMS = forms(3)
SAFE = st.text(st.characters(codec="utf-8", exclude_characters="sSkKzZ"), max_size=8)


def read(data: bytes, metadata: bytes = b"{}") -> tuple[bytes, bytes]:
    body = b'{"timestamp":"%b","data":%b,"metadata":%b}' % (TIME.encode(), data, metadata)
    return INTAKE.read(SUBJECT, body)[2]


def escaped(text: str) -> str:
    """JSON with every ASCII character as an escape."""
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '"'


@pytest.mark.parametrize("index", range(len(FORMS)))
def test_a_secret_is_found_in_every_spelling(index: int) -> None:
    form = FORMS[index]
    usual = json.dumps(form.text)
    for text in (usual, escaped(form.text), usual.replace("/", "\\/")):
        data = f'{{"a":1,"b":{{"c":[{text}]}}}}'.encode()
        for found in (read(data)[0], read(b"{}", data)[1]):
            assert json.loads(found) == {"a": 1, "b": {"c": [form.redacted]}}
    twice = f'{{"a":{escaped(form.text)},"a":"the last counts"}}'.encode()
    assert json.loads(read(twice)[0]) == {"a": "the last counts"}
    assert form.secret.encode() not in read(f'{{"a":{usual},"a":2}}'.encode())[0]


@pytest.mark.parametrize("colon", [":", " :", ": ", "\t: ", "\n : \r\n"])
@pytest.mark.parametrize("key", ['"password"', '"pass\\u0077ord"', '"\\u0070assword"'])
def test_a_secret_is_found_by_its_key_in_every_spelling(colon: str, key: str) -> None:
    data, _ = read(f'{{"a" : {{{key}{colon}"hunter2 and more"}}}}'.encode())
    assert json.loads(data) == {"a": {"password": "[redacted:key]"}}


@settings(max_examples=up_to(60), deadline=None)
@given(
    st.dictionaries(
        SAFE,
        st.recursive(
            SAFE | st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.lists
        ),
    )
)
def test_what_a_gateway_wrote_stays_byte_by_byte(fields: dict[str, object]) -> None:
    for value in (fields, {"text": json.dumps(fields, indent=1), "at": "C:\\u0041\\/"}):
        data, _ = encode("data", value)
        redacted = Redactor().redact(data)
        body = encode_body(TIME, (redacted, data))
        assert INTAKE.read(SUBJECT, body)[2] == (redacted, redacted)


@pytest.mark.parametrize("number", ["9" * 4300, "-" + "9" * 4000, "1e308", "0.1", str(2**70)])
@pytest.mark.parametrize("levels", [1, 255])
def test_what_is_read_can_be_spelled_as_a_gateway_does(number: str, levels: int) -> None:
    nested = "[" * levels + number + "]" * levels
    with suppress(
        ValueError
    ):  # a message that is no event; any other error would stop the follower
        assert read(f'{{"a": {nested}}}'.encode())[0].count(b"[") == levels


@pytest.mark.parametrize("secret", ["ghp_" + "a7" * 18, "ghp_" + "Qk7" * 12])
def test_neither_a_type_nor_an_error_shows_a_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="no event") as caught:
        INTAKE.read(f"sightline.events.plugin.{secret}", encode_body(TIME, (b"{}", b"{}")))
    type_, _, (data, _) = INTAKE.in_place_of(7, 0.0, caught.value)
    assert type_ == "system.error"
    assert b"message 7 of the stream is not an event" in data
    assert secret[-10:].encode() not in data


def test_the_marks_must_fit_too() -> None:
    small = Intake(Redactor(), 60)
    data = json.dumps({"password": "x1"}).encode()
    fits = b'{"a":"' + b"y" * 26 + b'",' + data[1:]
    with pytest.raises(ValueError, match="without its secrets"):
        small.read(SUBJECT, encode_body(TIME, (fits, b"{}")))
