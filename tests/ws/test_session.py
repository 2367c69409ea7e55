"""A session: control messages in, answers out, and a filter that changes all or nothing."""

import msgspec
import pytest

from app.channels.bus import EventBus
from app.channels.filters import EventFilter
from app.channels.subscription import Subscription
from app.ws.messages import encode
from app.ws.session import CONTROL_BURST, CONTROL_RATE, Session, TooManyMessagesError
from tests.support import FakeClock, drain, make_bus, publish


class Client:
    """A session with the parts that a test looks at."""

    def __init__(self, *patterns: str) -> None:
        self.clock = FakeClock()
        self.bus: EventBus = make_bus(self.clock)
        self.subscription: Subscription = self.bus.join(EventFilter(patterns))[0]
        self.mistakes: list[str] = []
        self.session = Session(self.bus, self.subscription, self.mistakes.append)

    def say(self, text: str) -> dict[str, object]:
        return msgspec.json.decode(encode(self.session.handle(text)), type=dict[str, object])


def test_subscribing_adds_patterns_and_answers_with_the_whole_filter_and_the_head() -> None:
    client = Client("a.*")
    publish(client.bus, "a.x", "a.x")
    answer = client.say('{"type":"subscribe","types":["b.y","a.*"],"id":7}')
    assert answer == {
        "type": "subscribed",
        "types": ["a.*", "b.y"],
        "sequence_number": 2,
        "id": 7,
    }


def test_a_change_applies_to_later_events_only() -> None:
    client = Client("a.*")
    publish(client.bus, "a.x", "b.y")
    client.say('{"type":"subscribe","types":["b.*"]}')
    client.say('{"type":"unsubscribe","types":["a.*"]}')
    publish(client.bus, "a.x", "b.y")
    assert drain(client.subscription) == [1, 4]


def test_unsubscribing_what_is_not_there_is_no_error() -> None:
    answer = Client("a.*").say('{"type":"unsubscribe","types":["b.*"]}')
    assert answer == {"type": "subscribed", "types": ["a.*"], "sequence_number": 0}


def test_a_ping_gets_a_pong_with_the_time() -> None:
    answer = Client().say('{"type":"ping"}')
    assert answer == {"type": "pong", "timestamp": "2023-11-14T22:30:00.000Z"}


@pytest.mark.parametrize("id_", ["x" * 64, "", 0, -5, 2**70])
def test_an_id_comes_back_on_every_answer(id_: str | int) -> None:
    client = Client("a.*")
    encoded = msgspec.json.encode(id_).decode()
    for message in ('"ping"', '"subscribe","types":[]', '"subscribe","types":["bad"]'):
        assert client.say(f'{{"type":{message},"id":{encoded}}}')["id"] == id_


def test_an_id_of_64_characters_may_be_of_any() -> None:
    assert Client().say(f'{{"type":"ping","id":"{"😀" * 64}"}}')["id"] == "😀" * 64


@pytest.mark.parametrize("id_", ["null", "true", "1.0", "1.5", "[]", "{}", f'"{"x" * 65}"'])
def test_an_id_that_is_no_integer_and_no_string_up_to_64_characters_is_an_error(id_: str) -> None:
    client = Client("a.*")
    for message in ('"ping"', '"subscribe","types":["b.*"]'):
        answer = client.say(f'{{"type":{message},"id":{id_}}}')
        assert (answer["type"], answer["code"]) == ("error", "invalid_message")
        assert "`$.id`" in str(answer["message"])
        assert "id" not in answer
    assert client.subscription.filter.patterns == ("a.*",)


@pytest.mark.parametrize("type_", ["subscribe", "unsubscribe"])
def test_one_bad_pattern_changes_nothing_and_is_quoted(type_: str) -> None:
    client = Client("a.*")
    answer = client.say(f'{{"type":"{type_}","types":["a.*","b.*","bad"],"id":"i"}}')
    assert (answer["code"], answer["id"]) == ("invalid_pattern", "i")
    assert "'bad'" in str(answer["message"])
    assert client.subscription.filter.patterns == ("a.*",)


