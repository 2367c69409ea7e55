"""Reports the runs of the OpenAI Agents SDK: `add_trace_processor(SightlineProcessor())`.

A trace is a session, or, if the run has a `group_id`, one agent turn of the session of that name. An
agent that runs as a tool of another is a sub-agent. Written for version 0.24 of the SDK, whose traces
hold no prompt and no final answer.
"""

import sys
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agents.tracing import Span, SpanData, Trace, TracingProcessor
from agents.tracing.span_data import (
    AgentSpanData,
    FunctionSpanData,
    HandoffSpanData,
    TaskSpanData,
    TurnSpanData,
)

from sightline_client.agent_reports import Emit, Reports, remember, tool_fields
from sightline_client.emitting import emit

_TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_creation_tokens",
}


@dataclass
class _Run:
    """One trace. `paused` are the calls that wait for an approval: tool name and id.

    They are `answered` once the run goes on: an approved call then comes again, in a span of its own.
    """

    session_id: str
    grouped: bool
    task: str
    outer: BaseException | None  # was being handled when the trace began: it is not the run's own
    agent: str = ""
    began: bool = False
    resumed: bool = False
    failed: bool = False
    calls: dict[str, "_Call"] = field(default_factory=dict)  # the open ones, by span
    doubtful: list["_Call"] = field(default_factory=list)  # ended without a result
    paused: list[tuple[str, str]] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Call:
    id: str
    name: str
    agent_id: str | None
    started: str | None
    child_id: str | None = None
    fields: dict[str, object] = field(default_factory=dict)  # of `agent.tool_finished`


@dataclass
class _Open:
    """An open span: whose work it is, the call that it is part of, and tokens of agents below it."""

    parent_id: str | None
    agent_id: str | None = None
    call: _Call | None = None
    below: dict[str, int] = field(default_factory=dict)


