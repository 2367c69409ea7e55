"""The fields of an agent's event that its session's state depends on. Pure."""

import msgspec

LONGEST_ID = 200  # characters; an agent's own ids have about 40
# Who reports a session: the later one counts, as all of them report the same steps.
SOURCES = ("logs", "traces", "")  # signals of OpenTelemetry, and all others


class Data(msgspec.Struct, gc=False):
    """The fields that are read. Their values are anybody's; large fields are skipped unread."""

    session_id: object = None
    agent_id: object = None
    folder: object = None
    tool_name: object = None
    tool_use_id: object = None
    call_id: object = None
    spawns_agent: object = None
    child_id: object = None
    summary: object = None
    reason: object = None
    message: object = None
    error: object = None
    outcome: object = None
    calls: object = None


class Metadata(msgspec.Struct, gc=False):
    """Who reported the event."""

    source: object = None
    agent: object = None
    otlp: object = None
    hook: object = None
    publisher: object = None

    @property
    def rank(self) -> int:
        """The place of the reporting source in `SOURCES`."""
        return SOURCES.index(self.otlp) if self.otlp in SOURCES[:2] else len(SOURCES) - 1


class _Contents(msgspec.Struct):
    data: Data
    metadata: Metadata


decode = msgspec.json.Decoder(_Contents).decode


def text(value: object) -> str | None:
    """The value if it is a text with at least one character."""
    return value if isinstance(value, str) and value else None


def id_of(value: object) -> str | None:
    """The value as an id of bounded length."""
    named = text(value)
    return None if named is None else named[:LONGEST_ID]
