"""What real coding agents sent, see README.md here, and how the gateway reads it."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.ingest import claude_code, codex, otlp_json, otlp_protobuf
from app.ingest.hooks import AgentEvent, Hook
from app.ingest.otlp import Keyed
from app.ingest.otlp_http import decompress
from app.ingest.telemetry import read_record, read_spans

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


def requests_of(name: str) -> list[tuple[str, dict[str, str], bytes]]:
    """Path, headers and body of each OTLP request in a recorded file."""
    records = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]
    return [_request(record) for record in records if record["at"] != "hook"]


def _request(record: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    body = record["body"]
    sent = base64.b64decode(body) if record.get("encoding") else json.dumps(body).encode()
    return record["path"], record["headers"], sent


def read_request(
    path: str, headers: dict[str, str], body: bytes, sessions: dict[str, str]
) -> list[Keyed]:
    """The events of one OTLP request."""
    reader = otlp_json if headers["content-type"] == "application/json" else otlp_protobuf
    body = decompress(body, headers.get("content-encoding", ""))
    if path == "/v1/traces":
        return [one for read in read_spans(reader.spans(body), sessions) for one in read]
    records = reader.records(body) if path == "/v1/logs" else ()
    return [one for record in records for one in read_record(record)]


def telemetry_of(name: str, with_hooks: bool) -> list[AgentEvent]:
    """The events of the OTLP requests of a recorded file, each once, and of its hooks, as they came."""
    sessions: dict[str, str] = {}
    seen: set[str] = set()
    events: list[AgentEvent] = []
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["at"] == "hook":
            events += READERS[record["path"]](record["body"]) if with_hooks else []
            continue
        for event, key in read_request(*_request(record), sessions):
            if key not in seen:
                events.append(event)
            seen.add(key)
    return events


OTLP_FILES = sorted(path.stem for path in FOLDER.glob("*.jsonl") if requests_of(path.stem))
HOOK_FILES = sorted(path.stem for path in FOLDER.glob("*.jsonl") if hooks_of(path.stem))