class SightlineProcessor(TracingProcessor):
    """Emits what the runs of this process do; it never waits and never raises into a run."""

    def __init__(self, emit: Emit = emit) -> None:
        self._reports = Reports("openai-agents", emit)
        self._runs: dict[str, _Run] = {}
        self._spans: dict[str, _Open] = {}

    def on_trace_start(self, trace: Trace) -> None:
        group = getattr(trace, "group_id", None)
        session_id = str(group or trace.trace_id)
        run = _Run(session_id, bool(group), trace.name, sys.exc_info()[1])
        remember(self._runs, trace.trace_id, run)

    def on_trace_end(self, trace: Trace) -> None:
        self._finish(trace.trace_id)

    def _finish(self, trace_id: str) -> None:
        run = self._runs.get(trace_id)
        if run is None or not run.began:
            return
        if (
            run.paused
        ):  # an approved run goes on in this trace, whose start and end then stay unsaid
            run.began, run.resumed = False, True
            return
        del self._runs[trace_id]
        error = sys.exc_info()[1]
        error = None if error is run.outer else error
        if isinstance(error, Exception) and not run.failed:
            self._fail(run, {"error": type(error).__name__, "message": str(error)})
        if not run.failed:
            stopped = error is not None or bool(run.calls)
            outcome = "interrupted" if stopped else "ok"
            self._send(run, "agent.turn_finished", {"outcome": outcome})
        if not run.grouped:
            stopped = isinstance(error, (CancelledError, KeyboardInterrupt))
            reason = "failed" if run.failed else "interrupted" if stopped else "completed"
            self._send(run, "agent.session_finished", {"reason": reason})

    def on_span_start(self, span: Span[SpanData]) -> None:
        run = self._runs.get(span.trace_id)
        if run is None:
            return
        above = self._spans.get(span.parent_id or "")
        here = _Open(span.parent_id)
        if above is not None:
            here.agent_id, here.call = above.agent_id, above.call
        remember(self._spans, span.span_id, here)
        match span.span_data:
            case AgentSpanData(name=name):
                self._agent_started(run, here, span.span_id, name)
            case TurnSpanData():
                self._settle(run)
            case FunctionSpanData(name=name):
                self._tool_called(run, here, span, name)

    def on_span_end(self, span: Span[SpanData]) -> None:
        run, here = self._runs.get(span.trace_id), self._spans.pop(span.span_id, None)
        if run is None or here is None:
            return
        match span.span_data:
            case AgentSpanData():
                self._agent_finished(run, here, span.error)
            case FunctionSpanData() as data:
                self._tool_finished(run, span, data)
            case TurnSpanData(usage=usage) if usage:
                self._usage(run, here, span.span_id, usage)
            case TaskSpanData(usage=usage) if here.call:
                self._not_of_the_caller(here, usage or {})
            case TaskSpanData() if run.resumed:
                self._finish(span.trace_id)
            case HandoffSpanData(from_agent=before, to_agent=after):
                names = {"from_agent": before, "to_agent": after}
                self._send(run, "agent.reported", {"kind": "handoff", "details": names})

    def shutdown(self) -> None:
        """Nothing to do: `emit` sends what is left at the end of the process."""

    def force_flush(self) -> None:
        """Nothing to do: events leave at once."""

    def _agent_started(self, run: _Run, here: _Open, span_id: str, name: str) -> None:
        if here.call is None:
            run.agent = run.agent or name
            run.failed = False
            if not run.began:
                run.began = True
                run.answered, run.paused = run.paused, []
                if not run.resumed:
                    self._send(run, "agent.session_started", {"task": run.task})
                self._send(run, "agent.turn_started", {})
        elif here.call.child_id is None:
            here.call.child_id = here.agent_id = span_id
            fields = {
                "agent_id": here.agent_id,
                "agent_type": name,
                "parent_id": here.call.agent_id,
            }
            self._send(run, "agent.turn_started", fields)
        else:  # a sub-agent handed over to another agent
            here.agent_id = here.call.child_id

    def _agent_finished(self, run: _Run, here: _Open, error: Mapping[str, object] | None) -> None:
        for call in run.doubtful:  # the run ends with them: each waits for an approval
            if call.agent_id == here.agent_id:
                run.paused.append((call.name, call.id))
                asked = {"reason": "permission", **_asked(call.fields)}
                self._send(run, "agent.attention_needed", asked)
        run.doubtful = [call for call in run.doubtful if call.agent_id != here.agent_id]
        if error is not None:
            fields = {
                "error": error.get("message"),
                "message": _reason(error),
                "agent_id": here.agent_id,
            }
            self._fail(run, fields, main=here.agent_id is None)

    def _tool_called(self, run: _Run, here: _Open, span: Span[SpanData], name: str) -> None:
        waiting = next((pair for pair in run.answered if pair[0] == name), None)
        if waiting:
            run.answered.remove(waiting)
        call = _Call(waiting[1] if waiting else span.span_id, name, here.agent_id, span.started_at)
        here.call = run.calls[span.span_id] = call
        self._send(
            run,
            "agent.tool_called",
            {"agent_id": call.agent_id, **tool_fields(name, call.id, None)},
        )

    def _tool_finished(self, run: _Run, span: Span[SpanData], data: FunctionSpanData) -> None:
        call = run.calls.pop(span.span_id)
        fields = tool_fields(call.name, call.id, data.input)
        if span.error is not None:
            fields |= {"outcome": "failed", "success": False, "error": _reason(span.error)}
        else:
            fields |= {"outcome": "ok", "success": True}
        if call.child_id:
            child = {"agent_id": call.child_id}
            self._send(run, "agent.turn_finished", child)
            fields |= {"spawns_agent": True, "child_id": call.child_id}
        call.fields = {**fields, "agent_id": call.agent_id, "duration_ms": _duration_ms(span)}
        if span.error is None and data.output is None and data.input is not None:
            run.doubtful.append(call)
        else:
            self._send(run, "agent.tool_finished", call.fields)

    def _settle(self, run: _Run) -> None:
        """A further turn: the calls without a result have ended."""
        for call in run.doubtful:
            self._send(run, "agent.tool_finished", call.fields)
        run.doubtful.clear()

    def _usage(self, run: _Run, here: _Open, span_id: str, usage: Mapping[str, object]) -> None:
        """What the turn's own request used: a turn's sum holds those of the agents that it called."""
        tokens = _tokens(usage)
        own = {name: count - here.below.get(name, 0) for name, count in tokens.items()}
        self._send(run, "agent.usage_reported", {"request_id": span_id, **own})

    def _not_of_the_caller(self, here: _Open, usage: Mapping[str, object]) -> None:
        """Keep what the sub-agent used for the turn that called it: the span above the call's."""
        function = self._spans.get(here.parent_id or "")
        turn = self._spans.get(function.parent_id or "") if function else None
        if turn is None:
            return
        for name, count in _tokens(usage).items():
            turn.below[name] = turn.below.get(name, 0) + count

    def _fail(self, run: _Run, fields: Mapping[str, object], main: bool = True) -> None:
        run.failed = run.failed or main
        self._send(run, "agent.error", fields)

    def _send(self, run: _Run, type_: str, fields: Mapping[str, object]) -> None:
        self._reports.send(type_, run.agent or "agent", {"session_id": run.session_id, **fields})


def _asked(fields: Mapping[str, object]) -> dict[str, object]:
    wanted = ("agent_id", "tool_name", "tool_use_id", "tool_input", "summary")
    return {name: fields[name] for name in wanted if name in fields}


def _reason(error: Mapping[str, object]) -> str:
    data = error.get("data")
    detail = data.get("error") if isinstance(data, Mapping) else None
    return str(detail or error.get("message") or "no reason was given")


def _tokens(usage: Mapping[str, object]) -> dict[str, int]:
    counts = {ours: usage.get(theirs) for theirs, ours in _TOKENS.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _duration_ms(span: Span[SpanData]) -> float | None:
    if span.started_at is None or span.ended_at is None:
        return None
    took = datetime.fromisoformat(span.ended_at) - datetime.fromisoformat(span.started_at)
    return round(took.total_seconds() * 1000, 3)
