"""Browser log-in: exchanges a ticket for a cookie and a browser key."""

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from ..auth.browsers import LIFETIME_S
from ..auth.credentials import KEY_HEADER, Credential, cookie_name
from ..auth.guards import cookie_path
from ..auth.tokens import TICKET_LIFETIME_S, Keyring
from ..channels.strict_json import check_depth
from ..errors import BadRequestError, UnauthorizedError

MAX_BODY_BYTES = 4096
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


class Ticket(msgspec.Struct):
    """A ticket for one log-in."""

    ticket: str


class NewTicket(Ticket):
    """A new ticket and its lifetime in seconds."""

    expires_in_s: int


@post("/api/tickets", opt={"token_only": True, "scope": "read"})
async def make_ticket(request: HTTPRequest, keyring: NamedDependency[Keyring]) -> NewTicket:
    """Make a ticket for the page `/login#<ticket>`. The browser may do what the token may do."""
    credential: Credential = request.scope["state"]["credential"]
    return NewTicket(keyring.make_ticket(credential), TICKET_LIFETIME_S)


@post("/api/login", opt={"open": True}, request_max_body_size=MAX_BODY_BYTES)
async def log_in(request: HTTPRequest, keyring: NamedDependency[Keyring]) -> Response[None]:
    """Exchange a ticket for the login cookie and, in a header, the browser key."""
    if request.content_type[0] != "application/json":
        raise HTTPException("send Content-Type: application/json", status_code=415)
    body = await request.body()
    check_depth("the body", body)
    try:
        ticket = msgspec.json.decode(body, type=Ticket).ticket.encode()
    except (
        msgspec.MsgspecError,
        RecursionError,
        UnicodeError,
    ):  # without `error`, which may quote the ticket
        raise BadRequestError('send {"ticket":"…"}, as JSON') from None
    secret = keyring.log_in(ticket, request.headers.get("user-agent", ""))
    if secret is None:
        raise UnauthorizedError(
            "this link was used before or is over five minutes old: run `sightline login`"
            " in the gateway's folder for another"
        )
    headers = {KEY_HEADER: secret.key, "Cache-Control": "no-store"}
    headers["Set-Cookie"] = login_cookie(request, secret.cookie, LIFETIME_S)
    return Response(None, status_code=204, headers=headers)


ROUTES = (make_ticket, log_in)


def login_cookie(request: HTTPRequest, value: str, max_age_s: int) -> str:
    """The `Set-Cookie` header; a `max_age_s` of 0 deletes the cookie."""
    cookie = f"{cookie_name(request.scope['headers'])}={value}; HttpOnly; SameSite=Strict"
    cookie += f"; Path={cookie_path(request.scope)}; Max-Age={max_age_s}"
    if request.headers.get("origin", "").startswith("https://"):
        cookie += "; Secure"
    return cookie
