"""The gateway speaks as `tests/wire_vectors.json` says, to which the clients are held as well."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from app import errors
from app.auth.access import FULL
from app.channels.filters import MAX_PATTERNS, EventFilter
from app.errors import ErrorMessage, InvalidPatternError
from app.events import Gap, Position
from app.ws.messages import (
    Connected,
    Heartbeat,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    Unsubscribe,
    decode_control,
    encode,
)
from app.ws.queries import Query
from tests.support import FakeClock, make_bus

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "wire_vectors.json").read_text())
RECEIVED = [
    step
    for scenario in VECTORS["scenarios"]
    for step in scenario["steps"]
    if "receive" in step and not step.get("malformed")
]
SAID = sorted({step["receive"] for step in RECEIVED if not step.get("later")})
CONTROL = [wire for wire in SAID if "." not in json.loads(wire)["type"]]
EVENTS = [wire for wire in SAID if "." in json.loads(wire)["type"]]
VERBS = {"subscribe": Subscribe, "unsubscribe": Unsubscribe, "ping": Ping}
ServerMessage = Connected | Gap | Heartbeat | Subscribed | Pong | ErrorMessage


@pytest.mark.parametrize("wire", CONTROL)
def test_a_control_message_is_encoded_as_the_vector_says(wire: str) -> None:
    message = msgspec.json.decode(wire, type=ServerMessage, strict=True)
    assert encode(message).decode() == wire


def test_every_control_message_and_every_reason_of_a_gap_has_a_vector() -> None:
    tags = {json.loads(wire)["type"] for wire in CONTROL}
    assert tags == {struct.__struct_config__.tag for struct in ServerMessage.__args__}
    reasons = {json.loads(wire).get("reason") for wire in CONTROL} - {None}
    assert reasons == set(Gap.__annotations__["reason"].__args__)


@pytest.mark.parametrize("wire", EVENTS)
def test_an_event_is_spliced_as_the_vector_says(wire: str) -> None:
    event = json.loads(wire)
    number, bus = event["sequence_number"], make_bus(FakeClock())
    bus._store.head = number - 1
    data, metadata = msgspec.json.encode(event["data"]), msgspec.json.encode(event["metadata"])
    said = bus.accept(event["type"], event["timestamp"], number, (data, metadata))
    assert said.encoded.decode() == wire


@pytest.mark.parametrize("vector", VECTORS["client_messages"], ids=lambda vector: vector["wire"])
def test_what_a_client_sends_is_understood(vector: dict[str, Any]) -> None:
    message = decode_control(vector["wire"])
    assert isinstance(message, VERBS[vector["verb"]])
    assert message.id == vector["id"]
    assert getattr(message, "types", None) == vector.get("types")


@pytest.mark.parametrize("vector", VECTORS["upgrades"], ids=lambda v: urlencode(v["parameters"]))
def test_the_parameters_of_an_upgrade_are_understood(vector: dict[str, Any]) -> None:
    query = Query(urlencode(vector["parameters"]).encode(), [])
    position = vector["position"] and Position(**vector["position"])
    assert query.client_id() == vector["client_id"]
    assert query.event_filter(FULL).patterns == tuple(
        ["*"] if (t := vector["types"]) is None else t
    )
    assert query.position("last_sequence_number", None, None) == position


@pytest.mark.parametrize("pattern", VECTORS["patterns"]["valid"])
def test_a_valid_pattern_is_accepted(pattern: str) -> None:
    assert EventFilter([pattern]).patterns == (pattern,)


@pytest.mark.parametrize("pattern", VECTORS["patterns"]["invalid"])
def test_an_invalid_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPatternError):
        EventFilter([pattern])


def test_a_filter_holds_as_many_patterns_as_the_vector_says() -> None:
    assert VECTORS["patterns"]["max_in_one_filter"] == MAX_PATTERNS


def test_every_close_code_of_the_gateway_has_a_vector() -> None:
    named = {code for name, code in vars(errors).items() if name.startswith("CLOSE_")}
    assert named <= {vector["code"] for vector in VECTORS["close_codes"]}
