"""What agents do: sessions, turns, tool calls, and what they need of a person."""

import msgspec
from msgspec import UNSET, UnsetType

from ..registry import event_type


class _OfAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Who did it. `agent_id` and `agent_type` are those of a sub-agent; the main agent has none.

    `parent_id` is the agent that began the sub-agent, null for the main agent. `span_id` and
    `parent_span_id` are those of OpenTelemetry, where the event is a span. `details` holds fields of
    the agent's own, `truncated` the length of each value that was cut, by its path.
    """

    session_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    agent_id: str | UnsetType = UNSET
    agent_type: str | UnsetType = UNSET
    parent_id: str | UnsetType | None = UNSET
    span_id: str | UnsetType = UNSET
    parent_span_id: str | UnsetType = UNSET
    turn_id: str | UnsetType = UNSET
    folder: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    details: dict[str, object] | UnsetType = UNSET
    truncated: dict[str, int] | UnsetType = UNSET


@event_type(
    "agent.session_started",
    example={"session_id": "s-9", "agent_name": "Ada", "task": "Fix the parser", "model": "small"},
)
class AgentSessionStarted(_OfAgent, frozen=True, kw_only=True):
    """An agent began to work; every later event of this run carries the same `session_id`."""

    session_id: str
    task: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


@event_type("agent.turn_started", example={"session_id": "s-9", "prompt": "Fix the parser"})
class AgentTurnStarted(_OfAgent, frozen=True, kw_only=True):
    """An agent began to work on a prompt, or a sub-agent on its task; `reason` where nobody asked."""

    session_id: str
    prompt: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    background_id: str | UnsetType = UNSET


@event_type(
    "agent.turn_finished",
    example={"session_id": "s-9", "outcome": "ok", "summary": "The parser is fixed."},
)
class AgentTurnFinished(_OfAgent, frozen=True, kw_only=True):
    """An agent ended its turn; `background` lists what it leaves running."""

    session_id: str
    outcome: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    background: list[dict[str, object]] | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type(
    "agent.tool_called",
    example={
        "session_id": "s-9",
        "tool_name": "Bash",
        "tool_use_id": "call-3",
        "summary": "make test",
    },
)
class AgentToolCalled(_OfAgent, frozen=True, kw_only=True):
    """An agent called a tool; `summary` is what a person reads, such as the command or the path."""

    tool_name: str
    tool_use_id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    tool_input: dict[str, object] | UnsetType = UNSET
    spawns_agent: bool | UnsetType = UNSET


@event_type(
    "agent.tool_finished",
    example={
        "session_id": "s-9",
        "tool_name": "Bash",
        "tool_use_id": "call-3",
        "summary": "make test",
        "outcome": "failed",
        "success": False,
        "error": "exit status 2",
        "duration_ms": 840,
    },
)
class AgentToolFinished(_OfAgent, frozen=True, kw_only=True):
    """A tool call ended: `outcome` is ok, failed, interrupted or denied; `child_id` the sub-agent it began."""

    tool_name: str
    tool_use_id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    tool_input: dict[str, object] | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    success: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET
    spawns_agent: bool | UnsetType = UNSET
    child_id: str | UnsetType = UNSET
    background_id: str | UnsetType = UNSET


@event_type(
    "agent.batch_finished",
    example={"session_id": "s-9", "calls": [{"tool_use_id": "call-3", "tool_name": "Bash"}]},
)
class AgentBatchFinished(_OfAgent, frozen=True, kw_only=True):
    """All these calls ended; a call whose `agent.tool_finished` is missing was denied or refused."""

    session_id: str
    calls: list[dict[str, object]]


@event_type(
    "agent.message",
    example={"session_id": "s-9", "agent_name": "Ada", "content": "The parser is fixed."},
)
class AgentMessage(_OfAgent, frozen=True, kw_only=True):
    """An agent said something on its way: a thought, a question, a report."""

    content: str
    role: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET


@event_type(
    "agent.session_finished",
    example={
        "session_id": "s-9",
        "agent_name": "Ada",
        "status": "success",
        "summary": "Fixed the parser",
        "duration_ms": 61200,
    },
)
class AgentSessionFinished(_OfAgent, frozen=True, kw_only=True):
    """An agent ended its work."""

    session_id: str
    status: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type(
    "agent.attention_needed",
    example={"session_id": "s-9", "reason": "permission", "tool_name": "Bash", "summary": "make"},
)
class AgentAttentionNeeded(_OfAgent, frozen=True, kw_only=True):
    """An agent needs a person. `reason` is permission, question, plan, or idle: it waits for a prompt.

    The gateway itself finds two more: failed, and silent: no event came while the agent worked.
    """

    session_id: str
    reason: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    tool_name: str | UnsetType = UNSET
    tool_use_id: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    tool_input: dict[str, object] | UnsetType = UNSET


@event_type(
    "agent.usage_reported",
    example={"session_id": "s-9", "request_id": "req-1", "input_tokens": 15, "output_tokens": 66},
)
class AgentUsageReported(_OfAgent, frozen=True, kw_only=True):
    """What one request to a model used; `request_id` is counted once for each `usage_source`.

    `input_tokens` exclude tokens that were read from a cache or written to it.
    """

    session_id: str
    request_id: str | UnsetType = UNSET
    usage_source: str | UnsetType = UNSET
    input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    cache_read_tokens: int | UnsetType = UNSET
    cache_creation_tokens: int | UnsetType = UNSET
    cost_usd: float | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type(
    "agent.error",
    example={"session_id": "s-9", "error": "rate_limit", "message": "The model is busy."},
)
class AgentErrorReported(_OfAgent, frozen=True, kw_only=True):
    """An agent could not go on with its turn."""

    session_id: str
    error: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type("agent.reported", example={"session_id": "s-9", "kind": "PreCompact"})
class AgentReported(_OfAgent, frozen=True, kw_only=True):
    """Something else that an agent reported, which changes no state; `kind` is its own name for it.

    `spans` has the parent of each span that is no step of an agent, and lies between two that are.
    """

    kind: str
    spans: dict[str, str] | UnsetType = UNSET
