"""What the gateway's watcher adds to a stream of agents' events. Pure."""

import json
from datetime import UTC, datetime
from typing import Any

from app.attention.watch import Alarm, Watch

Step = dict[str, Any]


def encoded(step: Step) -> bytes:
    """A step as the bus encodes an event."""
    return json.dumps({"data": step["data"], "metadata": step["metadata"]}).encode()


def published(alarm: Alarm, at: float) -> Step:
    """The event that an alarm becomes."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return {
        "type": "agent.attention_needed",
        "timestamp": moment.replace("+00:00", "Z"),
        "data": {
            "session_id": alarm.session_id,
            "reason": alarm.reason,
            "message": alarm.message,
        },
        "metadata": alarm.metadata,
    }


def watched(steps: list[Step], end: float) -> list[Step]:
    """The steps, numbered anew, with the alarms of a gateway that looks after each and at `end`."""
    watch = Watch()
    found: list[Step] = []

    def add(step: Step, at: float) -> None:
        found.append({**step, "sequence_number": len(found) + 1})
        watch.take(step["type"], encoded(step), len(found), at)

    for step in [*steps, None]:
        at = end if step is None else datetime.fromisoformat(step["timestamp"]).timestamp()
        if step is not None:
            add(step, at)
        for alarm in watch.due(at):
            add(published(alarm, at), at)
    return found
