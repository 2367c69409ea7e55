"""Every error the gateway raises on purpose: a stable code, the offending value, the remedy.

```text
SightlineError
├── SettingsError            a setting that does not parse: stops the start
├── BadRequestError          400: a malformed filter, position, id, query or body
│   └── InvalidPatternError
├── PublishError             400: the event is refused and uses up no number
│   ├── UnknownEventTypeError
│   ├── InvalidDataError
│   └── EventTooLargeError   413
├── UnauthorizedError        401
├── ForbiddenError           403
├── UnavailableError         503: no place left, or shutting down
│   └── JournalUnavailableError  nothing can be stored
├── NotStartedError          503: the server never ran the lifespan
├── WrongLoopError           a call from another thread, event loop or process
└── SubscriptionClosedError  nothing more comes from this subscription
```
"""

from typing import ClassVar

import msgspec

CLOSE_TOO_BIG = 1009
CLOSE_RESTART = 1012
CLOSE_INTERNAL_ERROR = 1011
CLOSE_UNAUTHORIZED = 4401
CLOSE_REPLACED = 4409
CLOSE_TOO_MANY_MESSAGES = 4429


class ErrorMessage(msgspec.Struct, tag="error"):
    """What was wrong with which value, and the remedy. Also the body of every HTTP refusal."""

    code: str
    message: str
    id: str | int | msgspec.UnsetType = msgspec.UNSET


class SightlineError(Exception):
    """Base of all: `str(error)` is the sentence a person reads, `code` what a program compares."""

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
