"""Reports the runs of LangChain and LangGraph: pass `SightlineHandler()` in `config["callbacks"]`.

A run is a session, or, if its config has a `thread_id`, one agent turn of the session of that name. A
chain or graph that a tool runs is a sub-agent. `interrupt()` of LangGraph asks a person.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from sightline_client.agent_reports import Emit, Reports, one_line, remember, tool_fields
from sightline_client.emitting import emit

try:  # its base class is what LangGraph reports an interrupt to
    from langgraph.callbacks import GraphCallbackHandler as _Handler
except ImportError:
    _Handler = BaseCallbackHandler


@dataclass
class _Session:
    id: str
    threaded: bool
    agent: str
    asked: bool = False


@dataclass
class _Run:
    """An open run. `call` is the tool call that it is directly part of."""

    session: _Session
    kind: str  # chain, tool or model
    name: str
    agent_id: str | None
    started: float
    root: bool = False
    child: bool = False
    call: "_Run | None" = None
    tool_use_id: str = ""
    child_id: str | None = None
    model: str | None = None


class SightlineHandler(_Handler):
    """Emits what the runs that it is passed to do; it never waits and never raises into a run."""

    def __init__(self, emit: Emit = emit) -> None:
        super().__init__()
        self._reports = Reports("langchain", emit)
        self._runs: dict[str, _Run] = {}

    def on_chain_start(
        self,
        serialized: object,
        inputs: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, object] | None = None,
        name: str | None = None,
        **kwargs: object,
    ) -> None:
        run = self._start("chain", run_id, parent_run_id, metadata, name or "chain", inputs)
        if run.call is not None and run.call.child_id is None:
            run.child, run.call.child_id = True, str(run_id)
            caller, run.agent_id = run.agent_id, str(run_id)
            fields = {"agent_id": run.agent_id, "agent_type": run.name, "parent_id": caller}
            self._send(run, "agent.turn_started", {**fields, "prompt": _prompt(inputs)})

    def on_chain_end(self, outputs: object, *, run_id: UUID, **kwargs: object) -> None:
        if run := self._runs.pop(str(run_id), None):
            if run.child:
                done = {"agent_id": run.agent_id, "summary": _answer(outputs)}
                self._send(run, "agent.turn_finished", done)
            self._end(run, None, _answer(outputs))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: object) -> None:
        if run := self._runs.pop(str(run_id), None):
            if run.child and _moves_on(error):
                self._send(run, "agent.turn_finished", {"agent_id": run.agent_id})
            elif run.child and not _asks(error):
                self._failed(run, error)
            self._end(run, error)

    def on_tool_start(
        self,
        serialized: Mapping[str, object] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, object] | None = None,
        inputs: Mapping[str, object] | None = None,
        tool_call_id: str | None = None,
        **kwargs: object,
    ) -> None:
        name = str((serialized or {}).get("name") or "tool")
        run = self._start("tool", run_id, parent_run_id, metadata, name, input_str)
        run.tool_use_id = tool_call_id or str(run_id)
        fields = tool_fields(name, run.tool_use_id, input_str if inputs is None else inputs)
        self._send(run, "agent.tool_called", {"agent_id": run.agent_id, **fields})

    def on_tool_end(self, output: object, *, run_id: UUID, **kwargs: object) -> None:
        if run := self._runs.pop(str(run_id), None):
            failed = getattr(output, "status", None) == "error"
            error = str(getattr(output, "content", output)) if failed else None
            self._tool_finished(run, "failed" if failed else "ok", error)
            self._end(run, None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: object) -> None:
        if run := self._runs.pop(str(run_id), None):
            if _asks(error):
                run.session.asked = True
                asked = {"reason": "question", "message": _question(error), **_call(run)}
                self._send(run, "agent.attention_needed", asked)
            elif _moves_on(error):
                self._tool_finished(run, "ok", None)
            else:
                outcome = "interrupted" if _stopped(error) else "failed"
                self._tool_finished(run, outcome, str(error) or type(error).__name__)
            self._end(run, error)

    def on_chat_model_start(
        self,
        serialized: object,
        messages: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        run = self._start("model", run_id, parent_run_id, metadata, "model", messages)
        model = (metadata or {}).get("ls_model_name")
        run.model = model if isinstance(model, str) else None

    def on_llm_start(
        self,
        serialized: object,
        prompts: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> None:
        self._start("model", run_id, parent_run_id, metadata, "model", prompts)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: object) -> None:
        run = self._runs.pop(str(run_id), None)
        if run is None:
            return
        for generation in (one for row in response.generations for one in row[:1]):
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if usage := getattr(message, "usage_metadata", None):
                self._usage(run, str(run_id), usage)
            if content := generation.text.strip():
                said = {"agent_id": run.agent_id, "role": "assistant", "content": content}
                self._send(run, "agent.message", said)
        self._end(run, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: object) -> None:
        if run := self._runs.pop(str(run_id), None):
            self._end(run, error)

    def on_interrupt(self, event: object) -> None:
        """LangGraph has stopped the graph to ask a person: in a tool, the call says so already."""
        run = self._runs.get(str(getattr(event, "run_id", "")))
        if run is None or run.session.asked:
            return
        run.session.asked = True
        asked = {"reason": "question", "message": _questions(getattr(event, "interrupts", ()))}
        self._send(run, "agent.attention_needed", {"agent_id": run.agent_id, **asked})

    def _start(
        self,
        kind: str,
        run_id: UUID,
        parent_run_id: UUID | None,
        metadata: Mapping[str, object] | None,
        name: str,
        inputs: object,
    ) -> _Run:
        parent = self._runs.get(str(parent_run_id))
        if parent is None:
            thread = (metadata or {}).get("thread_id")
            session = _Session(str(thread or run_id), bool(thread), name)
            run = _Run(session, kind, name, None, time.monotonic(), root=True)
            self._send(run, "agent.session_started", {})
            self._send(run, "agent.turn_started", {"prompt": _prompt(inputs)})
        else:
            run = _Run(parent.session, kind, name, parent.agent_id, time.monotonic())
            run.call = parent if parent.kind == "tool" else None
        remember(self._runs, str(run_id), run)
        return run

    def _end(self, run: _Run, error: BaseException | None, answer: str | None = None) -> None:
        if not run.root or run.session.asked:  # while a question is open, so is the turn
            return
        if error is None:
            self._send(run, "agent.turn_finished", {"outcome": "ok", "summary": answer})
        else:
            self._failed(run, error)
        if not run.session.threaded:
            reason = (
                "completed" if error is None else "interrupted" if _stopped(error) else "failed"
            )
            self._send(run, "agent.session_finished", {"reason": reason})

    def _failed(self, run: _Run, error: BaseException) -> None:
        who = {"agent_id": run.agent_id}
        if _stopped(error):
            self._send(run, "agent.turn_finished", {**who, "outcome": "interrupted"})
        else:
            fields = {"error": type(error).__name__, "message": str(error)}
            self._send(run, "agent.error", {**who, **fields})

    def _tool_finished(self, run: _Run, outcome: str, error: str | None) -> None:
        fields = {**_call(run), "outcome": outcome, "success": outcome == "ok", "error": error}
        if run.child_id:
            fields |= {"spawns_agent": True, "child_id": run.child_id}
        duration_ms = round((time.monotonic() - run.started) * 1000, 3)
        self._send(run, "agent.tool_finished", {**fields, "duration_ms": duration_ms})

    def _usage(self, run: _Run, run_id: str, usage: Mapping[str, object]) -> None:
        details = usage.get("input_token_details")
        details = details if isinstance(details, Mapping) else {}
        fields = {
            "request_id": run_id,
            "model": run.model,
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read_tokens": details.get("cache_read"),
            "cache_creation_tokens": details.get("cache_creation"),
        }
        self._send(run, "agent.usage_reported", fields)

    def _send(self, run: _Run, type_: str, fields: Mapping[str, object]) -> None:
        self._reports.send(type_, run.session.agent, {"session_id": run.session.id, **fields})


def _call(run: _Run) -> dict[str, object]:
    return {"agent_id": run.agent_id, "tool_name": run.name, "tool_use_id": run.tool_use_id}


def _asks(error: BaseException) -> bool:
    """Whether LangGraph stops the graph for a person."""
    return any(kind.__name__ == "GraphInterrupt" for kind in type(error).__mro__)


def _moves_on(error: BaseException) -> bool:
    """Whether it is no error but a command, which LangGraph takes to the graph above."""
    return type(error).__name__ == "ParentCommand"


def _stopped(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception)


def _question(error: BaseException) -> str | None:
    return _questions(error.args[0] if error.args else ())


def _questions(interrupts: object) -> str | None:
    if not isinstance(interrupts, Sequence):
        return None
    asked = [str(getattr(interrupt, "value", interrupt)) for interrupt in interrupts]
    return one_line("; ".join(asked)) or None


def _prompt(inputs: object) -> str | None:
    """What the run was asked: a text, or the last message of its input."""
    if isinstance(inputs, Mapping):
        inputs = inputs.get("messages") or inputs.get("input")
    return _last_text(inputs)


def _answer(outputs: object) -> str | None:
    """What the run answered, in one line."""
    if isinstance(outputs, Mapping):
        outputs = outputs.get("messages") or outputs.get("output")
    text = _last_text(outputs)
    return one_line(text) if text else None


def _last_text(value: object) -> str | None:
    if isinstance(value, list) and value:
        value = value[-1]
        return _last_text(value[1] if isinstance(value, tuple) and len(value) == 2 else value)
    if isinstance(value, BaseMessage):
        return str(value.text) or None
    if isinstance(value, Mapping):
        return _last_text(value.get("content"))
    return value if isinstance(value, str) and value else None
