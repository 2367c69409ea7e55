"""What can go wrong, as a tree: `str(error)` is what a person reads, `code` what a program compares.

```text
SightlineError
├── AddressError             no gateway or no token is known, or the URL is not one
├── UnreachableError         nothing answers there (temporary)
├── RefusedError             the gateway answered with an HTTP status that is not success
│   ├── UnauthorizedError    401
│   ├── ForbiddenError       403
│   ├── PublishError         a published event was refused: no number is used up
│   │   ├── UnknownEventTypeError
│   │   ├── InvalidDataError
│   │   └── TooLargeError    413
│   └── UnavailableError     429 or 5xx (temporary): no place left, shutting down
├── ClosedError              an open connection ended (temporary, except 1009)
│   ├── EndedError           4401: the gateway ended the token that let this client in; an
│   │                        UnauthorizedError too
│   └── ReplacedError        4409: another connection took over this client's id
└── ProtocolError            what arrived is not `events.v1`
```
"""

from collections.abc import Mapping

import msgspec

MESSAGE_TOO_BIG = 1009
UNAUTHORIZED = 4401
REPLACED = 4409
TOO_MANY_MESSAGES = 4429
TOO_MANY_MESSAGES_WAIT_S = 60.0  # the protocol's "after a minute"
MOST_WAIT_S = 3600.0  # of what `Retry-After` may ask for


class SightlineError(Exception):
    """Base of all. `temporary` says whether trying again may help, `wait_s` how long at least."""

    code = "error"
    temporary = False
    wait_s = 0.0


class AddressError(SightlineError):
    """It is not known where the gateway is, or with which token to go there."""

    code = "no_gateway"


class UnreachableError(SightlineError):
    """No connection, or no complete answer."""

    code = "unreachable"
    temporary = True


class StrangerError(UnreachableError):
    """Another server answers at the address of the gateway: no secret was sent to it."""

    code = "stranger"


class RefusedError(SightlineError):
    """A refusal over HTTP, with the status and the code and message of its body."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UnauthorizedError(RefusedError):
    """The token is missing, wrong or no longer valid: do not use it again."""


class ForbiddenError(RefusedError):
    """The gateway does not know itself by this host name; the message names the setting."""


class PublishError(RefusedError):
    """The event, or one of an array, is refused; of an array none was published then."""


class UnknownEventTypeError(PublishError):
    """The type is not in the gateway's catalog; the message names the nearest."""


class InvalidDataError(PublishError):
    """The data does not fit its type, or is not JSON; the message names the field."""


class TooLargeError(PublishError):
    """The event or the request is over the gateway's limit."""


class UnavailableError(RefusedError):
    """The gateway cannot serve this now."""

    temporary = True

    def __init__(self, message: str, status: int, code: str, wait_s: float = 0.0) -> None:
        super().__init__(message, status, code)
        self.wait_s = wait_s


class ClosedError(SightlineError):
    """The connection ended with `close_code`, or without one: then it is 1006."""

    code = "closed"

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"the connection ended with {close_code} {reason}".rstrip())
        self.close_code = close_code
        self.temporary = close_code not in (MESSAGE_TOO_BIG, REPLACED)
        self.wait_s = TOO_MANY_MESSAGES_WAIT_S if close_code == TOO_MANY_MESSAGES else 0.0


class EndedError(ClosedError, UnauthorizedError):
    """The gateway ended the token or login of this connection: read the new one."""

    def __init__(self, close_code: int, reason: str) -> None:
        said = f"the connection ended with {close_code} {reason}".rstrip()
        super(ClosedError, self).__init__(
            f"{said}: connect again with a new token", 401, "unauthorized"
        )
        self.close_code = close_code


class ReplacedError(ClosedError):
    """A newer connection uses the same client id."""

    code = "replaced"


class ProtocolError(SightlineError):
    """A message that no `events.v1` gateway sends."""

    code = "protocol"


class _Body(msgspec.Struct):
    message: str
    code: str = "refused"


_decode_body = msgspec.json.Decoder(_Body).decode
_BY_CODE: dict[str, type[PublishError]] = {
    "unknown_event_type": UnknownEventTypeError,
    "invalid_data": InvalidDataError,
    "event_too_large": TooLargeError,
    "body_too_large": TooLargeError,
    "publish_refused": PublishError,
}
_CLOSED = {UNAUTHORIZED: EndedError, REPLACED: ReplacedError}
_BY_STATUS: dict[int, type[RefusedError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    413: TooLargeError,
}


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> RefusedError:
    """The error for an HTTP answer; `headers` are looked up in lower case."""
    try:
        refusal = _decode_body(body)
    except (msgspec.MsgspecError, UnicodeError):  # not from the gateway but from a proxy
        refusal = _Body(f"the answer was HTTP {status}")
    if status == 429 or status >= 500:
        return UnavailableError(refusal.message, status, refusal.code, _seconds(headers))
    kind = _BY_CODE.get(refusal.code) or _BY_STATUS.get(status, RefusedError)
    return kind(refusal.message, status, refusal.code)


def closed(code: int, reason: str) -> SightlineError:
    """The error for the end of a connection."""
    return _CLOSED.get(code, ClosedError)(code, reason)


def _seconds(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "")
    return min(float(text), MOST_WAIT_S) if text.isascii() and text.isdigit() else 0.0
