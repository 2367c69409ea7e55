"""Spans of the GenAI conventions, of older names and of OpenInference as events. Pure.

A span is sent when it has ended, and its parent after it. So a call is attributed to its agent by
`span_id` and `parent_span_id`, by a reader of all events: see `sightline_client.sessions`.
"""

import json
from collections.abc import Iterable, Iterator, MutableMapping

from .hooks import Fields, one_line, summary_of
from .otlp import Keyed, Span, count_of, event_of, key_of, object_of, text_of

_KINDS = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "llm.request.type",
)
_OPERATIONS = {
    **dict.fromkeys(("invoke_agent", "agent"), "agent"),
    **dict.fromkeys(("execute_tool", "tool"), "tool"),
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion", "llm"), "model"),
}
_SESSION = (
    *("session.id", "gen_ai.conversation.id", "langfuse.session.id"),
    *("traceloop.association.properties.session_id", "thread.id"),
)
_MODEL = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.request.model")
_AGENT = ("gen_ai.agent.name", "agent.name", "traceloop.entity.name")
_TOOL = ("gen_ai.tool.name", "tool.name", "tool_call.function.name", "traceloop.entity.name")
_CALL_ID = ("gen_ai.tool.call.id", "tool_call.id", "tool.id")
_ARGUMENTS = ("gen_ai.tool.call.arguments", "tool_call.function.arguments", "input.value")
_ASKED = ("gen_ai.input.messages", "gen_ai.prompt", "input.value")
_ANSWERED = ("gen_ai.output.messages", "gen_ai.completion", "output.value")
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "llm.token_count.completion",
)
_CACHE_READ = (
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_WRITE = (
    *("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
    "llm.token_count.prompt_details.cache_write",
)
MAX_LINKS = 100  # in one event


def read_spans(spans: Iterable[Span], sessions: MutableMapping[str, str]) -> Iterator[list[Keyed]]:
    """The events of each span of one request; none for those of traces without an agent.

    `sessions` has the session of each trace in which an agent, a tool or a model was seen. It is
    decided by the first request that names the trace, as not each span names its session.
    """
    spans = list(spans)
    for span in spans:
        if _operation(span) and (named := text_of(span.attributes, *_SESSION)):
            sessions.setdefault(span.trace_id, named)
    for span in spans:
        if _operation(span):
            sessions.setdefault(span.trace_id, span.trace_id)
    links: dict[str, dict[str, str]] = {}
    for span in spans:
        session_id = sessions.get(span.trace_id)
        if session_id is None:
            yield []
            continue
        if not span.is_root and _operation(span) not in ("agent", "tool"):
            links.setdefault(span.trace_id, {})[span.span_id] = span.parent_id
        yield list(_read(span, session_id))
    for trace_id, found in links.items():
        resource = next(span.resource for span in spans if span.trace_id == trace_id)
        pairs = list(found.items())
        for start in range(0, len(pairs), MAX_LINKS):
            some = dict(pairs[start : start + MAX_LINKS])
            fields: Fields = {"session_id": sessions[trace_id], "kind": "spans", "spans": some}
            event = event_of("agent.reported", fields, *_program(resource), "traces")
            yield [Keyed(event, key_of("links", trace_id, some))]


def _operation(span: Span) -> str | None:
    for name in _KINDS:
        if kind := text_of(span.attributes, name):
            return _OPERATIONS.get(kind.lower())
    return None


def _program(resource: Fields) -> tuple[str, str]:
    name = text_of(resource, "service.name") or "unknown_service"
    return name, name


def _read(span: Span, session_id: str) -> Iterator[Keyed]:
    operation = _operation(span)
    common: Fields = {
        "session_id": session_id,
        "model": text_of(span.attributes, *_MODEL),
        "span_id": span.span_id,
        "parent_span_id": None if span.is_root else span.parent_id,
    }
    events: list[tuple[str, Fields]] = []
    if operation == "model" and span.failed:
        failure: Fields = {"kind": "model_error", "details": {"error": _error(span)}}
        events.append(("agent.reported", failure))
    elif operation == "model":
        events.append(("agent.usage_reported", _usage(span)))
    if operation == "tool":
        events.append(("agent.tool_finished", _call(span)))
    if operation == "agent" or span.is_root:  # the root is the turn of the main agent
        events += _turn(span, operation == "agent")
    for type_, fields in events:
        event = event_of(type_, {**common, **fields}, *_program(span.resource), "traces")
        yield Keyed(event, key_of("span", span.trace_id, span.span_id, type_))


def _usage(span: Span) -> Fields:
    attributes = span.attributes
    total = count_of(attributes, *_INPUT)
    read, written = count_of(attributes, *_CACHE_READ), count_of(attributes, *_CACHE_WRITE)
    return {
        # Two instrumentations of one request name the same response.
        "request_id": text_of(attributes, "gen_ai.response.id") or span.span_id,
        "usage_source": "spans",
        "input_tokens": None if total is None else max(total - (read or 0) - (written or 0), 0),
        "output_tokens": count_of(attributes, *_OUTPUT),
        "cache_read_tokens": read,
        "cache_creation_tokens": written,
        "duration_ms": span.duration_ms,
    }


def _call(span: Span) -> Fields:
    tool_input = object_of(span.attributes, *_ARGUMENTS)
    return {
        "tool_name": text_of(span.attributes, *_TOOL) or one_line(span.name) or "unknown",
        "tool_use_id": text_of(span.attributes, *_CALL_ID) or span.span_id,
        "summary": summary_of(tool_input or {}) or None,
        "tool_input": tool_input,
        "outcome": "failed" if span.failed else "ok",
        "success": not span.failed,
        "error": _error(span),
        "duration_ms": span.duration_ms,
    }


def _turn(span: Span, is_agent: bool) -> list[tuple[str, Fields]]:
    name = text_of(span.attributes, *_AGENT) if is_agent else one_line(span.name) or None
    agent: Fields = {"agent_name": name}
    if not span.is_root:
        agent |= {"agent_id": span.span_id, "agent_type": name}
    prompt = _last_text(span.attributes, *_ASKED) if is_agent else None
    answer = _last_text(span.attributes, *_ANSWERED) if is_agent else None
    ended: Fields = {**agent, "duration_ms": span.duration_ms}
    started = ("agent.turn_started", {**agent, "prompt": prompt})
    if span.failed:
        return [started, ("agent.error", {**ended, "error": _error(span), "message": span.message})]
    summary = one_line(answer) if answer else None
    return [started, ("agent.turn_finished", {**ended, "outcome": "ok", "summary": summary})]


def _last_text(attributes: Fields, *names: str) -> str | None:
    """What the last message says; the attribute itself where it holds no messages."""
    text = text_of(attributes, *names)
    try:
        messages = json.loads(text or "")
    except (ValueError, RecursionError):
        return text
    last = messages[-1] if isinstance(messages, list) and messages else None
    parts = last.get("parts") if isinstance(last, dict) else None
    for part in reversed(parts) if isinstance(parts, list) else ():
        if isinstance(part, dict) and isinstance(part.get("content"), str):
            return str(part["content"])
    return text


def _error(span: Span) -> str | None:
    if not span.failed:
        return None
    return span.message or text_of(span.attributes, "error.type") or "the span says that it failed"