def test_over_256_patterns_in_all_change_nothing() -> None:
    client = Client(*(f"a.x{i}" for i in range(256)))
    assert client.say('{"type":"subscribe","types":["b.y"]}')["code"] == "invalid_pattern"
    assert len(client.subscription.filter.patterns) == 256


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        "[]",
        '"ping"',
        "{}",
        '{"type":"publish"}',
        '{"type":1}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","types":"a.*"}',
        '{"type":"subscribe","types":[1]}',
        '{"type":"ping","id":' + "9" * 5000 + "}",
        '{"type":"ping","id":"\\ud800"}',
        '{"type":"\ud800"}',
        '{"type":"ping","x":' + "[" * 60_000,
        "[" * 60_000 + "]" * 60_000,
    ],
)
def test_what_is_no_control_message_is_an_error_with_a_remedy_and_the_session_lives(
    text: str,
) -> None:
    client = Client("a.*")
    answer = client.say(text)
    assert (answer["type"], answer["code"]) == ("error", "invalid_message")
    assert '{"type":"ping"}' in str(answer["message"])
    assert len(str(answer["message"])) < 400
    assert client.say('{"type":"ping"}')["type"] == "pong"


def test_an_error_names_the_id_of_a_message_that_is_wrong_in_all_else() -> None:
    client = Client()
    assert client.say('{"type":"publish","id":"i"}')["id"] == "i"
    assert client.say('{"type":"subscribe","types":1,"id":9}')["id"] == 9
    for id_ in ("null", "1.5", f'"{"x" * 65}"'):
        assert "id" not in client.say(f'{{"type":"publish","id":{id_}}}')


def test_unknown_fields_are_ignored() -> None:
    assert Client().say('{"type":"ping","later":{"a":1}}')["type"] == "pong"


def test_a_binary_or_empty_frame_is_an_error_and_the_session_lives() -> None:
    client = Client()
    answer = client.say("")
    assert (answer["type"], answer["code"]) == ("error", "binary_frame")
    assert client.say('{"type":"ping"}')["type"] == "pong"


def test_a_burst_of_200_passes_and_one_more_ends_the_session() -> None:
    client = Client()
    for _ in range(int(CONTROL_BURST)):
        client.session.handle('{"type":"ping"}')
    with pytest.raises(TooManyMessagesError, match="over 100 control messages a second"):
        client.session.handle('{"type":"ping"}')
    with pytest.raises(TooManyMessagesError):
        client.session.handle("")


def test_errors_count_as_messages_too() -> None:
    client = Client()
    for _ in range(int(CONTROL_BURST)):
        client.session.handle("{")
    with pytest.raises(TooManyMessagesError):
        client.session.handle("{")


def test_after_the_burst_100_a_second_pass_for_ever() -> None:
    client = Client()
    for _ in range(int(CONTROL_BURST)):
        client.session.handle("")
    for _ in range(5):
        client.clock.advance(1.0)
        for _ in range(int(CONTROL_RATE)):
            client.session.handle("")
        with pytest.raises(TooManyMessagesError):
            client.session.handle("")


def test_a_long_silence_allows_no_more_than_one_burst() -> None:
    client = Client()
    client.clock.advance(3600)
    for _ in range(int(CONTROL_BURST)):
        client.session.handle("")
    with pytest.raises(TooManyMessagesError):
        client.session.handle("")


def test_every_mistake_gets_one_error_with_its_code_and_valid_messages_get_none() -> None:
    client = Client("a.*")
    client.say("{")
    client.say('{"type":"subscribe","types":["A"]}')
    client.say('{"type":"ping"}')
    assert client.mistakes == ["invalid_message", "invalid_pattern"]
