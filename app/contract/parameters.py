"""Credentials, parameters and headers of requests to the HTTP routes."""

from ..api import events, history
from ..auth.credentials import KEY_HEADER
from ..ws.queries import NAME
from .schemas import (
    COOKIE,
    COOKIE_HELP,
    EPOCH,
    KEY_HELP,
    TOKEN_HEADER,
    TOKEN_HELP,
    TYPES,
    Schema,
)

SECURITY: Schema = {
    "sessionToken": {
        "type": "apiKey",
        "in": "header",
        "name": TOKEN_HEADER,
        "description": TOKEN_HELP,
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": TOKEN_HELP},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": COOKIE_HELP},
    "browserKey": {
        "type": "apiKey",
        "in": "header",
        "name": KEY_HEADER,
        "description": KEY_HELP,
    },
}
TOKEN_ONLY: list[Schema] = [{"sessionToken": []}, {"bearer": []}]
_LIMIT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": history.MAX_LIMIT,
    "default": history.DEFAULT_LIMIT,
    "description": "The largest number of events.",
}
_POSITION: Schema = {
    "type": "string",
    "pattern": f"^(?:{NAME.pattern}:)?[0-9]{{1,15}}$",
    "description": "Exclusive: a position, `epoch:number`, or a number with `epoch` beside it.",
}
_DAY = "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{3})?)?Z?"
_TIME: Schema = {  # the forms that every reader of times understands
    "type": "string",
    "pattern": f"^(?:[0-9]{{9,15}}|[0-9]{{1,6}}[smhdw]|{_DAY}(T{_CLOCK})?)$",
    "description": "ISO 8601, Unix milliseconds, or an age such as `2h`. Needs a journal.",
}
HISTORY: dict[str, Schema] = {
    "types": TYPES,
    "after": _POSITION,
    "before": _POSITION,
    "epoch": EPOCH,
    "order": {"type": "string", "enum": ["asc", "desc"], "description": "Always by position."},
    "since": _TIME,
    "until": _TIME,
    "agent": {"type": "string", "description": "Only events with this `metadata.agent`."},
    "session_id": {"type": "string", "description": "Only events of this session of an agent."},
    "q": {
        "type": "string",
        "pattern": "[A-Za-z0-9]",
        "maxLength": 64,
        "description": "Words, and phrases in quotes, that all occur.",
    },
    "limit": _LIMIT,
}
KEY: Schema = {
    "type": "string",
    "pattern": f"^{events.KEY.pattern}$",
    "description": "If the log remembers keys (NATS), a request sent twice is published once.",
}
LAST_EVENT_ID: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z0-9._-]{1,64}:[0-9]{1,16}$",
    "description": "`epoch:sequence_number`: resume there. `EventSource` sends it by itself.",
}
AGUI_EVENT_ID: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z0-9._-]{1,64}:[0-9]{1,15}([.][0-9]{1,6})?!?$",
    "description": "The `id` of the last event that was received: resume behind it.",
}
IF_NONE_MATCH: Schema = {"type": "string", "description": "The `ETag` of the cached copy."}
