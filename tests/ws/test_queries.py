"""What a client asks for in query and headers, and how a contradiction is refused."""

import re

import pytest

from app.auth.access import FULL
from app.errors import BadRequestError
from app.events import Position
from app.ws.queries import MAX_SEQUENCE_NUMBER, Query

NUMBER = ("last_sequence_number", b"x-last-sequence")


def query(query_string: str = "", *headers: tuple[bytes, bytes]) -> Query:
    return Query(query_string.encode(), headers)


def position(asked: Query) -> Position | None:
    return asked.position(*NUMBER, b"x-epoch")


def test_absent_types_mean_everything() -> None:
    assert query("other=1").event_filter(FULL).patterns == ("*",)


def test_empty_types_mean_nothing() -> None:
    assert query("types=").event_filter(FULL).patterns == ()


def test_types_are_separated_by_commas_also_when_encoded() -> None:
    assert query("types=a.*%2C*.x,b.y").event_filter(FULL).patterns == ("a.*", "*.x", "b.y")


@pytest.mark.parametrize("types", ["a.x,", ",a.x", "a.x,,b.y", ",", "%FF", "A.x", "a.x%0A"])
def test_malformed_types_are_refused(types: str) -> None:
    with pytest.raises(BadRequestError, match="malformed"):
        query(f"types={types}").event_filter(FULL)


def test_the_same_value_twice_is_fine_and_different_ones_are_refused() -> None:
    assert query("client_id=a&client_id=a", (b"X-Client-Id", b"a")).client_id() == "a"
    with pytest.raises(BadRequestError, match="client_id was given twice"):
        query("client_id=a&client_id=b").client_id()
    with pytest.raises(BadRequestError, match="client_id was given twice"):
        query("client_id=a", (b"X-Client-Id", b"b")).client_id()
    with pytest.raises(BadRequestError, match="types was given twice"):
        query("types=a.x&types=").event_filter(FULL)


def test_header_names_have_no_case() -> None:
    assert query("", (b"X-CLIENT-ID", b"me")).client_id() == "me"


def test_a_client_without_a_name_gets_one_that_is_valid_and_its_own() -> None:
    names = {query().client_id() for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) for name in names)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a%0A", "x" * 65])
def test_a_malformed_client_id_is_refused_and_named(name: str) -> None:
    with pytest.raises(BadRequestError, match="client_id="):
        query(f"client_id={name}").client_id()


def test_a_client_id_of_64_characters_passes() -> None:
    assert query("client_id=" + "x" * 64).client_id() == "x" * 64


def test_a_position_is_a_number_with_or_without_an_epoch() -> None:
    assert position(query()) is None
    assert position(query("last_sequence_number=7")) == Position(7)
    assert position(query("last_sequence_number=0&epoch=e.1")) == Position(0, "e.1")
    headers = ((b"X-Last-Sequence", b"7"), (b"X-Epoch", b"e"))
    assert position(query("", *headers)) == Position(7, "e")


def test_a_position_may_come_half_as_query_and_half_as_header() -> None:
    assert position(query("last_sequence_number=7", (b"x-epoch", b"e"))) == Position(7, "e")


def test_an_epoch_without_a_number_is_refused() -> None:
    with pytest.raises(BadRequestError, match="epoch without last_sequence_number"):
        position(query("epoch=e"))


@pytest.mark.parametrize("epoch", ["", "a b", "x" * 65])
def test_a_malformed_epoch_is_refused(epoch: str) -> None:
    with pytest.raises(BadRequestError, match="epoch="):
        position(query(f"last_sequence_number=1&epoch={epoch}"))


@pytest.mark.parametrize(
    "number",
    ["", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1%0A", "1_0", "%D9%A1", "9007199254740992"],
)
def test_a_number_outside_0_to_2_to_the_53_less_1_is_refused(number: str) -> None:
    with pytest.raises(BadRequestError, match="is not an integer from 0 to 9007199254740991"):
        query(f"last_sequence_number={number}").number(*NUMBER)


def test_the_largest_number_passes() -> None:
    asked = query(f"last_sequence_number={MAX_SEQUENCE_NUMBER}")
    assert asked.number(*NUMBER) == MAX_SEQUENCE_NUMBER


def test_a_huge_number_is_refused_with_a_short_message() -> None:
    with pytest.raises(BadRequestError) as caught:
        query("last_sequence_number=" + "9" * 100_000).number(*NUMBER)
    assert len(str(caught.value)) < 250


def test_a_last_event_id_is_a_position_of_epoch_and_number() -> None:
    assert query().last_event_id() is None
    assert query("Last-Event-ID=e:1").last_event_id() is None
    assert query("", (b"Last-Event-ID", b"e.-_1:42")).last_event_id() == Position(42, "e.-_1")
    twice = ((b"last-event-id", b"e:1"), (b"Last-Event-ID", b"e:1"))
    assert query("", *twice).last_event_id() == Position(1, "e")


@pytest.mark.parametrize(
    "value",
    [b"", b"7", b":7", b"e:", b"e:-1", b"e:x", b"e 1:7", b"e:9007199254740992", b"e:1:", b"\xe9:1"],
)
def test_a_malformed_last_event_id_is_refused_with_the_remedy(value: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"Last-Event-ID .* omit it"):
        query("", (b"Last-Event-ID", value)).last_event_id()
