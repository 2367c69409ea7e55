"""What happens in a project: workflows, stories, ceremonies, the board."""

import msgspec
from msgspec import UNSET, UnsetType

from ..registry import Identifier, event_type


@event_type("workflow.started", example={"workflow_id": "wf-42", "workflow_name": "nightly-build"})
class WorkflowStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow began to run."""

    workflow_id: str
    workflow_name: str
    project: str | UnsetType = UNSET


@event_type(
    "workflow.step_completed",
    example={"workflow_id": "wf-42", "step_name": "compile", "step_index": 1, "total_steps": 3},
)
class WorkflowStepCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a workflow completed."""

    workflow_id: str
    step_name: str
    step_index: int
    total_steps: int
    workflow_name: str | UnsetType = UNSET


@event_type(
    "workflow.finished",
    example={"workflow_id": "wf-42", "status": "success", "duration_ms": 5120},
)
class WorkflowFinished(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow ran to its end."""

    workflow_id: str
    status: str
    duration_ms: float


@event_type(
    "workflow.failed",
    example={"workflow_id": "wf-42", "error": "exit status 2", "step_name": "compile"},
)
class WorkflowFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow stopped on an error."""

    workflow_id: str
    error: str
    step_name: str | UnsetType = UNSET


@event_type("state.epic_created", example={"epic_id": "7", "title": "Live updates"})
class StateEpicCreated(msgspec.Struct, frozen=True, kw_only=True):
    """An epic was created."""

    epic_id: Identifier
    title: str


@event_type(
    "state.story_created",
    example={"story_id": "7.1", "title": "Show the event stream", "epic_id": "7"},
)
class StateStoryCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A story was created."""

    story_id: Identifier
    title: str
    epic_id: Identifier | UnsetType = UNSET


@event_type(
    "state.story_transitioned",
    example={"story_id": "7.1", "from_state": "ready", "to_state": "in_progress"},
)
class StateStoryTransitioned(msgspec.Struct, frozen=True, kw_only=True):
    """A story moved from one state to another."""

    story_id: Identifier
    from_state: str
    to_state: str
    epic_id: Identifier | UnsetType = UNSET
    title: str | UnsetType = UNSET


@event_type(
    "ceremony.started",
    example={"ceremony_id": "c-3", "ceremony_type": "review", "participants": ["Ada", "Linus"]},
)
class CeremonyStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A ceremony (a meeting of agents) began."""

    ceremony_id: str
    ceremony_type: str | UnsetType = UNSET
    participants: list[str] | UnsetType = UNSET


@event_type(
    "ceremony.message",
    example={"ceremony_id": "c-3", "content": "The parser is done.", "agent_name": "Ada"},
)
class CeremonyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A participant spoke in a ceremony."""

    ceremony_id: str
    content: str
    agent_name: str | UnsetType = UNSET


@event_type("ceremony.ended", example={"ceremony_id": "c-3", "summary": "One story accepted."})
class CeremonyEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A ceremony ended."""

    ceremony_id: str
    summary: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type(
    "kanban.card_moved",
    example={"card_id": "7.1", "from_column": "ready", "to_column": "in_progress"},
)
class KanbanCardMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A card moved to another column of the board, or to another position."""

    card_id: Identifier
    to_column: str
    from_column: str | UnsetType = UNSET
    position: int | UnsetType = UNSET


@event_type("kanban.card_updated", example={"card_id": "7.1", "title": "Show the live stream"})
class KanbanCardUpdated(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a card changed; only the changed fields need to be sent."""

    card_id: Identifier
    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    assignee: str | UnsetType = UNSET
