"""List the browsers that are logged in, and log them out."""

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from ..auth.credentials import Credential
from ..auth.tokens import Keyring
from ..errors import BadRequestError
from ..ws.registry import ConnectionRegistry
from .login import HTTPRequest, login_cookie


class LoggedInBrowser(msgspec.Struct):
    """One browser session; `current` is true for the caller's own."""

    id: str
    user_agent: str
    logged_in_at: str
    expires_in_s: int
    connections: int
    current: bool


class LoggedInBrowsers(msgspec.Struct):
    """The browser sessions, oldest first."""

    sessions: list[LoggedInBrowser]


@get("/api/sessions", opt={"scope": "admin"})
async def list_sessions(
    request: HTTPRequest,
    keyring: NamedDependency[Keyring],
    registry: NamedDependency[ConnectionRegistry],
) -> LoggedInBrowsers:
    """List the browsers that are logged in."""
    own: Credential = request.scope["state"]["credential"]
    browsers = keyring.browser_sessions
    return LoggedInBrowsers(
        [
            LoggedInBrowser(
                id=session.id,
                user_agent=session.user_agent,
                logged_in_at=session.logged_in_at,
                expires_in_s=left_s,
                connections=registry.opened_by(browsers.credential(session)),
                current=session.id == own.id,
            )
            for session, left_s in browsers.all()
        ]
    )


@delete("/api/sessions", opt={"scope": "admin"})
async def end_sessions(keyring: NamedDependency[Keyring]) -> None:
    """Log every browser out and close its connections."""
    keyring.end_sessions()


@delete("/api/sessions/{id:str}", opt={"scope": "admin"})
async def end_session(id: FromPath[str], keyring: NamedDependency[Keyring]) -> None:
    """Log one browser out and close its connections."""
    if not keyring.end_session(id):
        raise NotFoundException


@post("/api/logout", opt={"scope": "any"})
async def log_out(request: HTTPRequest, keyring: NamedDependency[Keyring]) -> Response[None]:
    """Log the calling browser out and close its connections."""
    credential: Credential = request.scope["state"]["credential"]
    if credential.kind == "user":
        raise BadRequestError(
            "a proxy has logged this user in, and the gateway cannot end that: log out at the proxy,"
            " at /oauth2/sign_out of oauth2-proxy"
        )
    if credential.kind != "cookie":
        raise BadRequestError(
            "a token cannot log out: DELETE /api/sessions logs browsers out, and"
            " `sightline token --rotate` makes a new token"
        )
    keyring.end_session(credential.id)
    headers = {"Set-Cookie": login_cookie(request, "", 0), "Cache-Control": "no-store"}
    return Response(None, status_code=204, headers=headers)


ROUTES = (list_sessions, end_sessions, end_session, log_out)
