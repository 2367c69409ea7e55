"""What people and agents say to each other."""

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
