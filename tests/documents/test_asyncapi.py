"""The AsyncAPI document: up to date, and as the wire vectors are; `make test-js` has it parsed."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from app.catalog.registry import Catalog
from app.contract.asyncapi import to_asyncapi
from app.contract.schemas import to_text

ROOT = Path(__file__).parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/wire_vectors.json").read_text())
DOCUMENT: dict[str, Any] = json.loads(to_text(to_asyncapi(Catalog())))
RECEIVED = sorted(
    {
        step["receive"]
        for scenario in VECTORS["scenarios"]
        for step in scenario["steps"]
        if "receive" in step and not step.get("malformed") and not step.get("later")
    }
)
SENT = [vector["wire"] for vector in VECTORS["client_messages"]]


def validator(name: str) -> Draft7Validator:
    """Of the payload of one message; its references lead into the document."""
    reference = {"$ref": f"#/components/messages/{name}/payload"}
    return Draft7Validator({**reference, "components": DOCUMENT["components"]})


def test_the_asyncapi_document_is_up_to_date() -> None:
    page = ROOT / "docs" / "asyncapi.json"
    remedy = "run: python -m app.contract"
    assert page.read_text() == to_text(to_asyncapi(Catalog())), remedy


@pytest.mark.parametrize("wire", RECEIVED + SENT)
def test_every_wire_vector_is_a_message_of_the_document(wire: str) -> None:
    message = json.loads(wire)
    validator(message["type"]).validate(message)


@pytest.mark.parametrize("entry", Catalog().entries(), ids=lambda entry: entry.type)
def test_the_data_of_an_event_is_as_its_type_wants_it(entry: Any) -> None:
    envelope = {"timestamp": "2026-11-22T21:00:00.123Z", "sequence_number": 1, "metadata": {}}
    event = {"type": entry.type, "data": entry.example, **envelope}
    assert validator(entry.type).is_valid(event)
    assert not validator(entry.type).is_valid({**event, "type": "chat.unheard"})
    assert not validator(entry.type).is_valid({**event, "data": None})
    for field in entry.schema.get("required", []):
        data = {key: value for key, value in entry.example.items() if key != field}
        assert not validator(entry.type).is_valid({**event, "data": data})


def test_an_event_of_an_extra_namespace_is_a_message_too() -> None:
    assert "other" not in DOCUMENT["components"]["messages"]
    document = json.loads(to_text(to_asyncapi(Catalog(["plugin", "deploy"]))))
    _, other = document["components"]["messages"]["other"]["payload"]["allOf"]
    assert Draft7Validator(other).is_valid({"type": "plugin.happened", "data": {"any": 1}})
    assert not Draft7Validator(other).is_valid({"type": "plug.happened", "data": {}})


def test_the_gateway_sends_what_it_says_and_receives_what_clients_say() -> None:
    operations = DOCUMENT["operations"]
    sent = {
        message["$ref"].rpartition("/")[2]
        for operation in operations.values()
        if operation["action"] == "send"
        for message in operation["messages"]
    }
    assert sent == {entry.type for entry in Catalog().entries()} | {
        "connected",
        "gap",
        "heartbeat",
        "notice",
    }
    asked = {name for name, operation in operations.items() if operation["action"] == "receive"}
    assert asked == {"subscribe", "unsubscribe", "ping"}
