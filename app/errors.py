"""Every error that the gateway raises on purpose, and the codes that close a WebSocket.

```text
SightlineError
├── SettingsError            a setting does not parse: stops the start
├── BadRequestError          400: a malformed filter, position, id, query or body
│   └── InvalidPatternError
├── PublishError             400: the event is refused and uses up no number
│   ├── UnknownEventTypeError
│   ├── InvalidDataError
│   └── EventTooLargeError   413
├── UnauthorizedError        401
├── ForbiddenError           403
├── UnavailableError         503: no place is free, or shutting down
│   └── JournalUnavailableError  storing fails
├── NotStartedError          503: the server did not run the lifespan
├── WrongLoopError           a call from another thread, event loop or process
└── SubscriptionClosedError  this subscription has ended
```
"""

from enum import IntEnum
from typing import ClassVar

import msgspec


class CloseCode(IntEnum):
    """Why the gateway closed a WebSocket. `reconnect`: whether a client should connect again."""

    reconnect: bool

    def __new__(cls, code: int, reconnect: bool) -> "CloseCode":
        member = int.__new__(cls, code)
        member._value_ = code
        member.reconnect = reconnect
        return member

    TOO_BIG = 1009, False  # a message of the client was too big
    INTERNAL_ERROR = 1011, True
    RESTART = 1012, True  # the gateway goes down, or its epoch changed
    UNAUTHORIZED = 4401, False  # the credential of the connection has ended
    REPLACED = 4409, False  # a newer connection took the `client_id`
    TOO_MANY_MESSAGES = 4429, True  # after a minute


CLOSE_TOO_BIG = CloseCode.TOO_BIG
CLOSE_RESTART = CloseCode.RESTART
CLOSE_INTERNAL_ERROR = CloseCode.INTERNAL_ERROR
CLOSE_UNAUTHORIZED = CloseCode.UNAUTHORIZED
CLOSE_REPLACED = CloseCode.REPLACED
CLOSE_TOO_MANY_MESSAGES = CloseCode.TOO_MANY_MESSAGES


class ErrorMessage(msgspec.Struct, tag="error"):
    """What was wrong with which value, and the remedy. It is the body of every HTTP refusal."""

    code: str
    message: str
    id: str | int | msgspec.UnsetType = msgspec.UNSET


class SightlineError(Exception):
    """Base class. `str(error)` is for people: the value and the remedy. `code` is for programs."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500


class SettingsError(SightlineError):
    code = "invalid_setting"


class BadRequestError(SightlineError):
    code = "bad_request"
    status = 400


class InvalidPatternError(BadRequestError):
    code = "invalid_pattern"


class PublishError(SightlineError):
    code = "publish_refused"
    status = 400


class UnknownEventTypeError(PublishError):
    code = "unknown_event_type"


class InvalidDataError(PublishError):
    code = "invalid_data"


class EventTooLargeError(PublishError):
    code = "event_too_large"
    status = 413


class UnauthorizedError(SightlineError):
    code = "unauthorized"
    status = 401


class ForbiddenError(SightlineError):
    code = "forbidden"
    status = 403


class UnavailableError(SightlineError):
    code = "unavailable"
    status = 503


class WrongLoopError(SightlineError):
    code = "wrong_loop"


class SubscriptionClosedError(SightlineError):
    code = "subscription_closed"


class JournalUnavailableError(UnavailableError):
    code = "journal_unavailable"


class NotStartedError(SightlineError):
    code = "not_started"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "the gateway was not started: this server, or the application that it is mounted in,"
            " did not run its ASGI lifespan. Serve it with `litestar run` or another server that"
            " does (uvicorn, hypercorn, granian), or run `async with app.lifespan():` in the"
            " lifespan of the outer application (docs/embedding.md)"
        )
