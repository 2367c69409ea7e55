"""AG-UI: every session is a stream that the official client takes, wherever a client was cut off."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from app.channels.filters import EventFilter
from app.errors import BadRequestError
from app.events import Position
from app.journal.history import Page, Question
from app.ws.agui import run
from app.ws.agui.ids import EventId, last_event_id
from app.ws.agui.reading import ThreadReader
from app.ws.agui.stream import ThreadStream
from app.ws.agui.thread import Message
from tests.kit import sessions
from tests.kit.agent_streams import STREAM, numbered
from tests.kit.agui import Numbered, verified
from tests.recordings import HOOK_FILES, OTLP_FILES
from tests.session_vectors import Step, steps_of, steps_of_telemetry
from tests.support import EPOCH, FakeClock, make_bus, publish

SESSION = "s"
RECORDED = [(name, steps_of) for name in HOOK_FILES]
RECORDED += [(name, steps_of_telemetry) for name in OTLP_FILES]


def sessions_of(steps: list[Step]) -> dict[str, list[Message]]:
    """The events of each session of a stream."""
    found: dict[str, list[Message]] = {}
    for step in steps:
        if "type" in step and isinstance(session_id := step["data"].get("session_id"), str):
            found.setdefault(session_id, []).append(msgspec.convert(step, Message))
    return found


def translated(
    messages: list[Message], behind: str | None = None, whole: bool = True
) -> list[Numbered]:
    """What a client gets that was behind this id."""
    sought = last_event_id([] if behind is None else [(b"Last-Event-ID", behind.encode())])
    stream = ThreadStream(SESSION, sought, whole=whole)
    found = [one for message in messages for one in stream.event("e", message)]
    rest = stream.end_of_history()
    if rest is None:
        found += stream.begin_again()
        found += [one for message in messages for one in stream.event("e", message)]
    return found + (rest or [])


def events_of(written: list[Numbered]) -> list[dict[str, Any]]:
    return [event for _, event in written]


def test_a_turn_without_end_is_several_runs_so_that_a_reader_holds_few_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "MAX_NAMES", 20)
    steps = [("turn_started", {"prompt": "go"})]
    for number in range(100):
        steps += [("turn_started", {"agent_id": "a"}), ("turn_finished", {"agent_id": "a"})]
        steps += [("message", {"content": "x", "message_id": f"m{number % 7}", "agent_id": "b"})]
    messages = [
        msgspec.convert(sessions.step(number, type_, **data), Message)
        for number, (type_, data) in enumerate(steps, 1)
    ]
    found = events_of(translated(messages))
    verified(found)
    begun = [event["subagentRunId"] for event in found if event["type"] == "SUBAGENT_STARTED"]
    assert begun.count("a#5") == sum(event["type"] == "RUN_STARTED" for event in found) - 1 > 5


class Counting(set[str]):
    """Counts how often something is looked for in it."""

    asked = 0

    def __contains__(self, one: object) -> bool:
        self.asked += 1
        return super().__contains__(one)


def test_a_name_for_a_further_run_of_an_agent_is_not_searched() -> None:
    writer = run.RunWriter(SESSION)
    writer.start()
    assert writer._run is not None
    names = writer._run.names = Counting()
    for _ in range(1000):
        writer.start_agent("a", "reader", None, None)
        writer.end_agent("a")
    assert (len(names), names.asked) == (1000, 1000)


@pytest.mark.parametrize(("name", "read"), RECORDED)
def test_a_recorded_session_is_taken_by_the_client_and_resumes_exactly_from_every_id(
    name: str, read: Any
) -> None:
    for messages in sessions_of(read(name)).values():
        whole = translated(messages)
        verified(events_of(whole))
        assert len({id_ for id_, _ in whole}) == len(whole)
        for index, (id_, _) in enumerate(whole):
            assert translated(messages, id_) == whole[index + 1 :], id_


@given(STREAM, st.data())
def test_whatever_arrives_is_taken_by_the_client_and_resumes_exactly(
    stream: list[Any], data: st.DataObject
) -> None:
    for messages in sessions_of(numbered(stream)).values():
        whole = translated(messages)
        verified(events_of(whole))
        if whole:
            index = data.draw(st.integers(0, len(whole) - 1))
            assert translated(messages, whole[index][0]) == whole[index + 1 :]


@given(st.sampled_from(HOOK_FILES), st.data())
def test_where_the_beginning_was_deleted_or_events_were_lost_the_run_ends_with_an_error(
    name: str, data: st.DataObject
) -> None:
    for messages in sessions_of(steps_of(name)).values():
        whole = translated(messages)
        index = data.draw(st.integers(0, len(whole) - 1))
        left = data.draw(st.integers(0, len(messages)))
        again = translated(messages[left:], whole[index][0], whole=left == 0)
        verified(events_of(whole[: index + 1]) + events_of(again))


@given(st.sampled_from(HOOK_FILES), st.data())
def test_a_loss_in_the_middle_is_taken_by_the_client(name: str, data: st.DataObject) -> None:
    for messages in sessions_of(steps_of(name)).values():
        begin = data.draw(st.integers(0, len(messages)))
        end = data.draw(st.integers(begin, len(messages)))
        stream = ThreadStream(SESSION, None, whole=True)
        found = [one for message in messages[:begin] for one in stream.event("e", message)]
        found += stream.lost(Position(begin, "e"))
        found += [one for message in messages[end:] for one in stream.event("e", message)]
        verified(events_of(found))
        # The loss is in the journal too, so a client that comes back cannot go on exactly.
        index = data.draw(st.integers(0, max(0, len(found) - 1)))
        if found:
            again = ThreadStream(
                SESSION, last_event_id([(b"last-event-id", found[index][0].encode())]), whole=True
            )
            rest = [one for message in messages[:begin] for one in again.event("e", message)]
            rest += again.lost(Position(begin, "e"))
            rest += [one for message in messages[end:] for one in again.event("e", message)]
            rest += again.end_of_history() or []
            verified(events_of(found[: index + 1]) + events_of(rest))


@given(st.sampled_from(HOOK_FILES), st.data())
def test_what_a_client_saw_live_and_the_journal_lost_ends_its_run(
    name: str, data: st.DataObject
) -> None:
    for messages in sessions_of(steps_of(name)).values():
        found = translated(messages)
        index = data.draw(st.integers(0, len(found) - 1))
        begin = data.draw(st.integers(0, len(messages)))
        end = data.draw(st.integers(begin, len(messages)))
        behind = last_event_id([(b"last-event-id", found[index][0].encode())])
        again = ThreadStream(SESSION, behind, whole=True)
        rest = [one for message in messages[:begin] for one in again.event("e", message)]
        rest += again.lost(Position(begin, "e"))
        rest += [one for message in messages[end:] for one in again.event("e", message)]
        if (more := again.end_of_history()) is None:
            more = again.begin_again()
        verified(events_of(found[: index + 1] + rest + more))


class SlowJournal:
    """A journal that has stored an event only once somebody waits for it."""

    start = None

    def __init__(self, messages: list[bytes]) -> None:
        self._messages, self._stored = messages, 1

    async def page(self, question: Question) -> Page:
        after = 0 if question.after is None else question.after.sequence_number
        return Page(EPOCH, self._messages[after : self._stored], self._stored)

    async def stored(self, number: int) -> None:
        self._stored = number


async def test_what_the_journal_has_not_stored_yet_is_waited_for_and_is_no_loss() -> None:
    bus = make_bus(FakeClock(), max_events=2)
    data = msgspec.json.encode({"session_id": SESSION})
    events = publish(bus, *["agent.message"] * 9, data=data)
    slow: Any = SlowJournal([event.encoded for event in events])
    reader = ThreadReader(SESSION, bus, bus._store, slow, EventFilter(("agent.*",)))
    found = [item async for item in reader.behind(None)]
    assert [item[1].sequence_number for item in found if isinstance(item, tuple)] == [*range(1, 10)]
    assert len(found) == 9


def types_of(name: str) -> list[str]:
    (messages,) = sessions_of(steps_of(name)).values()
    return [event["type"] for event in events_of(translated(messages))]


def test_a_turn_is_a_run_with_its_prompt_its_calls_and_its_answer() -> None:
    types = [type_ for type_ in types_of("simple") if type_ != "CUSTOM"]
    text = ("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END")
    run = types[types.index("TEXT_MESSAGE_START") - 1 :]
    assert run[: run.index("RUN_FINISHED") + 1] == [
        "RUN_STARTED",
        *text,
        *text,
        *("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"),
        *text,
        "RUN_FINISHED",
    ]


def results_of(name: str) -> list[str]:
    (messages,) = sessions_of(steps_of(name)).values()
    events = events_of(translated(messages))
    return [one["metadata"]["outcome"] for one in events if one["type"] == "TOOL_CALL_RESULT"]


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("simple", ["ok"]),
        ("tool_fails", ["failed", "failed", "failed"]),
        ("permission_denied", ["denied"]),
        ("hook_denied", ["denied"]),
        ("interrupt_esc", ["interrupted"]),
        ("interrupted_sigint", ["interrupted"]),
        ("interrupted_sigkill", []),  # nothing came after the call
    ],
)
def test_a_call_without_an_end_gets_a_result_from_what_came_later(
    name: str, outcomes: list[str]
) -> None:
    assert results_of(name) == outcomes


def test_a_failed_turn_is_a_failed_run() -> None:
    assert "RUN_ERROR" in types_of("api_error_401")


def test_sub_agents_are_named_with_their_parents() -> None:
    (messages,) = sessions_of(steps_of("nested_background")).values()
    events = events_of(translated(messages))
    started = [event for event in events if event["type"] == "SUBAGENT_STARTED"]
    child = next(event for event in started if "parentSubagentRunId" in event)
    assert child["parentSubagentRunId"] == started[0]["subagentRunId"]
    assert child["parentToolCallId"] in [event.get("toolCallId") for event in events]


def test_two_agents_with_one_message_id_have_two_messages() -> None:
    fields = {"session_id": SESSION, "message_id": "m", "content": "x"}
    messages = [
        Message("agent.message", "", number, {**fields, **more}, {})
        for number, more in enumerate(({}, {"agent_id": "a"}, {}, {"agent_id": "a"}), 1)
    ]
    events = events_of(translated(messages))
    verified(events)
    starts = [event for event in events if event["type"] == "TEXT_MESSAGE_START"]
    assert len({event["messageId"] for event in starts}) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e.1:7", EventId(Position(7, "e.1"))),
        ("e:7.2", EventId(Position(7, "e"), 2)),
        ("e:7!", EventId(Position(7, "e"), None, True)),
    ],
)
def test_an_id_is_read_as_it_was_written(text: str, expected: EventId) -> None:
    assert last_event_id([(b"Last-Event-ID", text.encode())]) == expected


@pytest.mark.parametrize("text", ["", "7", "e:", "e:7.", "e:x", "e:-1", "e:7!!", "é:1", "e:9" * 9])
def test_another_id_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(BadRequestError, match="Last-Event-ID"):
        last_event_id([(b"last-event-id", text.encode("latin-1"))])
