"""What the Python client sends to publish, and how it reads the answer."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st
from sightline_client import NewEvent, batches
from sightline_client.errors import (
    InvalidDataError,
    ProtocolError,
    RefusedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnknownEventTypeError,
)
from sightline_client.events import FileCreated, WorkflowStarted
from sightline_client.publishing import (
    MAX_BODY_BYTES,
    body_of,
    encode,
    new_event,
    published,
    request_headers,
)


def test_a_class_and_a_name_with_fields_are_the_same_event() -> None:
    fields = {"workflow_id": "w", "workflow_name": "n"}
    by_name = new_event("workflow.started", fields, {"agent": "Ada"})
    by_class = new_event(
        WorkflowStarted(workflow_id="w", workflow_name="n"), None, {"agent": "Ada"}
    )
    assert json.loads(encode(by_name)) == json.loads(encode(by_class))
    assert json.loads(encode(by_name))["data"] == fields


@pytest.mark.parametrize("value", [float("nan"), b"x", "\ud800", object()])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(value: object) -> None:
    with pytest.raises(InvalidDataError, match=r"'a\.b' cannot be encoded"):
        encode(NewEvent("a.b", {"x": value}))


def test_an_array_of_events_is_one_body() -> None:
    body = json.loads(body_of([NewEvent("a.b", {}), new_event(FileCreated(path="p"))]))
    assert [event["type"] for event in body] == ["a.b", "file.created"]


def test_events_that_do_not_fit_one_body_are_cut_into_several() -> None:
    cut = list(batches([NewEvent("a.b", {"text": "x" * 1_500_000})] * 5))
    assert [len(batch) for batch in cut] == [2, 2, 1]


@given(st.lists(st.integers(1, 900_000), max_size=30), st.integers(0, 2500))
def test_batches_keep_order_and_each_fits_one_request(sizes: list[int], small: int) -> None:
    events = [NewEvent("a.b", {"text": "x" * size}) for size in sizes]
    events += [NewEvent("a.b", {"n": number}) for number in range(small)]
    cut = list(batches(events))
    assert [event for batch in cut for event in batch] == events
    assert all(len(batch) <= 1000 and len(body_of(batch)) <= MAX_BODY_BYTES for batch in cut)
    assert len(cut) <= small // 1000 + sum(sizes) // 2_000_000 + 3


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "unknown_event_type", UnknownEventTypeError),
        (400, "invalid_data", InvalidDataError),
        (413, "event_too_large", TooLargeError),
        (413, "body_too_large", TooLargeError),
        (401, "unauthorized", UnauthorizedError),
        (503, "unavailable", UnavailableError),
        (418, "new_in_a_later_version", RefusedError),
    ],
)
def test_a_refusal_has_a_class_and_the_gateways_words(
    status: int, code: str, kind: type[RefusedError]
) -> None:
    body: dict[str, Any] = {"type": "error", "code": code, "message": "what and how"}
    with pytest.raises(kind, match="what and how") as caught:
        published(httpx.Response(status, json=body))
    assert (caught.value.status, caught.value.code) == (status, code)


def test_an_answer_of_another_server_is_reported_as_such() -> None:
    with pytest.raises(RefusedError, match="HTTP 404"):
        published(httpx.Response(404, text="<html>"))
    with pytest.raises(ProtocolError):
        published(httpx.Response(200, text="<html>"))


def test_an_idempotency_key_is_a_header() -> None:
    assert request_headers("k")["Idempotency-Key"] == "k"
    assert "Idempotency-Key" not in request_headers(None)
