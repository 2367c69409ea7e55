"""What agents do and say: sessions, tool calls, messages."""

import msgspec
from msgspec import UNSET, UnsetType

from ..registry import event_type


@event_type("chat.message_sent", example={"role": "user", "content": "Run the tests."})
class ChatMessageSent(msgspec.Struct, frozen=True, kw_only=True):
    """A person sent a message to an agent."""

    role: str
    content: str
    agent_name: str | UnsetType = UNSET


@event_type(
    "chat.message_received",
    example={"role": "assistant", "content": "All tests pass.", "agent_name": "Ada"},
)
class ChatMessageReceived(msgspec.Struct, frozen=True, kw_only=True):
    """An agent answered with a complete message."""

    role: str
    content: str
    agent_name: str | UnsetType = UNSET


@event_type("chat.streaming_chunk", example={"chunk": "All tests", "message_id": "msg-7"})
class ChatStreamingChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer that is still being written."""

    chunk: str
    message_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET


@event_type("chat.thinking_started", example={"agent_name": "Ada"})
class ChatThinkingStarted(msgspec.Struct, frozen=True, kw_only=True):
    """An agent began to think about its answer."""

    agent_name: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET


@event_type("chat.thinking_finished", example={"agent_name": "Ada", "duration_ms": 830})
class ChatThinkingFinished(msgspec.Struct, frozen=True, kw_only=True):
    """An agent finished thinking."""

    agent_name: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type(
    "agent.session_started",
    example={"session_id": "s-9", "agent_name": "Ada", "task": "Fix the parser", "model": "small"},
)
class AgentSessionStarted(msgspec.Struct, frozen=True, kw_only=True):
    """An agent began to work; every later event of this run carries the same `session_id`."""

    session_id: str
    agent_name: str | UnsetType = UNSET
    task: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    folder: str | UnsetType = UNSET


@event_type(
    "agent.tool_called",
    example={
        "session_id": "s-9",
        "tool_name": "Bash",
        "call_id": "call-3",
        "summary": "make test",
    },
)
class AgentToolCalled(msgspec.Struct, frozen=True, kw_only=True):
    """An agent called a tool; `summary` is for people, such as the command or the path."""

    tool_name: str
    session_id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET


@event_type(
    "agent.tool_finished",
    example={
        "session_id": "s-9",
        "tool_name": "Bash",
        "call_id": "call-3",
        "summary": "make test",
        "success": False,
        "error": "exit status 2",
        "duration_ms": 840,
    },
)
class AgentToolFinished(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that an agent called has finished; `error` says why `success` is false."""

    tool_name: str
    session_id: str | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    success: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET


@event_type(
    "agent.message",
    example={"session_id": "s-9", "agent_name": "Ada", "content": "The parser is fixed."},
)
class AgentMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An agent wrote something while it worked: a thought, a question, a report."""

    content: str
    session_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    role: str | UnsetType = UNSET


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
class AgentSessionFinished(msgspec.Struct, frozen=True, kw_only=True):
    """An agent ended its work."""

    session_id: str
    agent_name: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    duration_ms: float | UnsetType = UNSET
