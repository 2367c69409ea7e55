"""OpenTelemetry over HTTP, to a real gateway: from the official SDKs, from recordings, and from strangers."""

import asyncio
import gzip
import json
import os
import shutil
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings, strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from sightline_client.sessions import Sessions

from app.auth.proof import hook_token
from app.ingest.otlp_http import JSON, MAX_BYTES, PROTOBUF
from tests.kit.gateway import Gateway, Start, url
from tests.kit.hooks import ROUTES, retained
from tests.kit.http import TOKEN
from tests.kit.waiting import WATCHDOG_S
from tests.recordings import OTLP_FILES, hooks_of, requests_of
from tests.redaction.secrets import forms

PROGRAMS = Path(__file__).parent.parent / "otlp"
SPAN = {"traceId": "a1" * 16, "spanId": "b2" * 8, "name": "execute_tool x", "attributes": []}
TOOL = {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}}


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def tool_span(number: int) -> dict[str, Any]:
    return {**SPAN, "spanId": f"{number:016x}", "parentSpanId": "f" * 16, "attributes": [TOOL]}


async def seen(gateway: Gateway) -> dict[str, Any]:
    sessions = Sessions()
    for event in await retained(gateway):
        sessions.apply(
            *(event[name] for name in ("type", "data", "timestamp", "metadata")),
            event["sequence_number"],
        )
    return {view.session_id: view for view in sessions.view(0)}


async def run(gateway: Gateway, *command: str, **more: str) -> None:
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url(gateway),
        "OTEL_EXPORTER_OTLP_HEADERS": f"X-Session-Token={TOKEN}",
        "SESSION": "s-1",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=PROGRAMS, env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), WATCHDOG_S)
    assert (process.returncode, err.decode()) == (0, "")


