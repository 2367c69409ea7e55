"""The event types: one struct for the `data` of each. Structs, and nothing else."""

# isort: off  (the order here is the order of the documents)
from .projects import (
    CeremonyEnded as CeremonyEnded,
)
from .projects import (
    CeremonyMessage as CeremonyMessage,
)
from .projects import (
    CeremonyStarted as CeremonyStarted,
)
from .projects import (
    KanbanCardMoved as KanbanCardMoved,
)
from .projects import (
    KanbanCardUpdated as KanbanCardUpdated,
)
from .projects import (
    StateEpicCreated as StateEpicCreated,
)
from .projects import (
    StateStoryCreated as StateStoryCreated,
)
from .projects import (
    StateStoryTransitioned as StateStoryTransitioned,
)
from .projects import (
    WorkflowFailed as WorkflowFailed,
)
from .projects import (
    WorkflowFinished as WorkflowFinished,
)
from .projects import (
    WorkflowStarted as WorkflowStarted,
)
from .projects import (
    WorkflowStepCompleted as WorkflowStepCompleted,
)
from .agents import (
    AgentMessage as AgentMessage,
)
from .agents import (
    AgentSessionFinished as AgentSessionFinished,
)
from .agents import (
    AgentSessionStarted as AgentSessionStarted,
)
from .agents import (
    AgentToolCalled as AgentToolCalled,
)
from .agents import (
    AgentToolFinished as AgentToolFinished,
)
from .agents import (
    ChatMessageReceived as ChatMessageReceived,
)
from .agents import (
    ChatMessageSent as ChatMessageSent,
)
from .agents import (
    ChatStreamingChunk as ChatStreamingChunk,
)
from .agents import (
    ChatThinkingFinished as ChatThinkingFinished,
)
from .agents import (
    ChatThinkingStarted as ChatThinkingStarted,
)
from .workspace import (
    FileCreated as FileCreated,
)
from .workspace import (
    FileDeleted as FileDeleted,
)
from .workspace import (
    FileModified as FileModified,
)
from .workspace import (
    GitCommitCreated as GitCommitCreated,
)
from .workspace import (
    ProviderChanged as ProviderChanged,
)
from .workspace import (
    SessionModeChanged as SessionModeChanged,
)
from .workspace import (
    SystemErrorReported as SystemErrorReported,
)
