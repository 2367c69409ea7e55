"""How the sessions stand at a moment, for people and programs to read."""

import msgspec


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call. `state` is running, ok, failed, denied, interrupted or unknown; `why` says why."""

    tool_use_id: str
    tool_name: str
    summary: str | None
    state: str
    why: str
    started: float | None
    duration_ms: float | None
    error: str | None
    child_id: str | None


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent; `agent_id` is None for the main one.

    `parent_id` None is the main agent where `parent` is `reported` or `guessed`; it says nothing where
    `parent` is `unknown`. `calls` are the latest; `counts` are all, by state.
    """

    agent_id: str | None
    agent_type: str | None
    parent_id: str | None
    parent: str | None
    state: str
    why: str
    outcome: str | None
    turns: int
    started: float | None
    duration_ms: float | None
    summary: str | None
    current: str | None
    calls: list[CallView]
    counts: dict[str, int]


class AttentionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked, and by which agent."""

    agent_id: str | None
    reason: str
    since: float
    message: str | None
    tool_name: str | None
    summary: str | None


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """What the session's requests to the model used. `cost_usd` is 0 where nobody reports it."""

    requests: int
    input_tokens: float
    output_tokens: float
    cache_read_tokens: float
    cache_creation_tokens: float
    cost_usd: float


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A session. Moments are seconds since 1970; `gaps` counts losses that it may be part of.

    `state` is working, waiting, idle, failed, finished or silent. `usage` is None where no event
    carries any. `background` is what runs on behind an idle agent, such as a server that it began.
    """

    session_id: str
    source: str | None
    state: str
    why: str
    model: str | None
    folder: str | None
    task: str | None
    started: float | None
    last: float
    ended: float | None
    reason: str | None
    duration_ms: float
    attention: AttentionView | None
    current: CallView | None
    agents: list[AgentView]
    usage: UsageView | None
    background: list[dict[str, object]]
    gaps: int
