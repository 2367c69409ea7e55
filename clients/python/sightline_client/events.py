"""The data of every event type, one class each.

Written by `python -m app.contract` from the gateway's catalog; do not edit by hand.
"""

import msgspec


class AgentSessionStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.session_started`: An agent began to work; every later event of this run carries the
    same `session_id`."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    task: str | None = None
    reason: str | None = None


class AgentTurnStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.turn_started`: An agent began to work on a prompt, or a sub-agent on its task;
    `reason` where nobody asked."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    prompt: str | None = None
    reason: str | None = None
    background_id: str | None = None


class AgentTurnFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.turn_finished`: An agent ended its turn; `background` lists what it leaves running."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    outcome: str | None = None
    summary: str | None = None
    reason: str | None = None
    background: list[dict[str, object]] | None = None
    duration_ms: float | None = None


class AgentToolCalled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.tool_called`: An agent called a tool; `summary` is what a person reads, such as the
    command or the path."""

    session_id: str | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    tool_name: str
    tool_use_id: str | None = None
    call_id: str | None = None
    summary: str | None = None
    tool_input: dict[str, object] | None = None
    spawns_agent: bool | None = None


class AgentToolFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.tool_finished`: A tool call ended: `outcome` is ok, failed, interrupted or denied;
    `child_id` the sub-agent it began."""

    session_id: str | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    tool_name: str
    tool_use_id: str | None = None
    call_id: str | None = None
    summary: str | None = None
    tool_input: dict[str, object] | None = None
    outcome: str | None = None
    success: bool | None = None
    error: str | None = None
    reason: str | None = None
    duration_ms: float | None = None
    spawns_agent: bool | None = None
    child_id: str | None = None
    background_id: str | None = None


class AgentBatchFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.batch_finished`: All these calls ended; a call whose `agent.tool_finished` is missing
    was denied or refused."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    calls: list[dict[str, object]]


class AgentMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.message`: An agent said something on its way: a thought, a question, a report."""

    session_id: str | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    content: str
    role: str | None = None
    message_id: str | None = None


class AgentSessionFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.session_finished`: An agent ended its work."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    status: str | None = None
    reason: str | None = None
    summary: str | None = None
    duration_ms: float | None = None


class AgentAttentionNeeded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.attention_needed`: An agent needs a person. `reason` is permission, question, plan, or
    idle: it waits for a prompt. The gateway itself finds two more: failed, and silent: no event
    came while the agent worked."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    reason: str | None = None
    message: str | None = None
    tool_name: str | None = None
    tool_use_id: str | None = None
    summary: str | None = None
    tool_input: dict[str, object] | None = None


class AgentUsageReported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.usage_reported`: What one request to a model used; `request_id` is counted once for
    each `usage_source`. `input_tokens` exclude tokens that were read from a cache or written to
    it."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    request_id: str | None = None
    usage_source: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cost_usd: float | None = None
    duration_ms: float | None = None


class AgentErrorReported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.error`: An agent could not go on with its turn."""

    session_id: str
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    error: str | None = None
    message: str | None = None
    duration_ms: float | None = None


class AgentReported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`agent.reported`: Something else that an agent reported, which changes no state; `kind` is
    its own name for it. `spans` has the parent of each span that is no step of an agent, and lies
    between two that are."""

    session_id: str | None = None
    agent_name: str | None = None
    agent_id: str | None = None
    agent_type: str | None = None
    parent_id: str | None | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    turn_id: str | None = None
    folder: str | None = None
    model: str | None = None
    details: dict[str, object] | None = None
    truncated: dict[str, object] | None = None
    kind: str
    spans: dict[str, object] | None = None


class ChatMessageSent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`chat.message_sent`: A person sent a message to an agent."""

    role: str
    content: str
    agent_name: str | None = None


