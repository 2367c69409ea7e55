"""CloudEvents: how they become events, and how a refusal names the attribute."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from app.auth.credentials import by_name
from app.errors import BadRequestError, InvalidDataError
from app.ingest.cloudevents import BATCH, ONE, Mapped, is_binary, is_json, parse, parse_binary

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
        with pytest.raises((BadRequestError, InvalidDataError)) as caught:
            parse(body, content_type)
        assert len(str(caught.value)) < 300


def test_one_is_no_batch_and_a_batch_is_not_one() -> None:
    with pytest.raises(BadRequestError):
        parse(json.dumps([EVENT]).encode(), ONE)
    with pytest.raises(BadRequestError):
        parse(json.dumps(EVENT).encode(), BATCH)
    assert parse(b"[]", BATCH) == []


ATTRIBUTES = {
    "type": "org.example.chat.message_sent",
    "source": "/agents?name=é",
    "id": "A-1",
    "subject": 'é "quoted" 50%25',
    "agent": "a1",
    "correlationid": "c1",
}
DATA = {"role": "user", "content": "é"}


def old_sdk(data: Any) -> tuple[dict[str, str], bytes]:
    from cloudevents.v1.conversion import to_binary
    from cloudevents.v1.http import CloudEvent

    encoded = {name: quote(value) for name, value in ATTRIBUTES.items()}  # it leaves this to us
    return to_binary(CloudEvent({**encoded, "datacontenttype": "application/json"}, data))


def new_sdk(data: Any) -> tuple[dict[str, str], bytes]:
    from cloudevents.core.bindings.http import to_binary
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    message = to_binary(CloudEvent({**ATTRIBUTES, "specversion": "1.0"}, data), JSONFormat())
    return message.headers, message.body


def raw(headers: dict[str, str], encoding: str = "latin-1") -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode(encoding)) for name, value in headers.items()]


@pytest.mark.parametrize("sdk", [old_sdk, new_sdk])
def test_binary_mode_is_read_as_the_python_sdk_writes_it(sdk: Any) -> None:
    headers, body = sdk(DATA)
    assert is_binary(by_name(raw(headers)))
    assert is_json(headers.get("content-type", ""))
    mapped = parse_binary(raw(headers), body)
    assert (mapped.type, mapped.data) == ("chat.message_sent", DATA)
    assert mapped.metadata["source"] == ATTRIBUTES["source"]
    assert (mapped.metadata["agent"], mapped.metadata["correlation_id"]) == ("a1", "c1")
    kept = mapped.metadata["cloudevent"]
    assert isinstance(kept, dict)
    assert {name: kept[name] for name in ATTRIBUTES} == ATTRIBUTES
    assert kept.keys() - ATTRIBUTES == {"time"}
    structured = {**ATTRIBUTES, "specversion": "1.0", "data": DATA}
    assert mapped.key == parse(json.dumps(structured).encode(), ONE)[0].key


JS_SDK = {  # `HTTP.binary(new CloudEvent({…}))` of cloudevents 10, as `fetch` sends it
    "content-type": "application/json; charset=utf-8",
    "ce-id": '1 "q" é%',
    "ce-time": "2026-11-28T23:59:24.397Z",
    "ce-type": "org.example.chat.message_sent",
    "ce-source": "/a?x=1",
    "ce-specversion": "1.0",
    "ce-subject": 'sübject, "x"',
    "ce-num": "7",
}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_binary_mode_is_read_as_the_javascript_sdk_writes_it(encoding: str) -> None:
    mapped = parse_binary(raw(JS_SDK, encoding), json.dumps(DATA).encode())
    assert mapped.data == DATA
    assert mapped.metadata["cloudevent"] == {
        "id": '1 "q" é%',
        "time": "2026-11-28T23:59:24.397Z",
        "type": "org.example.chat.message_sent",
        "source": "/a?x=1",
        "subject": 'sübject, "x"',
        "num": "7",
    }


def binary(body: bytes = b"{}", **changes: str | None) -> Mapped:
    headers = {**JS_SDK, **{f"ce-{name}": value for name, value in changes.items()}}
    return parse_binary(raw({k: v for k, v in headers.items() if v is not None}), body)


def test_a_quoted_header_is_unquoted_and_an_absent_body_is_an_empty_object() -> None:
    mapped = binary(b"", subject='"a \\"b\\" %C3%A9"', datacontenttype="text/xml")
    kept = mapped.metadata["cloudevent"]
    assert isinstance(kept, dict)
    assert kept["subject"] == 'a "b" é'
    assert (mapped.data, "datacontenttype" in kept) == ({}, False)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        *(("specversion", None), ("id", None), ("source", None), ("type", None)),
        *(("specversion", "0.3"), ("id", ""), ("source", "two%20words"), ("time", "yesterday")),
        *(("data", "{}"), ("data_base64", "AAAA"), ("Bad-Name", "x")),
        ("source", "/%ff"),
    ],
)
def test_a_malformed_header_is_named(attribute: str, value: str | None) -> None:
    with pytest.raises(BadRequestError, match=f"(?i){attribute}"):
        binary(**{attribute: value})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        *((b"[1]", r"\$\.data"), (b"null", r"\$\.data"), (b"{", "truncated")),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        *((b'{"a":"\xff"}', "byte 0xff at 6"), (b"[" * 100_000, "data is nested 100000 deep")),
    ],
)
def test_a_body_that_is_no_object_is_refused_in_binary_mode_too(body: bytes, words: str) -> None:
    with pytest.raises((BadRequestError, InvalidDataError), match=words):
        binary(body)


def test_a_header_given_twice_with_different_values_is_refused() -> None:
    twice = [*raw(JS_SDK), (b"CE-ID", b"another")]
    with pytest.raises(BadRequestError, match="ce-id was given twice"):
        parse_binary(twice, b"{}")
    assert parse_binary([*raw(JS_SDK), *raw(JS_SDK)], b"{}").data == {}


def test_an_ordinary_request_is_not_in_binary_mode_and_binary_data_is_json() -> None:
    assert not is_binary([b"content-type", b"ce-other"])
    for name in (b"Ce-Id", b"ce-source", b"ce-type", b"ce-specversion"):
        assert is_binary(by_name([(name, b"")]))
    for content_type in ("", "application/json", "Application/Vnd.X+JSON", "text/json"):
        assert is_json(content_type)
    for content_type in ("text/plain", "application/octet-stream", "application/jsonx"):
        assert not is_json(content_type)
