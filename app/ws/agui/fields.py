"""Reading the fields of agents' events, whose values are anybody's. Pure."""

from collections.abc import Mapping

import msgspec

Data = Mapping[str, object]
# Who reports a session: the later one counts. "" is a hook, or whoever else publishes.
_SIGNALS = ("logs", "traces", "")
# Names that agents give to a tool's result, in `details`.
_RESULTS = ("tool_response", "result", "output")


def text(data: Data, field: str) -> str | None:
    """The text in a field; None for an empty one."""
    value = data.get(field)
    return value if isinstance(value, str) and value else None


def signal_rank(metadata: Data) -> int:
    """How much the source of an event counts."""
    signal = metadata.get("otlp")
    return _SIGNALS.index(signal if signal in _SIGNALS else "")


def arguments_of(data: Data) -> str:
    """The arguments of a call as the text of a JSON object."""
    tool_input = data.get("tool_input")
    return _json(tool_input) if isinstance(tool_input, dict) else "{}"


def answer_of(data: Data) -> tuple[str, Data]:
    """What a call brought, as text, and what else is known of its end."""
    outcome = text(data, "outcome") or ("failed" if data.get("success") is False else "ok")
    known = {
        "outcome": outcome,
        "durationMs": data.get("duration_ms"),
        "error": text(data, "error"),
    }
    details = data.get("details")
    found = None
    if isinstance(details, dict):
        found = next((details[name] for name in _RESULTS if details.get(name) is not None), None)
    if error := text(data, "error"):
        return error, known
    if isinstance(found, str):
        return found or outcome, known
    return outcome if found is None else _json(found), known


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
