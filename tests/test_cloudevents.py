"""CloudEvents: how they become events, and how a refusal names the attribute."""

import json
from typing import Any

import pytest

from app.cloudevents import BATCH, ONE, Mapped, parse
from app.errors import BadRequestError

EVENT = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/mycontext",
    "type": "com.example.chat.message_sent",
    "data": {"role": "user", "content": "x"},
}


def parsed(**changes: Any) -> Mapped:
    (mapped,) = parse(json.dumps({**EVENT, **changes}).encode(), ONE)
    return mapped


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("chat.message_sent", "chat.message_sent"),
        ("com.example.chat.message_sent", "chat.message_sent"),
        ("io.a.b.c.git.commit_created", "git.commit_created"),
        ("message", "message"),
    ],
)
def test_a_type_is_its_last_two_tokens(type_: str, expected: str) -> None:
    assert parsed(type=type_).type == expected


def test_data_is_the_data_and_every_other_attribute_is_kept_in_metadata() -> None:
    attributes = {"subject": "s", "time": "2026-11-22T21:00:00.1Z", "partitionkey": 7}
    mapped = parsed(**attributes, datacontenttype="application/json")
    assert mapped.data == EVENT["data"]
    kept = {name: EVENT[name] for name in ("id", "source", "type")} | attributes
    assert mapped.metadata == {"source": "/mycontext", "cloudevent": kept}


def test_extensions_with_an_agreed_meaning_get_their_place_in_metadata() -> None:
    metadata = parsed(agent="Ada", correlationid="c", causationid="d").metadata
    del metadata["cloudevent"]
    expected = {"agent": "Ada", "correlation_id": "c", "causation_id": "d"}
    assert metadata == {"source": "/mycontext", **expected}


def test_the_same_source_and_id_have_the_same_key_and_no_others_do() -> None:
    keys = {
        parsed(source=source, id=id_).key
        for source, id_ in (("/a", "1"), ("/a", "2"), ("/b", "1"), ("/a1", " "), ("/a", "1 "))
    }
    assert len(keys) == 5
    assert parsed(time="2026-11-22T21:00:00Z").key == parsed(subject="other").key
    assert all(key.isalnum() for key in keys)  # fits a header, whatever the id


def test_data_may_be_absent_where_its_type_needs_none() -> None:
    event = {name: value for name, value in EVENT.items() if name != "data"}
    assert parse(json.dumps(event).encode(), ONE)[0].data == {}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/json", "application/x.y+json", "application/json; charset=utf-8"],
)
def test_data_of_any_json_type_is_taken(content_type: str) -> None:
    assert parsed(datacontenttype=content_type).data == EVENT["data"]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("specversion", "0.3"),
        ("specversion", None),
        ("id", ""),
        ("id", 7),
        ("source", ""),
        ("source", "two words"),
        ("type", ""),
        ("type", []),
        ("subject", ""),
        ("time", "yesterday"),
        ("time", "2026-11-22T21:00:00"),
        ("dataschema", ""),
        ("datacontenttype", "text/xml"),
        ("data", "text"),
        ("data", None),
        ("data", [1]),
        ("data_base64", "AAAA"),
    ],
)
def test_a_malformed_attribute_is_named_also_in_a_batch(attribute: str, value: object) -> None:
    bad = {**EVENT, attribute: value}
    with pytest.raises(BadRequestError, match=rf"\$\.{attribute}`?: send CloudEvents"):
        parse(json.dumps(bad).encode(), ONE)
    with pytest.raises(BadRequestError, match=rf"\$\[1\]\.{attribute}`?: send CloudEvents"):
        parse(json.dumps([EVENT, bad]).encode(), BATCH)


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type"])
def test_a_missing_attribute_is_named(attribute: str) -> None:
    event = {name: value for name, value in EVENT.items() if name != attribute}
    with pytest.raises(BadRequestError, match=f"`{attribute}`"):
        parse(json.dumps(event).encode(), ONE)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"7", b"null", b"[" * 100_000, b"\xff", b'{"id":"\\ud800"}']
)
def test_a_body_that_is_not_that_is_refused_shortly(body: bytes) -> None:
    for content_type in (ONE, BATCH):
        with pytest.raises(BadRequestError) as caught:
            parse(body, content_type)
        assert len(str(caught.value)) < 300


def test_one_is_no_batch_and_a_batch_is_not_one() -> None:
    with pytest.raises(BadRequestError):
        parse(json.dumps([EVENT]).encode(), ONE)
    with pytest.raises(BadRequestError):
        parse(json.dumps(EVENT).encode(), BATCH)
    assert parse(b"[]", BATCH) == []
