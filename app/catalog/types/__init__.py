"""The event types: one struct for the `data` of each."""

from .agents import (
    AgentAttentionNeeded as AgentAttentionNeeded,
    AgentBatchFinished as AgentBatchFinished,
    AgentErrorReported as AgentErrorReported,
    AgentMessage as AgentMessage,
    AgentReported as AgentReported,
    AgentSessionFinished as AgentSessionFinished,
    AgentSessionStarted as AgentSessionStarted,
    AgentToolCalled as AgentToolCalled,
    AgentToolFinished as AgentToolFinished,
    AgentTurnFinished as AgentTurnFinished,
    AgentTurnStarted as AgentTurnStarted,
    AgentUsageReported as AgentUsageReported,
)
from .chats import (
    ChatMessageReceived as ChatMessageReceived,
    ChatMessageSent as ChatMessageSent,
    ChatStreamingChunk as ChatStreamingChunk,
    ChatThinkingFinished as ChatThinkingFinished,
    ChatThinkingStarted as ChatThinkingStarted,
)
from .projects import (
    CeremonyEnded as CeremonyEnded,
    CeremonyMessage as CeremonyMessage,
    CeremonyStarted as CeremonyStarted,
    KanbanCardMoved as KanbanCardMoved,
    KanbanCardUpdated as KanbanCardUpdated,
    StateEpicCreated as StateEpicCreated,
    StateStoryCreated as StateStoryCreated,
    StateStoryTransitioned as StateStoryTransitioned,
    WorkflowFailed as WorkflowFailed,
    WorkflowFinished as WorkflowFinished,
    WorkflowStarted as WorkflowStarted,
    WorkflowStepCompleted as WorkflowStepCompleted,
)
from .workspace import (
    FileCreated as FileCreated,
    FileDeleted as FileDeleted,
    FileModified as FileModified,
    GitCommitCreated as GitCommitCreated,
    ProviderChanged as ProviderChanged,
    SessionModeChanged as SessionModeChanged,
    SystemAudited as SystemAudited,
    SystemErrorReported as SystemErrorReported,
)