def check_tree(view: Any) -> None:
    main, reader = view.agents
    assert (main.agent_id, main.outcome, [c.tool_name for c in main.calls]) == (
        None,
        "ok",
        ["ask_reader"],
    )
    assert (reader.agent_type, reader.parent, reader.parent_id) == ("reader", "reported", None)
    assert main.calls[0].child_id == reader.agent_id
    (read,) = reader.calls
    assert (read.tool_name, read.state, read.error) == ("read_file", "failed", "no such file")
    assert (view.usage.requests, view.usage.input_tokens, view.usage.output_tokens) == (1, 12, 3)


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_the_python_sdk_needs_an_endpoint_and_headers_alone(
    gateway: Gateway, compression: str
) -> None:
    program = str(PROGRAMS / "send.py")
    await run(gateway, sys.executable, program, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    found = await seen(gateway)
    check_tree(found["s-1"])
    assert found["s-1-logs"].usage.cost_usd == 0.5


@pytest.mark.slow
async def test_the_javascript_sdk_needs_an_endpoint_and_headers_alone(start: Start) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node 20 or newer, with npm")
    if not (PROGRAMS / "node_modules" / "@opentelemetry" / "sdk-trace-base").is_dir():
        install = ("npm", "install", "--no-save", "--no-package-lock", "--silent")
        process = await asyncio.create_subprocess_exec(*install, cwd=PROGRAMS)
        if await process.wait():
            pytest.skip("npm could not install the SDK")
    gateway = await start()
    for format_ in ("json", "protobuf"):
        for compression in ("none", "gzip"):
            session = f"{format_}-{compression}"
            options = {"FORMAT": format_, "OTEL_EXPORTER_OTLP_COMPRESSION": compression}
            await run(gateway, "node", "send.js", SESSION=session, **options)
            check_tree((await seen(gateway))[session])


@pytest.mark.parametrize("name", ["otlp_logs_json", "otlp_traces_nested", "python_genai_protobuf"])
async def test_a_batch_that_is_sent_again_publishes_nothing(gateway: Gateway, name: str) -> None:
    heads: list[int] = []
    async with gateway.http() as http:
        for _ in range(2):
            for path, headers, body in requests_of(name):
                answer = await http.post(path, content=body, headers=headers)
                assert answer.status_code == 200, answer.text
                assert answer.headers["content-type"] == headers["content-type"]
                assert answer.content in (b"", b"{}")
            heads.append(gateway.bus.head)
    assert heads[0] == heads[1] > 0


async def test_every_recorded_request_is_taken(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for name in OTLP_FILES:
            for path, headers, body in requests_of(name):
                answer = await http.post(path, content=body, headers=headers)
                assert (answer.status_code, answer.content) in ((200, b""), (200, b"{}")), name


async def test_of_a_session_with_hooks_telemetry_gives_the_usage_alone(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for path, body in hooks_of("otlp_logs_json"):
            await http.post(ROUTES[path], json=body)
        for path, headers, sent in requests_of("otlp_logs_json"):
            await http.post(path, content=sent, headers=headers)
    events = [event for event in await retained(gateway) if "otlp" in event["metadata"]]
    assert {event["type"] for event in events} == {"agent.usage_reported"}
    (view,) = (await seen(gateway)).values()
    assert (view.usage.requests, view.usage.input_tokens, view.usage.output_tokens) == (3, 15, 66)
    assert [call.state for call in view.agents[0].calls] == ["ok", "failed"]


async def test_a_batch_whose_events_could_not_be_stored_is_sent_again(gateway: Gateway) -> None:
    publish_all = gateway.publisher.publish_all

    async def fail(*args: Any, **options: Any) -> None:
        raise OSError

    gateway.publisher.publish_all = fail
    async with gateway.http() as http:
        answer = await http.post("/v1/traces", json=traces(tool_span(1)))
        assert (answer.status_code, answer.json()["code"]) == (500, 13)
        gateway.publisher.publish_all = publish_all
        assert (await http.post("/v1/traces", json=traces(tool_span(1)))).status_code == 200
    assert gateway.bus.head == 1


async def test_over_the_bound_of_events_the_rest_is_a_partial_success(gateway: Gateway) -> None:
    body = traces(*(tool_span(number) for number in range(1, 1004)), {"name": "no ids"})
    async with gateway.http() as http:
        answer = (await http.post("/v1/traces", json=body)).json()["partialSuccess"]
        assert answer["rejectedSpans"] == "4"
        assert "1000 events" in answer["errorMessage"]
        assert gateway.bus.head == 1000
        nameless = ExportTraceServiceRequest()
        nameless.resource_spans.add().scope_spans.add().spans.add(name="no ids")
        raw = await post(http, "/v1/traces", nameless)
    partial = ExportTraceServiceResponse.FromString(raw.content).partial_success
    assert (partial.rejected_spans, partial.error_message) == (
        1,
        "a span without traceId or spanId",
    )


async def post(http: httpx.AsyncClient, path: str, message: Message) -> httpx.Response:
    headers = {"content-type": PROTOBUF}
    return await http.post(path, content=message.SerializeToString(), headers=headers)


async def test_a_body_of_4_mib_is_taken_and_one_byte_more_is_not(gateway: Gateway) -> None:
    body = json.dumps(traces(tool_span(1))).encode()
    whole = body + b" " * (MAX_BYTES - len(body))
    packed = {"content-type": JSON, "content-encoding": "gzip"}
    async with gateway.http(headers={"X-Session-Token": TOKEN, "content-type": JSON}) as http:
        assert (await http.post("/v1/traces", content=whole)).status_code == 200
        assert (await http.post("/v1/traces", content=whole + b" ")).status_code == 413
        small = gzip.compress(whole, mtime=0)
        assert (await http.post("/v1/traces", content=small, headers=packed)).status_code == 200
        for size in (MAX_BYTES + 1, 10 * MAX_BYTES):
            bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
            sent = b"".join(
                [
                    *(bomb.compress(bytes(MAX_BYTES)) for _ in range(size // MAX_BYTES)),
                    bomb.compress(b" "),
                    bomb.flush(),
                ]
            )
            answer = await http.post("/v1/traces", content=sent, headers=packed)
            assert (answer.status_code, answer.json()["code"]) == (413, 8)
            assert f"over {MAX_BYTES} bytes" in answer.json()["message"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        ({"content-type": JSON}, b"{", 400, "Expecting property name"),
        ({"content-type": JSON}, b'{"resourceSpans": 3}', 400, "resourceSpans"),
        (
            {"content-type": JSON},
            json.dumps(traces({**SPAN, "traceId": "xy"})).encode(),
            400,
            "'xy'",
        ),
        ({"content-type": JSON}, b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, "nested 5000 deep"),
        ({"content-type": PROTOBUF}, b"\xff", 400, "not OTLP as protobuf"),
        ({"content-type": "text/plain"}, b"", 415, PROTOBUF),
        ({"content-type": JSON, "content-encoding": "br"}, b"{}", 415, "gzip"),
        ({"content-type": JSON, "content-encoding": "gzip"}, b"{}", 400, "not gzip"),
        (
            {"content-type": JSON, "content-encoding": "gzip"},
            gzip.compress(b"{}", mtime=0)[:-1],
            400,
            "cut short",
        ),
        (
            {"content-type": JSON, "content-encoding": "gzip"},
            gzip.compress(b"{}", mtime=0) * 2,
            400,
            "goes on",
        ),
        ({"content-type": JSON, "X-Session-Token": "wrong"}, b"{}", 401, "token"),
    ],
)
async def test_a_refusal_is_a_status_in_the_format_of_the_request(
    gateway: Gateway, headers: dict[str, str], body: bytes, status: int, message: str
) -> None:
    async with gateway.http(headers={"X-Session-Token": TOKEN, **headers}) as http:
        answer = await http.post("/v1/traces", content=body)
    assert answer.status_code == status
    if headers["content-type"] == JSON:
        assert answer.headers["content-type"] == JSON
        assert isinstance(answer.json()["code"], int)
        assert message in answer.json()["message"]
    else:
        assert answer.headers["content-type"] == PROTOBUF
        assert answer.content[0] == 8
        assert message.encode() in answer.content


async def test_without_the_extra_protobuf_is_a_415_that_names_it_and_json_works(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "app.ingest.otlp_protobuf", None)
    monkeypatch.delattr("app.ingest.otlp_protobuf", raising=False)
    async with gateway.http() as http:
        answer = await post(http, "/v1/traces", ExportTraceServiceRequest())
        assert answer.status_code == 415
        assert b"pip install 'sightline-gateway[otlp]'" in answer.content
        assert (await http.post("/v1/traces", json=traces())).json() == {}


async def test_the_hook_token_and_metrics_are_taken(gateway: Gateway) -> None:
    async with gateway.http(headers={"Authorization": f"Bearer {hook_token(TOKEN)}"}) as http:
        for path in ("/v1/traces", "/v1/logs", "/v1/metrics"):
            answer = await http.post(path, json={})
            assert (answer.status_code, answer.json()) == (200, {})
    async with gateway.http(headers={}) as http:
        assert (await http.post("/v1/metrics", json={})).status_code == 401


TEXT = st.text(max_size=5) | st.sampled_from(
    ["invoke_agent", "execute_tool", "chat", "s", "{}", "[]"]
)
VALUE = st.recursive(
    st.none()
    | st.fixed_dictionaries({}, optional={"stringValue": TEXT, "boolValue": st.booleans()})
    | st.fixed_dictionaries({"intValue": st.integers() | TEXT})
    | st.fixed_dictionaries({"doubleValue": st.floats() | TEXT}),
    lambda inner: st.fixed_dictionaries(
        {"arrayValue": st.fixed_dictionaries({"values": st.lists(inner, max_size=2)})}
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        *("gen_ai.operation.name", "session.id", "event.name", "conversation.id", "span.type"),
        *("gen_ai.usage.input_tokens", "input_tokens", "agent_id", "parent_agent_id", "request_id"),
        *("gen_ai.tool.call.arguments", "tool_input", "gen_ai.input.messages", "duration_ms"),
        *("tool_name", "response", "service.name"),
    ]
)
ATTRIBUTE = st.fixed_dictionaries({"key": KEYS, "value": VALUE})
NAMED = st.sampled_from(
    [
        ("event.name", name)
        for name in ("api_request", "tool_result", "tool_decision", "user_prompt", "api_error")
    ]
    + [
        ("event.name", name)
        for name in ("assistant_response", "subagent_completed", "codex.sse_event")
    ]
    + [("span.type", name) for name in ("tool", "interaction", "llm_request", "tool.execution")]
    + [("gen_ai.operation.name", name) for name in ("invoke_agent", "execute_tool", "chat")]
).map(lambda pair: {"key": pair[0], "value": {"stringValue": pair[1]}})
OF_SESSION = [
    {"key": key, "value": {"stringValue": "s"}} for key in ("session.id", "conversation.id")
]
ATTRIBUTES = st.builds(
    lambda more, named: [*OF_SESSION, *more, named], st.lists(ATTRIBUTE, max_size=6), NAMED
)
ID = st.sampled_from(["", "aa", "bb", "cc"])
TIME = st.integers(0, 2**64) | st.integers(0, 9).map(str) | TEXT
SCOPE = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            [
                "com.anthropic.claude_code.events",
                "com.anthropic.claude_code.tracing",
                "codex_otel.log_only",
                "",
            ]
        )
    }
)
ITEM = st.fixed_dictionaries(
    {"attributes": ATTRIBUTES},
    optional={
        **{
            "traceId": ID,
            "spanId": ID,
            "parentSpanId": ID,
            "name": TEXT,
            "startTimeUnixNano": TIME,
        },
        **{"endTimeUnixNano": TIME, "timeUnixNano": TIME, "flags": st.sampled_from([0, 0x300])},
        "status": st.fixed_dictionaries({}, optional={"code": st.integers(0, 2), "message": TEXT}),
    },
)


def request_of(scope: Any, items: list[Any]) -> dict[str, Any]:
    return {
        "resourceSpans": [{"scopeSpans": [{"scope": scope, "spans": items}]}],
        "resourceLogs": [{"scopeLogs": [{"scope": scope, "logRecords": items}]}],
    }


REQUEST = st.builds(request_of, SCOPE, st.lists(ITEM, max_size=3))
BODY = st.one_of(
    st.tuples(st.just(JSON), REQUEST.map(lambda body: json.dumps(body).encode())),
    st.tuples(st.just(JSON), st.binary(max_size=30)),
    st.tuples(st.just(PROTOBUF), st.binary(max_size=60)),
    st.tuples(st.sampled_from(["", "text/plain", "a"]), st.binary(max_size=9)),
)


@pytest.mark.slow
async def test_whatever_is_posted_is_taken_or_refused_as_the_specification_says(
    gateway: Gateway,
) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
    @given(
        st.sampled_from(["/v1/traces", "/v1/logs", "/v1/metrics"]),
        BODY,
        st.sampled_from(["", "gzip"]),
    )
    def check(path: str, sent: tuple[str, bytes], encoding: str) -> None:
        content_type, body = sent
        headers = (
            {"content-type": content_type, "content-encoding": encoding}
            if encoding
            else {"content-type": content_type}
        )
        body = gzip.compress(body, mtime=0) if encoding else body
        sending = http.post(path, content=body, headers=headers)
        answer = asyncio.run_coroutine_threadsafe(sending, loop).result(WATCHDOG_S)
        assert answer.status_code in (200, 400, 415), answer.text
        if answer.status_code == 200 and content_type == JSON:
            assert (
                answer.json() == {}
                or "span without" in answer.json()["partialSuccess"]["errorMessage"]
            )
        elif answer.status_code == 200:
            response = (
                ExportLogsServiceResponse if path == "/v1/logs" else ExportTraceServiceResponse
            )
            response.FromString(answer.content)
        elif content_type == JSON:
            assert set(answer.json()) == {"code", "message"}

    async with gateway.http() as http:
        await asyncio.to_thread(check)
    assert gateway.publisher.emit_failures == 0


async def test_requests_are_read_in_a_thread_one_at_a_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops, most, reading = threading.get_ident(), [], []

    def slowly(body: bytes, encoding: str) -> bytes:
        assert threading.get_ident() != loops
        reading.append(body)
        most.append(len(reading))
        time.sleep(0.01)
        reading.pop()
        return body

    monkeypatch.setattr("app.api.otlp.decompress", slowly)
    async with gateway.http() as http:
        posts = (http.post("/v1/traces", json=traces(tool_span(n + 1))) for n in range(5))
        answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {200}
    assert most == [1] * 5
    assert gateway.bus.head == 5


async def test_no_beginning_of_a_secret_stays_where_a_text_of_a_span_is_cut(
    gateway: Gateway,
) -> None:
    form = forms(8)[0]
    span = {
        **tool_span(1),
        "status": {
            "code": 2,
            "message": f"{'x' * 3985} {form.text}",
        },
    }
    async with gateway.http() as http:
        assert (await http.post("/v1/traces", json=traces(span))).status_code == 200
        seen = (await http.get("/api/events")).content
    assert b"x" * 3000 in seen
    assert form.secret[:10].encode() not in seen
