"""Spans and log records of OpenTelemetry: what they become, and the sessions that come of it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from sightline_client.sessions import Sessions

from app.catalog.registry import Catalog
from app.ingest import otlp_json
from app.ingest.hooks import MAX_DATA_BYTES, AgentEvent
from app.ingest.otlp import Keyed, Record, Span
from app.ingest.otlp_http import JSON, PROTOBUF, success
from app.ingest.recent import Recent
from app.ingest.telemetry import read_record, read_spans
from tests.kit.examples import up_to
from tests.recordings import HOOK_FILES, OTLP_FILES, events_of, requests_of, telemetry_of
from tests.session_vectors import reduced, steps_from

CLAUDE = (3, 15, 66, 3006, 606, 0.0025056)
# Requests, input, output, read from and written to the cache, cost: as the models served them.
USAGE = {
    "otlp_logs_json": CLAUDE,
    "otlp_details_unredacted": CLAUDE,
    "otlp_logs_permission": CLAUDE,
    "otlp_logs_gzip": CLAUDE,
    "otlp_protobuf": CLAUDE,
    "otlp_traces_nested": (7, 49, 168, 7028, 1428, 0),
    "otlp_logs_two_sessions": (4, 22, 90, 4010, 810, 0.00337),
    "otlp_logs_interactive": (2, 9, 43, 2003, 403, 0.0016558),
    "otlp_logs_resent": (2, 9, 43, 2003, 403, 0.0016558),
    "otlp_logs_api_errors": (2, 11, 45, 2005, 405, 0.001685),
    "otlp_interrupted": (1, 4, 21, 1001, 201, 0.0008206),
    "codex_otlp_logs_json": (3, 3006 - 306, 66, 306, 0, 0),
    "codex_otlp_logs_protobuf": (3, 3006 - 306, 66, 306, 0, 0),
    "python_genai_json": (5, 5015, 115, 0, 0, 0),
    "python_genai_protobuf": (5, 5015, 115, 0, 0, 0),
    "python_openinference_protobuf": (5, 5015 - 515, 115, 515, 0, 0),
}
# The states of the sessions, and of all calls.
STATES = {
    "otlp_logs_json": (["working"], ["failed", "ok"]),
    "otlp_details_unredacted": (["idle"], ["failed", "ok"]),
    "otlp_logs_permission": (["working"], ["denied"]),
    "otlp_logs_interactive": (["working"], ["denied", "ok"]),
    "otlp_logs_api_errors": (["failed"], ["failed", "ok"]),
    "otlp_interrupted": (["idle"], ["unknown"]),
    "otlp_traces_nested": (["idle"], ["failed", "ok", "ok", "ok"]),
    "codex_otlp_logs_json": (["working"], ["failed", "ok"]),
    "python_genai_json": (["idle"], ["failed", "ok", "ok", "ok"]),
    "python_openinference_protobuf": (["idle"], ["failed", "ok", "ok", "ok"]),
}
CATALOG = Catalog()


def sessions_of(events: list[AgentEvent]) -> Any:
    steps = steps_from(events)
    return reduced(steps, 1767225600.0 + len(steps))


def spans_of(name: str) -> list[Span]:
    return [span for _, _, body in requests_of(name) for span in otlp_json.spans(body)]


def family(sessions: Any) -> dict[str, tuple[str, list[str]]]:
    """Of each agent its parent and the tools that it called."""
    (session,) = sessions
    names = {agent["agent_id"]: agent["agent_type"] or "main" for agent in session["agents"]}
    return {
        names[agent["agent_id"]]: (
            f"{agent['parent']} {names[agent['parent_id']]}",
            sorted(call["tool_name"] for call in agent["calls"]),
        )
        for agent in session["agents"]
    }


@pytest.mark.parametrize("name", USAGE)
def test_each_request_to_a_model_is_counted_once(name: str) -> None:
    sums = [0.0] * 6
    for session in sessions_of(telemetry_of(name, with_hooks=False)):
        usage = msgspec.convert(session["usage"], dict[str, float]).values()
        sums = [a + b for a, b in zip(sums, usage, strict=True)]
    assert tuple(round(one, 7) for one in sums) == USAGE[name]


@pytest.mark.parametrize("name", STATES)
def test_calls_end_as_they_did(name: str) -> None:
    sessions = sessions_of(telemetry_of(name, with_hooks=False))
    calls = [c["state"] for s in sessions for agent in s["agents"] for c in agent["calls"]]
    assert ([session["state"] for session in sessions], sorted(calls)) == STATES[name]


@pytest.mark.parametrize("name", sorted({*OTLP_FILES} & {*HOOK_FILES}))
def test_of_a_session_with_hooks_telemetry_adds_the_usage_alone(name: str) -> None:
    (hooks,), (both,) = sessions_of(events_of(name)), sessions_of(telemetry_of(name, True))
    assert hooks["usage"] is None
    assert both["usage"] is not None

    def told(session: Any) -> list[Any]:
        kept = ("agent_id", "parent_id", "parent", "state", "outcome", "turns", "summary", "counts")
        return [session["state"], [[agent[key] for key in kept] for agent in session["agents"]]]

    assert told(both) == told(hooks)


def test_the_agents_of_claude_code_have_their_parents() -> None:
    (session,) = sessions_of(telemetry_of("otlp_traces_nested", with_hooks=False))
    parents = {a["agent_id"]: (a["parent"], a["parent_id"]) for a in session["agents"][1:]}
    lead, reader = "a9dda5871c72b1633", "a868918c3cbff6b4e"
    assert parents == {lead: ("reported", None), reader: ("reported", lead)}


@settings(max_examples=15)
@given(st.permutations(spans_of("python_genai_json")), st.integers(1, 19))
def test_spans_in_any_order_and_any_batches_make_the_same_tree(
    spans: list[Span], size: int
) -> None:
    sessions: dict[str, str] = {}
    early: dict[str, str] = {}
    events = [
        one.event
        for start in range(0, len(spans), size)
        for read in read_spans(spans[start : start + size], sessions, early)
        for one in read
    ]
    found = sessions_of(events)
    assert family(found) == {
        "main": ("None main", []),
        "lead": ("reported main", ["ask_reader", "read_file", "run_tests"]),
        "reader": ("reported lead", ["read_file"]),
    }


def test_a_call_goes_to_its_agent_when_what_lies_between_arrives() -> None:
    spans = {span.span_id: span for span in spans_of("python_genai_json")}
    call, step = spans["b63041969ea42198"], spans["a39ff0a63fb99b2b"]
    agent = spans["ed850f274fcbf798"]
    sessions: dict[str, str] = {}
    events: list[AgentEvent] = []
    owners = []
    for span in (call, agent, step):
        events += [one.event for read in read_spans([span], sessions, {}) for one in read]
        (session,) = sessions_of(events)
        owners.append(
            [a["agent_type"] for a in session["agents"] for c in a["calls"] if c["tool_name"]]
        )
    assert owners == [[None], [None], ["lead"]]


def test_a_trace_stays_in_the_session_of_its_first_request() -> None:
    def span(number: int, **attributes: object) -> Span:
        operation = {"gen_ai.operation.name": "execute_tool", **attributes}
        return Span("t", str(number), "p", "x", "", 1.0, False, "", operation, {})

    sessions: dict[str, str] = {}
    named = span(2, **{"gen_ai.conversation.id": "s"})
    batches = [[span(1), named], [span(3)]]
    found = [
        one.event.data["session_id"]
        for batch in batches
        for read in read_spans(batch, sessions, {})
        for one in read
    ]
    assert found == ["s", "s", "s"]


def test_spans_and_records_of_other_programs_are_ignored() -> None:
    plain = Span("t", "1", "", "GET /", "http", 1.0, True, "", {"http.method": "GET"}, {})
    assert [one for read in read_spans([plain], {}, {}) for one in read] == []
    assert (
        read_record(Record("my.app", 1, {"event.name": "api_request", "session.id": "s"}, {})) == []
    )


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=9)
    | st.sampled_from(["{}", '{"command": 3}', '[{"parts": [{"content": "x"}]}]', "[" * 99_999]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = sorted(
    {
        key
        for name in OTLP_FILES
        for path, headers, body in requests_of(name)
        if headers == {"content-type": JSON} and path != "/v1/metrics"
        for one in (otlp_json.spans(body) if path == "/v1/traces" else otlp_json.records(body))
        for key in one.attributes
    }
)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), ANY, max_size=8)
KINDS = st.sampled_from(
    [
        *({"event.name": name} for name in ("api_request", "tool_result", "tool_decision")),
        *({"event.name": name} for name in ("user_prompt", "assistant_response", "api_error")),
        *({"event.name": f"codex.{name}"} for name in ("tool_result", "user_prompt", "sse_event")),
        *({"span.type": name} for name in ("tool", "interaction", "llm_request", "tool.execution")),
        *({"gen_ai.operation.name": name} for name in ("invoke_agent", "execute_tool", "chat")),
    ]
)
SCOPES = ["com.anthropic.claude_code.events", "com.anthropic.claude_code.tracing", "codex_otel", ""]
SESSION = {"session.id": "s", "conversation.id": "s", "event.kind": "response.completed"}


@settings(max_examples=up_to(60))
@given(ATTRIBUTES, KINDS, st.booleans(), st.sampled_from(SCOPES), st.booleans())
def test_the_catalog_takes_every_event_of_any_telemetry(
    attributes: dict[str, Any], kind: dict[str, Any], in_session: bool, scope: str, failed: bool
) -> None:
    fields = {**attributes, **(SESSION if in_session else {}), **kind}
    span = Span("t", "1", "", "x", scope, 1.0, failed, "", fields, {"service.name": "\ud800"})
    below = span._replace(span_id="2", parent_id="1")
    read = [*read_spans([below, span], {}, {}), read_record(Record(scope, 1, fields, {}))]
    for event, key in (one for some in read for one in some):
        CATALOG.check(event.type, msgspec.json.decode(msgspec.json.encode(event.data)))
        assert len(msgspec.json.encode(event.data)) <= MAX_DATA_BYTES
        assert len(msgspec.json.encode(event.metadata)) < 1024
        assert len(key) == 64


def test_a_key_is_the_same_each_time_and_another_for_each_event() -> None:
    for name in OTLP_FILES:
        keys = [keys_of(name), keys_of(name)]
        assert keys[0] == keys[1]
        if name != "otlp_logs_resent":
            assert len({*keys[0]}) == len(keys[0])


def keys_of(name: str) -> list[str]:
    sessions: dict[str, str] = {}
    found: list[Keyed] = []
    for path, headers, body in requests_of(name):
        if headers == {"content-type": JSON}:
            if path == "/v1/traces":
                found += [o for r in read_spans(otlp_json.spans(body), sessions, {}) for o in r]
            elif path == "/v1/logs":
                found += [o for record in otlp_json.records(body) for o in read_record(record)]
    return [one.key for one in found]


def test_a_partial_success_says_how_many_and_why_in_both_formats() -> None:
    partial = {"rejectedLogRecords": "300", "errorMessage": "é" * 200}
    assert msgspec.json.decode(success("logs", JSON, 300, "é" * 200)) == {"partialSuccess": partial}
    answer = ExportLogsServiceResponse.FromString(success("logs", PROTOBUF, 300, "é" * 200))
    found = answer.partial_success
    assert (found.rejected_log_records, found.error_message) == (300, "é" * 200)
    assert success("logs", PROTOBUF) == b""


def test_half_a_character_and_null_and_texts_of_numbers_are_read() -> None:
    body = b"""{"resourceLogs": [{"resource": null, "scopeLogs": [{"logRecords": [{"body": null,
        "timeUnixNano": "7", "attributes": [{"key": "a", "value": {"stringValue": "x\\ud83d"}},
        {"key": "b", "value": {"intValue": "-3"}}, {"key": "c", "value": null},
        {"key": "d", "value": {"doubleValue": "NaN"}}], "unknown": {}}]}]}]}"""
    (record,) = otlp_json.records(body)
    assert record.time == 7
    assert {**record.attributes, "d": None} == {"a": "x\ud83d", "b": -3, "c": None, "d": None}


def test_what_was_received_lately_is_bounded_and_the_latest_stay() -> None:
    recent = Recent(2)
    for key in "abac":
        recent[key] = ""
    assert list(recent) == ["a", "c"]


def test_sessions_stay_bounded_however_many_spans_arrive() -> None:
    sessions = Sessions()
    for number in range(6_000):
        data = {"session_id": "s", "kind": "spans", "spans": {str(number): str(number + 1)}}
        sessions.apply("agent.reported", data, "2026-01-01T00:00:00Z", {}, number + 1)
    assert len(sessions._sessions["s"].spans) == 5_000
