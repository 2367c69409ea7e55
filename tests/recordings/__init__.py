"""What real coding agents sent, see README.md here, and how the gateway reads it."""

import json
from collections.abc import Callable
from pathlib import Path

from app.ingest import claude_code, codex
from app.ingest.hooks import AgentEvent, Hook

FOLDER = Path(__file__).parent
READERS: dict[str, Callable[[Hook], list[AgentEvent]]] = {
    "/hooks/claude-code": claude_code.read,
    "/hooks/command": claude_code.read,
    "/hooks/codex": codex.read,
}


def hooks_of(name: str) -> list[tuple[str, dict[str, object]]]:
    """Path and body of each hook in a recorded file, in the order of their arrival."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [(r["path"], r["body"]) for r in records if r["at"] == "hook"]


def events_of(name: str) -> list[AgentEvent]:
    """The events that the hooks of a recorded file become."""
    return [event for path, body in hooks_of(name) for event in READERS[path](body)]


HOOK_FILES = sorted(path.stem for path in FOLDER.glob("*.jsonl") if hooks_of(path.stem))