class ChatMessageReceived(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`chat.message_received`: An agent answered with a complete message."""

    role: str
    content: str
    agent_name: str | None = None


class ChatStreamingChunk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`chat.streaming_chunk`: A part of an answer that is still being written."""

    chunk: str
    message_id: str | None = None
    agent_name: str | None = None


class ChatThinkingStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`chat.thinking_started`: An agent began to think about its answer."""

    agent_name: str | None = None
    message_id: str | None = None


class ChatThinkingFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`chat.thinking_finished`: An agent finished thinking."""

    agent_name: str | None = None
    message_id: str | None = None
    duration_ms: float | None = None


class WorkflowStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`workflow.started`: A workflow began to run."""

    workflow_id: str
    workflow_name: str
    project: str | None = None


class WorkflowStepCompleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`workflow.step_completed`: A step of a workflow completed."""

    workflow_id: str
    step_name: str
    step_index: int
    total_steps: int
    workflow_name: str | None = None


class WorkflowFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`workflow.finished`: A workflow ran to its end."""

    workflow_id: str
    status: str
    duration_ms: float


class WorkflowFailed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`workflow.failed`: A workflow stopped on an error."""

    workflow_id: str
    error: str
    step_name: str | None = None


class StateEpicCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`state.epic_created`: An epic was created."""

    epic_id: str | int
    title: str


class StateStoryCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`state.story_created`: A story was created."""

    story_id: str | int
    title: str
    epic_id: str | int | None = None


class StateStoryTransitioned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`state.story_transitioned`: A story moved from one state to another."""

    story_id: str | int
    from_state: str
    to_state: str
    epic_id: str | int | None = None
    title: str | None = None


class CeremonyStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ceremony.started`: A ceremony (a meeting of agents) began."""

    ceremony_id: str
    ceremony_type: str | None = None
    participants: list[str] | None = None


class CeremonyMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ceremony.message`: A participant spoke in a ceremony."""

    ceremony_id: str
    content: str
    agent_name: str | None = None


class CeremonyEnded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ceremony.ended`: A ceremony ended."""

    ceremony_id: str
    summary: str | None = None
    duration_ms: float | None = None


class KanbanCardMoved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`kanban.card_moved`: A card moved to another column of the board, or to another position."""

    card_id: str | int
    to_column: str
    from_column: str | None = None
    position: int | None = None


class KanbanCardUpdated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`kanban.card_updated`: The content of a card changed; only the changed fields need to be
    sent."""

    card_id: str | int
    title: str | None = None
    description: str | None = None
    assignee: str | None = None


class FileCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`file.created`: A file or a directory was created."""

    path: str
    size: int | None = None
    is_directory: bool = False


class FileModified(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`file.modified`: A file or a directory was modified."""

    path: str
    size: int | None = None
    is_directory: bool = False


class FileDeleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`file.deleted`: A file or a directory was deleted."""

    path: str
    size: int | None = None
    is_directory: bool = False


class GitCommitCreated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`git.commit_created`: A commit was created; `files_changed` is the list of paths, or their
    number."""

    commit_hash: str
    message: str
    author: str
    files_changed: list[str] | int | None = None


class SessionModeChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`session.mode_changed`: A session changed its mode, such as read-only or write."""

    mode: str
    previous_mode: str | None = None
    session_id: str | None = None
    reason: str | None = None


class ProviderChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`provider.changed`: Another model provider is in use from now on."""

    provider: str
    model: str | None = None
    previous_provider: str | None = None


class SystemErrorReported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`system.error`: A part of the system reports an error."""

    message: str
    code: str | None = None
    component: str | None = None


class SystemAudited(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`system.audit`: Somebody used or changed a credential. The gateway publishes it; only admins
    read it."""

    action: str
    identity: str | None = None
    scopes: list[str] | None = None
    session: str | None = None
    path: str | None = None
    peer: str | None = None
    status: int | None = None
    left_out: int | None = None


KnownData = (
    AgentSessionStarted
    | AgentTurnStarted
    | AgentTurnFinished
    | AgentToolCalled
    | AgentToolFinished
    | AgentBatchFinished
    | AgentMessage
    | AgentSessionFinished
    | AgentAttentionNeeded
    | AgentUsageReported
    | AgentErrorReported
    | AgentReported
    | ChatMessageSent
    | ChatMessageReceived
    | ChatStreamingChunk
    | ChatThinkingStarted
    | ChatThinkingFinished
    | WorkflowStarted
    | WorkflowStepCompleted
    | WorkflowFinished
    | WorkflowFailed
    | StateEpicCreated
    | StateStoryCreated
    | StateStoryTransitioned
    | CeremonyStarted
    | CeremonyMessage
    | CeremonyEnded
    | KanbanCardMoved
    | KanbanCardUpdated
    | FileCreated
    | FileModified
    | FileDeleted
    | GitCommitCreated
    | SessionModeChanged
    | ProviderChanged
    | SystemErrorReported
    | SystemAudited
)
DATA_CLASSES: dict[str, type[KnownData]] = {
    "agent.session_started": AgentSessionStarted,
    "agent.turn_started": AgentTurnStarted,
    "agent.turn_finished": AgentTurnFinished,
    "agent.tool_called": AgentToolCalled,
    "agent.tool_finished": AgentToolFinished,
    "agent.batch_finished": AgentBatchFinished,
    "agent.message": AgentMessage,
    "agent.session_finished": AgentSessionFinished,
    "agent.attention_needed": AgentAttentionNeeded,
    "agent.usage_reported": AgentUsageReported,
    "agent.error": AgentErrorReported,
    "agent.reported": AgentReported,
    "chat.message_sent": ChatMessageSent,
    "chat.message_received": ChatMessageReceived,
    "chat.streaming_chunk": ChatStreamingChunk,
    "chat.thinking_started": ChatThinkingStarted,
    "chat.thinking_finished": ChatThinkingFinished,
    "workflow.started": WorkflowStarted,
    "workflow.step_completed": WorkflowStepCompleted,
    "workflow.finished": WorkflowFinished,
    "workflow.failed": WorkflowFailed,
    "state.epic_created": StateEpicCreated,
    "state.story_created": StateStoryCreated,
    "state.story_transitioned": StateStoryTransitioned,
    "ceremony.started": CeremonyStarted,
    "ceremony.message": CeremonyMessage,
    "ceremony.ended": CeremonyEnded,
    "kanban.card_moved": KanbanCardMoved,
    "kanban.card_updated": KanbanCardUpdated,
    "file.created": FileCreated,
    "file.modified": FileModified,
    "file.deleted": FileDeleted,
    "git.commit_created": GitCommitCreated,
    "session.mode_changed": SessionModeChanged,
    "provider.changed": ProviderChanged,
    "system.error": SystemErrorReported,
    "system.audit": SystemAudited,
}
