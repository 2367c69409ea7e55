"""Log in a browser: a ticket, made by whoever is in, becomes a cookie."""

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from app.auth.guards import cookie_name, cookie_path
from app.auth.tokens import BROWSER_SESSION_LIFETIME_S, TICKET_LIFETIME_S, Keyring
from app.errors import BadRequestError, UnauthorizedError
from app.strict_json import check_depth

MAX_BODY_BYTES = 4096
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


class Ticket(msgspec.Struct):
    """Good for one log-in, until it expires."""

    ticket: str


class NewTicket(Ticket):
    """A ticket and the seconds it has."""

    expires_in_s: int


@post("/api/tickets")
async def make_ticket(keyring: NamedDependency[Keyring]) -> NewTicket:
    """Make a ticket for the page `/login#<ticket>`."""
    return NewTicket(keyring.tickets.issue(), TICKET_LIFETIME_S)


@post("/api/login", opt={"open": True}, request_max_body_size=MAX_BODY_BYTES)
async def log_in(request: HTTPRequest, keyring: NamedDependency[Keyring]) -> Response[None]:
    """Trade a ticket for a cookie."""
    if request.content_type[0] != "application/json":
        raise HTTPException("send Content-Type: application/json", status_code=415)
    body = await request.body()
    check_depth("the body", body)
    try:
        ticket = msgspec.json.decode(body, type=Ticket).ticket.encode()
    except (msgspec.MsgspecError, RecursionError, UnicodeError):  # none may quote the ticket
        raise BadRequestError('send {"ticket":"…"}, as JSON') from None
    session = keyring.log_in(ticket)
    if session is None:
        raise UnauthorizedError(
            "this link was used before or is over five minutes old: run `litestar login`"
            " in the gateway's folder for another"
        )
    cookie = f"{cookie_name(request.scope['headers'])}={session}; HttpOnly; SameSite=Strict"
    cookie += f"; Path={cookie_path(request.scope)}; Max-Age={BROWSER_SESSION_LIFETIME_S}"
    if request.headers.get("origin", "").startswith("https://"):
        cookie += "; Secure"
    headers = {"Set-Cookie": cookie, "Cache-Control": "no-store"}
    return Response(None, status_code=204, headers=headers)
