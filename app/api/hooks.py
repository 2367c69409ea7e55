"""Where coding agents post what their hooks say. The answer is empty, and comes at once.

An agent reads the answer of a hook: a body could stop it, block its prompt or deny its tool. So
whatever arrives is answered with 204, also what cannot be read: telemetry must not change the agent.
Only a request that is none of an agent's own is refused, without a credential (401), from a foreign
page (403), or over `MAX_HOOK_BYTES` (413); agents take these for a receiver that is down.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog
from litestar.di import NamedDependency

from ..attention.watcher import AttentionWatcher
from ..auth.publishing import HeldPublisher
from ..ingest import claude_code, codex
from ..ingest.hooks import MAX_DATA_BYTES, AgentEvent, Hook, cut
from ..ingest.recent import RecentTelemetry
from .answer import Answer, DirectRoute, HTTPRequest, read_body

MAX_HOOK_BYTES = 16 * 1024 * 1024  # a hook about a large file holds it several times over
HOOK = {"hook": True, "scope": "publish"}
ROOM = 1024  # for the metadata of an event, within its bound
_log = structlog.get_logger("sightline.hooks")
_TAKEN = Answer(204)
_decode = msgspec.json.Decoder(dict[str, object]).decode


class HookParts(NamedTuple):
    """What the routes of hooks use, injected as one: see `Parts`."""

    publisher: HeldPublisher
    recent: RecentTelemetry
    attention: AttentionWatcher


@DirectRoute("/api/hooks/claude-code", "hook_parts", MAX_HOOK_BYTES, HOOK)
async def claude_code_hook(request: HTTPRequest, hook_parts: NamedDependency[HookParts]) -> Answer:
    """Take what a hook of Claude Code says, as it is."""
    body = await read_body(request.scope, request.receive, MAX_HOOK_BYTES)
    _publish(body, claude_code.read, claude_code.SOURCE, hook_parts)
    return _TAKEN


@DirectRoute("/api/hooks/codex", "hook_parts", MAX_HOOK_BYTES, HOOK)
async def codex_hook(request: HTTPRequest, hook_parts: NamedDependency[HookParts]) -> Answer:
    """Take what a hook of Codex says, as it is."""
    body = await read_body(request.scope, request.receive, MAX_HOOK_BYTES)
    _publish(body, codex.read, codex.SOURCE, hook_parts)
    return _TAKEN


ROUTES = (claude_code_hook, codex_hook)


def _publish(
    body: bytes, read: Callable[[Hook], list[AgentEvent]], source: str, parts: HookParts
) -> None:
    publisher = parts.publisher
    hook = _hook(body)
    if hook is None:
        _log.warning("hook_unreadable", source=source, bytes=len(body))
        return
    # Before texts are cut: what is left of a secret has no shape that tells it.
    for given in read(publisher.redactor.redact_value(hook)):
        event = parts.attention.settle(given)
        data = event.data
        if publisher.max_event_bytes < MAX_DATA_BYTES + ROOM:
            data = cut(data, publisher.max_event_bytes - ROOM)
        if isinstance(session_id := data.get("session_id"), str):
            parts.recent.hooked[session_id] = ""
        publisher.emit_for(given.type, event.type, data, event.metadata)


def _hook(body: bytes) -> Hook | None:
    """The object in the body; None where there is none. Half characters are no reason to lose it."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        value = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
