"""The logs of the Codex CLI as events of the catalog. Pure, and without a memory.

Recorded from version 0.171.0. Their conversation is the session of the hooks, and `call_id` names a
call as `tool_use_id` does there.
"""

import re
from collections.abc import Callable

from .codex import AGENT, SOURCE
from .hooks import Fields, one_line, summary_of
from .otlp import Keyed, Record, count_of, event_of, key_of, number_of, object_of, text_of

LOG_SCOPE = "codex_otel"  # and what is below it
_REDACTED = "[REDACTED]"
_EXIT = re.compile(r"^Process exited with code (-?[0-9]{1,9})$", re.MULTILINE)
_APPROVED = ("approved", "approved_for_session")
_Read = tuple[str, Fields] | None


def read_record(record: Record) -> list[Keyed]:
    """The events of one log record; none for what changes nothing."""
    attributes = record.attributes
    session_id = text_of(attributes, "conversation.id")
    name = text_of(attributes, "event.name") or ""
    reading = _RECORDS.get(name)
    if session_id is None or reading is None or (read := reading(record)) is None:
        return []
    type_, fields = read
    data = {"session_id": session_id, "model": text_of(attributes, "model"), **fields}
    call = text_of(attributes, "call_id")
    key = key_of("codex", session_id, name, record.time, call)
    return [Keyed(event_of(type_, data, SOURCE, AGENT, "logs"), key)]


def _started(record: Record) -> _Read:
    return "agent.session_started", {"reason": "startup"}


def _prompt(record: Record) -> _Read:
    prompt = text_of(record.attributes, "prompt")
    return "agent.turn_started", {"prompt": None if prompt == _REDACTED else prompt}


def _usage(record: Record) -> _Read:
    """`response.completed` comes twice for each response, and once with its tokens."""
    attributes = record.attributes
    total = count_of(attributes, "input_token_count")
    if text_of(attributes, "event.kind") != "response.completed" or total is None:
        return None
    cached = count_of(attributes, "cached_token_count") or 0
    written = count_of(attributes, "cache_write_token_count") or 0
    return "agent.usage_reported", {
        "request_id": str(record.time),
        "usage_source": "logs",
        "input_tokens": max(total - cached - written, 0),
        "output_tokens": count_of(attributes, "output_token_count"),
        "cache_read_tokens": cached,
        "cache_creation_tokens": written,
    }


def _call(attributes: Fields) -> Fields:
    tool_input = object_of(attributes, "arguments")
    summary = text_of(tool_input or {}, "cmd") or summary_of(tool_input or {})
    return {
        "tool_name": text_of(attributes, "tool_name") or "unknown",
        "tool_use_id": text_of(attributes, "call_id"),
        "summary": one_line(summary) or None,
        "tool_input": tool_input,
    }


def _decision(record: Record) -> _Read:
    decision = text_of(record.attributes, "decision") or "unknown"
    if decision in _APPROVED:
        return "agent.tool_called", _call(record.attributes)
    return "agent.tool_finished", {
        **_call(record.attributes),
        "outcome": "denied",
        "success": False,
        "reason": one_line(decision),
    }


def _result(record: Record) -> _Read:
    """`success` is true also where a command failed: its exit status stands in the output."""
    attributes = record.attributes
    exited = _EXIT.search(text_of(attributes, "output") or "")
    success = text_of(attributes, "success") == "true" and (exited is None or int(exited[1]) == 0)
    return "agent.tool_finished", {
        **_call(attributes),
        "outcome": "ok" if success else "failed",
        "success": success,
        "error": f"exit status {exited[1]}" if exited and not success else None,
        "duration_ms": number_of(attributes, "duration_ms"),
    }


_RECORDS: dict[str, Callable[[Record], _Read]] = {
    "codex.conversation_starts": _started,
    "codex.user_prompt": _prompt,
    "codex.sse_event": _usage,
    "codex.tool_decision": _decision,
    "codex.tool_result": _result,
}
