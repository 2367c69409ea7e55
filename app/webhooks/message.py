"""What one webhook carries: headers, signature and body. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from ..events import Event

MAX_TEXT = 1000  # characters of a field in a text for Slack
_ASKS = {
    "permission": "asks for permission",
    "plan": "asks you to approve its plan",
    "question": "asks you a question",
    "idle": "waits for a prompt",
    "failed": "failed",
    "silent": "has been silent while it worked",
}


class Message(msgspec.Struct, frozen=True):
    """One event for one endpoint. `id` stays the same over all attempts."""

    id: str
    body: bytes
    signed: bool

    def headers(self, now: int, keys: Sequence[bytes]) -> dict[str, str]:
        """The headers of an attempt at `now`, in Unix seconds; one signature for each key."""
        headers = {
            "content-type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(now),
        }
        if self.signed:
            content = f"{self.id}.{now}.".encode() + self.body
            digests = (hmac.digest(key, content, hashlib.sha256) for key in keys)
            signatures = (f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
            headers["webhook-signature"] = " ".join(signatures)
        return headers


def message_of(event: Event, epoch: str, *, slack: bool) -> Message:
    """The message for an event. Its id is the event's position, so every gateway gives it the same."""
    # A dot separates the parts of what is signed.
    id_ = f"msg_{epoch.replace('.', '-')}_{event.sequence_number}"
    if not slack:
        return Message(id_, event.encoded, signed=True)
    return Message(id_, msgspec.json.encode({"text": slack_text(event)}), signed=False)


def slack_text(event: Event) -> str:
    """The event as one text: who needs what, and where."""
    data, metadata = event.data, event.metadata
    who = _text(metadata.get("agent")) or _text(data.get("agent_name")) or "An agent"
    if event.type == "agent.attention_needed":
        reason = _text(data.get("reason"))
        line = f"{who} {_ASKS.get(reason, f'needs you: {reason}' if reason else 'needs you')}"
        call = _text(data.get("tool_name")), _text(data.get("summary")), _text(data.get("message"))
        what = " ".join(part for part in call if part)
    else:
        line = f"{_text(metadata.get('agent')) or _text(metadata.get('source'))} {event.type}"
        line = line.strip()
        fields = ("error", "message", "summary", "tool_name", "path", "status")
        what = next((found for name in fields if (found := _text(data.get(name)))), "")
    where = _text(data.get("folder")), _text(data.get("session_id"))
    named = [
        f"{label} {value}" for label, value in zip(("in", "session"), where, strict=True) if value
    ]
    return (f"{line}: {what}" if what else line) + (f" ({', '.join(named)})" if named else "")


def _text(value: object) -> str:
    """A text for Slack, which reads `<`, `>` and `&` as its own marks; "" for anything else."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 4 * MAX_TEXT].split())[:MAX_TEXT]
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
