"""The logs and spans of Claude Code as events of the catalog. Pure, and without a memory.

Recorded from version 2.1.332. Both report the same requests and calls; `usage_source` says which of
them an `agent.usage_reported` is from, and a call has the same `tool_use_id` in both and in the hooks.
"""

from collections.abc import Callable, Iterable, Iterator

from .claude_code import AGENT, SOURCE, SPAWNING_TOOLS
from .hooks import AgentEvent, Fields, one_line, summary_of
from .otlp import (
    Keyed,
    Record,
    Signal,
    Span,
    count_of,
    event_of,
    key_of,
    number_of,
    object_of,
    text_of,
)

LOG_SCOPE = "com.anthropic.claude_code.events"
SPAN_SCOPE = "com.anthropic.claude_code.tracing"
_REDACTED = "<REDACTED>"
_REFUSALS = {"user_reject": "a person said no", "config": "the settings do not allow it"}


def read_record(record: Record) -> list[Keyed]:
    """The events of one log record; none for what changes nothing."""
    attributes = record.attributes
    session_id = text_of(attributes, "session.id")
    reading = _RECORDS.get(text_of(attributes, "event.name") or "")
    if session_id is None or reading is None or (read := reading(attributes)) is None:
        return []
    type_, fields = read
    request_id = text_of(attributes, "request_id") if type_ == "agent.usage_reported" else None
    # A resumed session counts its records from 0 again.
    key = request_id or (record.time, number_of(attributes, "event.sequence"))
    return [Keyed(_event(type_, attributes, fields, "logs"), key_of("logs", session_id, key))]


def read_spans(spans: Iterable[Span]) -> Iterator[list[Keyed]]:
    """The events of each span of one request, which is looked at as a whole.

    How a call ended is said by a span below that of the call.
    """
    spans = list(spans)
    below: dict[str, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent_id, []).append(span)
    sent = {span.span_id for span in spans}
    for span in spans:
        read = _read_span(span, below.get(span.span_id, []), span.parent_id in sent)
        if read is None or text_of(span.attributes, "session.id") is None:
            yield []
            continue
        type_, fields = read
        event = _event(type_, span.attributes, fields, "traces")
        yield [Keyed(event, key_of("span", span.trace_id, span.span_id))]


def _event(type_: str, attributes: Fields, fields: Fields, signal: Signal) -> AgentEvent:
    agent: Fields = {
        "session_id": text_of(attributes, "session.id"),
        "agent_id": _agent_id(attributes),
    }
    data = {**agent, "model": text_of(attributes, "model"), **fields}
    event = event_of(type_, data, SOURCE, AGENT, signal)
    if agent["agent_id"] is not None and "agent_id" in attributes:
        # Without a parent it was begun by the main agent.
        event.data["parent_id"] = text_of(attributes, "parent_agent_id")
    return event


def _agent_id(attributes: Fields) -> str | None:
    """The sub-agent. Spans below that of a call name it as the conversation alone."""
    named = text_of(attributes, "agent_id", "gen_ai.conversation.id")
    return None if named == text_of(attributes, "session.id") else named


def _usage(attributes: Fields, source: str) -> Fields:
    return {
        "request_id": text_of(attributes, "request_id"),
        "usage_source": source,
        "input_tokens": count_of(attributes, "input_tokens"),
        "output_tokens": count_of(attributes, "output_tokens"),
        "cache_read_tokens": count_of(attributes, "cache_read_tokens"),
        "cache_creation_tokens": count_of(attributes, "cache_creation_tokens"),
        "cost_usd": number_of(attributes, "cost_usd"),
        "duration_ms": number_of(attributes, "duration_ms"),
    }


def _call(attributes: Fields) -> Fields:
    tool_name = text_of(attributes, "tool_name", "gen_ai.tool.name") or "unknown"
    tool_input = object_of(attributes, "tool_input")
    parameters = object_of(attributes, "tool_parameters") or {}
    return {
        "tool_name": tool_name,
        "tool_use_id": text_of(attributes, "tool_use_id", "gen_ai.tool.call.id"),
        "summary": summary_of(tool_input or {"command": parameters.get("full_command")}) or None,
        "tool_input": tool_input,
        "spawns_agent": True if tool_name in SPAWNING_TOOLS else None,
    }


_Read = tuple[str, Fields] | None


def _api_request(attributes: Fields) -> _Read:
    return "agent.usage_reported", _usage(attributes, "logs")


def _api_error(attributes: Fields) -> _Read:
    status = number_of(attributes, "status_code")
    error = text_of(attributes, "error") or "the request to the model failed"
    return "agent.error", {"error": error, "message": status and f"status {status:g}"}


def _prompt(attributes: Fields) -> _Read:
    if text_of(attributes, "command_source") == "builtin":  # such as /exit: no turn begins
        return None
    return "agent.turn_started", {
        "turn_id": text_of(attributes, "prompt.id"),
        "prompt": _told(attributes, "prompt"),
    }


def _told(attributes: Fields, name: str) -> str | None:
    value = text_of(attributes, name)
    return None if value == _REDACTED else value


def _decision(attributes: Fields) -> _Read:
    if text_of(attributes, "decision") == "accept":
        return "agent.tool_called", _call(attributes)
    source = text_of(attributes, "source") or "unknown"
    reason = one_line(_REFUSALS.get(source, source))
    return "agent.tool_finished", {
        **_call(attributes),
        "outcome": "denied",
        "success": False,
        "reason": f"denied: {reason}",
    }


def _result(attributes: Fields) -> _Read:
    success = text_of(attributes, "success") == "true" or attributes.get("success") is True
    return "agent.tool_finished", {
        **_call(attributes),
        "outcome": "ok" if success else "failed",
        "success": success,
        "error": text_of(attributes, "error", "error_type"),
        "duration_ms": number_of(attributes, "duration_ms"),
    }


def _answer(attributes: Fields) -> _Read:
    content = _told(attributes, "response")
    if content is None:
        return None
    message_id = text_of(attributes, "message.uuid")
    return "agent.message", {"content": content, "role": "assistant", "message_id": message_id}


def _agent_stopped(attributes: Fields) -> _Read:
    if _agent_id(attributes) is None:
        return None
    return "agent.turn_finished", {"duration_ms": number_of(attributes, "duration_ms")}


_RECORDS: dict[str, Callable[[Fields], _Read]] = {
    "api_request": _api_request,
    "api_error": _api_error,
    "user_prompt": _prompt,
    "tool_decision": _decision,
    "tool_result": _result,
    "assistant_response": _answer,
    "subagent_completed": _agent_stopped,
}


def _read_span(span: Span, below: list[Span], has_parent: bool) -> _Read:
    attributes = span.attributes
    kind = text_of(attributes, "span.type")
    if kind == "interaction":
        return "agent.turn_finished", {"duration_ms": span.duration_ms}
    if kind == "llm_request":
        return "agent.usage_reported", _usage(attributes, "spans")
    if kind == "tool":
        return "agent.tool_finished", _finished(span, below)
    if kind == "tool.execution" and span.failed and not has_parent:  # sent before its call
        return "agent.tool_finished", _finished(span, [span])
    return None


def _finished(span: Span, below: list[Span]) -> Fields:
    failed = next((one for one in below if one.failed), None)
    denied = any(text_of(one.attributes, "decision") == "reject" for one in below)
    outcome = "denied" if denied else "failed" if failed else "ok"
    return {
        **_call(span.attributes),
        "outcome": outcome,
        "success": outcome == "ok",
        "error": failed and (text_of(failed.attributes, "error") or failed.message or None),
        "duration_ms": span.duration_ms,
    }
