"""What the Python client decides, without a socket."""

import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from sightline_client import Event, Gap, Position
from sightline_client.core import Core, backoff_s
from sightline_client.errors import (
    EndedError,
    ProtocolError,
    ReplacedError,
    UnauthorizedError,
    UnreachableError,
    closed,
    refusal,
)
from sightline_client.events import GitCommitCreated, WorkflowStarted

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "wire_vectors.json").read_text(encoding="utf-8")
)


def at(position: dict[str, Any] | None) -> Position | None:
    return None if position is None else Position(**position)


def outcome(core: Core, text: str) -> str:
    try:
        item = core.receive(text)
    except ProtocolError:
        return "error"
    core.processed()
    return {Event: "event", Gap: "gap", type(None): "nothing"}[type(item)]


@pytest.mark.parametrize("scenario", VECTORS["scenarios"], ids=lambda scenario: scenario["name"])
def test_a_client_lives_as_the_vector_says(scenario: dict[str, Any]) -> None:
    core = Core("page-1")
    fresh = True
    for step in scenario["steps"]:
        if "connect" in step:
            assert core.position == at(step["connect"])
            fresh = True
        elif "closed" in step:
            core.wait_s(closed(step["closed"], ""), 0, 0.5)
        elif fresh:
            core.begin(step["receive"])
            fresh = False
        else:
            # The filter of this client never changes, so the answer to a change is none of its.
            expected = {"answer": "nothing"}.get(step["outcome"], step["outcome"])
            assert outcome(core, step["receive"]) == expected, step
        if "position" in step:
            assert core.position == at(step["position"]), step


@pytest.mark.parametrize("vector", VECTORS["upgrades"])
def test_the_parameters_of_an_upgrade_are_as_the_vector_says(vector: dict[str, Any]) -> None:
    core = Core(vector["client_id"], vector["types"], at(vector["position"]))
    assert core.parameters == vector["parameters"]


@pytest.mark.parametrize("vector", VECTORS["close_codes"])
def test_a_close_code_decides_as_the_vector_says(vector: dict[str, Any]) -> None:
    failure = closed(vector["code"], "")
    if vector["reconnect"] == "no":
        with pytest.raises(type(failure)):
            Core("c").wait_s(failure, 0, 0.5)
    else:
        expected = {"backoff": 0.25, "after_a_minute": 60}[vector["reconnect"]]
        assert Core("c").wait_s(failure, 0, 0.5) == expected


@pytest.mark.parametrize("vector", VECTORS["refusals"])
def test_a_refusal_decides_as_the_vector_says(vector: dict[str, Any]) -> None:
    failure = refusal(vector["status"], {}, b"")
    if vector["reconnect"] == "no":
        with pytest.raises(type(failure)):
            Core("c").wait_s(failure, 0, 0.5)
    else:
        assert Core("c").wait_s(failure, 0, 0.5) == 0.25


@pytest.mark.parametrize("vector", VECTORS["backoff"])
def test_a_backoff_is_as_the_vector_says(vector: dict[str, Any]) -> None:
    assert backoff_s(vector["attempt"], vector["random"]) == vector["delay_s"]


def connected(epoch: str, head: int, *, resumed: bool = False, replayed: int = 0) -> str:
    limits = {"max_clients": 1, "queue_size": 1, "replay_limit": 1, "replay_window_s": 1}
    limits |= {"max_message_bytes": 1, "max_event_bytes": 1}
    fields = {"client_id": "c", "epoch": epoch, "sequence_number": head, "types": ["*"]}
    fields |= {"heartbeat_interval_s": 30, "resumed": resumed, "replayed": replayed}
    return json.dumps({"type": "connected", **fields, "limits": limits})


def event(number: int) -> str:
    fields = {"timestamp": "2026-11-22T21:00:00.123Z", "sequence_number": number}
    return json.dumps({"type": "a.b", **fields, "data": {}, "metadata": {}})


def gap(reason: str, first: int | None = None, last: int | None = None) -> str:
    span = {"from_sequence_number": first, "to_sequence_number": last, "dropped": None}
    return json.dumps({"type": "gap", **span, "reason": reason})


def test_an_item_counts_as_processed_only_when_the_next_is_asked_for() -> None:
    core = Core("c")
    core.begin(connected("e", 0))
    assert isinstance(core.receive(event(1)), Event)
    assert core.position == Position(0, "e")
    core.processed()
    assert core.position == Position(1, "e")


def test_a_new_epoch_is_received_from_its_first_number_and_entered_only_by_its_gap() -> None:
    core = Core("c", position=Position(9, "old"))
    core.begin(connected("new", 12))
    core.receive('{"type":"heartbeat","timestamp":"t","sequence_number":12}')
    assert core.position == Position(9, "old")
    assert isinstance(core.receive(event(1)), Event)


def test_the_wait_grows_and_begins_again_after_a_stable_minute() -> None:
    core = Core("c")
    lost = UnreachableError("no")
    assert [core.wait_s(lost, 0, 1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    core.begin(connected("e", 0))
    assert core.wait_s(lost, 30 + 59, 1) == 30
    core.begin(connected("e", 0))
    assert core.wait_s(lost, 30 + 59 + 30 + 60, 1) == 0.5


def test_a_gateway_that_accepts_and_drops_is_asked_less_and_less() -> None:
    core, now, connections = Core("c"), 0.0, 0
    while now < 15:
        core.begin(connected("e", 0))
        connections += 1
        now += core.wait_s(closed(1006, ""), now, 0.5)
    assert connections == 6


def test_a_busy_gateway_is_given_the_time_that_it_asks_for_and_its_clients_spread() -> None:
    busy = refusal(
        503, {"retry-after": "5"}, b'{"type":"error","code":"unavailable","message":"m"}'
    )
    assert (busy.code, str(busy)) == ("unavailable", "m")
    waits = [Core("c").wait_s(busy, 0, number / 1000) for number in range(1000)]
    assert min(waits) == 5
    assert max(waits) < 10
    assert max(sum(wait // 0.1 == tenth for wait in waits) for tenth in range(100)) <= 21
    asked = refusal(503, {"retry-after": "9" * 30}, b"")
    assert asked.wait_s == 3600


def test_patience_ends_when_it_was_in_vain_for_too_long() -> None:
    core = Core("c", give_up_after_s=10)
    lost = UnreachableError("no")
    core.wait_s(lost, 100, 0)
    core.wait_s(lost, 109, 0)
    core.begin(connected("e", 0))
    core.wait_s(lost, 110, 0)
    with pytest.raises(UnreachableError):
        core.wait_s(lost, 120, 0)


def test_a_replaced_client_gets_an_error_that_says_so() -> None:
    with pytest.raises(ReplacedError, match="4409"):
        Core("c").wait_s(closed(4409, "replaced"), 0, 0)


def test_a_credential_that_is_no_longer_good_is_not_shown_again() -> None:
    with pytest.raises(EndedError, match="4401 logged out: connect again with a new token"):
        Core("c").wait_s(closed(4401, "logged out"), 0, 0)
    with pytest.raises(EndedError, match="4401: connect again"):
        Core("c").wait_s(closed(4401, ""), 0, 0)
    assert isinstance(closed(4401, ""), UnauthorizedError)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        (event(7).replace("{}", "{" * 3), Gap(7, 7, 1, "undecodable")),
        (event(7).replace('"data"', '"dat"'), Gap(7, 7, 1, "undecodable")),
        ('{"type":"a.b","sequence_number":true}', Gap(None, None, None, "undecodable")),
        ('{"type":"gap","dropped":"some"}', Gap(None, None, None, "undecodable")),
        ("no JSON", Gap(None, None, None, "undecodable")),
        ('{"type":"heartbeat"}', None),
        ('{"type":"error","message":"m","code":"c"}', None),
    ],
)
def test_what_cannot_be_read_is_a_gap_where_it_may_be_a_loss(text: str, lost: Gap | None) -> None:
    text = text.replace(": ", ":").replace(", ", ",")
    core = Core("c", position=Position(6, "e"))
    core.begin(connected("e", 6))
    with pytest.raises(ProtocolError):
        core.read(text)
    entry = core.unreadable(text)
    assert (entry.item if entry else None) == lost
    if lost and lost.to_sequence_number:
        assert entry
        assert entry.after == Position(7, "e")
        assert core.parameters["last_sequence_number"] == "7"


def test_an_event_too_deep_for_this_interpreter_is_a_gap() -> None:
    core = Core("c", position=Position(6, "e"))
    core.begin(connected("e", 6))
    deep = '{"a":' * 20_000 + "1" + "}" * 20_000
    head = '{"type":"a.b","timestamp":"t","sequence_number":7,"data":'
    text = f"{head}{deep}}}"
    with pytest.raises(ProtocolError):
        core.read(text)
    assert core.unreadable(text) == (Gap(7, 7, 1, "undecodable"), Position(7, "e"))


def test_a_connection_resumes_behind_what_was_received_and_a_process_behind_what_was_processed() -> (
    None
):
    core = Core("c", position=Position(0, "e"))
    core.begin(connected("e", 0))
    core.read(event(1))
    core.read(event(2))
    assert core.parameters["last_sequence_number"] == "2"
    assert core.position == Position(0, "e")


def test_a_server_that_is_no_gateway_is_reported_at_once() -> None:
    with pytest.raises(ProtocolError, match="is it a gateway"):
        Core("c").begin('{"type":"hello"}')


def test_a_filter_takes_patterns_and_event_classes() -> None:
    core = Core("c", [WorkflowStarted, "chat.*", GitCommitCreated])
    assert core.parameters["types"] == "workflow.started,chat.*,git.commit_created"
    with pytest.raises(TypeError, match="Position is not an event class"):
        Core("c", [Position])  # type: ignore[list-item]


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_breaks_the_core(text: str) -> None:
    core = Core("c")
    core.begin(connected("e", 0))
    with suppress(ProtocolError):
        core.receive(text)


class Gateway:
    """A gateway as the protocol describes it, that retains and replays very little."""

    RETAINED, REPLAYED = 5, 3

    def __init__(self) -> None:
        self.epoch = 1
        self.head = 0
        self.queue: deque[str] | None = None  # what the client has not received; None: no client

    def publish(self) -> None:
        self.head += 1
        if self.queue is not None:
            self.queue.append(event(self.head))

    def restart(self) -> None:
        self.epoch, self.head, self.queue = self.epoch + 1, 0, None

    def connect(self, parameters: dict[str, str]) -> str:
        self.queue = deque()
        epoch, number = f"e{self.epoch}", int(parameters.get("last_sequence_number", self.head))
        if parameters.get("epoch", epoch) != epoch or number > self.head:
            self.queue.append(gap("epoch_changed"))
            number = 0
        oldest = max(1, self.head - self.RETAINED + 1)
        if number + 1 < oldest:
            self.queue.append(gap("expired", number + 1, oldest - 1))
            number = oldest - 1
        if self.head - number > self.REPLAYED:
            self.queue.append(gap("replay_limit", number + 1, self.head - self.REPLAYED))
            number = self.head - self.REPLAYED
        self.queue.extend(event(missed) for missed in range(number + 1, self.head + 1))
        return connected(epoch, self.head)


@given(st.lists(st.sampled_from(["publish", "publish", "ask", "ask", "cut", "restart", "beat"])))
def test_every_event_comes_once_and_in_order_unless_a_gap_says_so(actions: list[str]) -> None:
    gateway, core = Gateway(), Core("c")
    core.begin(gateway.connect(core.parameters))
    heard: dict[int, list[int]] = {1: []}
    said = {1: set[int]()}

    def ask() -> bool:
        core.processed()
        if gateway.queue is None:
            core.begin(gateway.connect(core.parameters))
        assert gateway.queue is not None
        if not gateway.queue:
            return False
        item = core.receive(gateway.queue.popleft())
        if isinstance(item, Event):
            heard.setdefault(gateway.epoch, []).append(item.sequence_number)
        elif isinstance(item, Gap) and item.to_sequence_number is not None:
            assert item.from_sequence_number is not None
            lost = range(item.from_sequence_number, item.to_sequence_number + 1)
            said.setdefault(gateway.epoch, set()).update(lost)
        elif isinstance(item, Gap):
            heard.setdefault(gateway.epoch, [])
        return True

    for action in actions:
        match action:
            case "publish":
                gateway.publish()
            case "ask":
                ask()
            case "cut":
                gateway.queue = None
            case "restart":
                gateway.restart()
            case "beat" if gateway.queue is not None and not gateway.queue:
                core.processed()
                core.receive(json.dumps({"type": "heartbeat", "sequence_number": gateway.head}))
    while ask():
        pass
    for numbers in heard.values():
        assert numbers == sorted(set(numbers))
    last = gateway.epoch
    assert {*heard[last]} | said.get(last, set()) == {*range(1, gateway.head + 1)}
    assert core.position == Position(gateway.head, f"e{last}")
