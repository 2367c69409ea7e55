"""The pages and scripts that browsers load. None holds a secret; they come with strict rules."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from ..auth.guards import authenticate_scope, has_browser_session
from ..errors import UnauthorizedError

APP = Path(__file__).parent.parent
STATIC = APP / "static"
# In a checkout the client has a folder of its own; the wheel carries a copy.
CLIENT = next(filter(Path.is_dir, (APP / "client", APP.parent / "clients" / "js")), STATIC)
MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".ts": "text/plain",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
RULES = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # ask each time: the ETag saves the body
}
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


@lru_cache(maxsize=128)
def _read(path: Path, modified_ns: int) -> tuple[bytes, str]:
    """Read a file and make its ETag, once for each time that it was modified.

    Anybody may ask for pages. A thread for each request would hold up the event loop: under a flood,
    every turn of the loop would wait for the threads' turns of the interpreter.
    """
    body = path.read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _answer(request: HTTPRequest, path: Path, media_type: str = "text/html") -> Response[bytes]:
    body, etag = _read(path, path.stat().st_mtime_ns)
    headers = {**RULES, "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _listed(request: HTTPRequest, folder: Path, name: FromPath[str]) -> Response[bytes]:
    """Only names that stand in the folder are looked up, so no path leads out of it."""
    path = folder / name
    if name in os.listdir(folder) and path.suffix in MEDIA_TYPES and path.is_file():
        return _answer(request, path, MEDIA_TYPES[path.suffix])
    raise NotFoundException


def _is_logged_in(request: HTTPRequest) -> bool:
    if has_browser_session(request.scope):
        return True
    try:
        authenticate_scope(request.scope)
    except UnauthorizedError:
        return False
    return True


@get("/", opt={"open": True}, sync_to_thread=False)
def console(request: HTTPRequest) -> Response[bytes]:
    """Serve the console, or the login page to a browser that is not logged in.

    A browser that opens an address sends no browser key. The page holds no data: its script fetches
    them, with the key.
    """
    return _answer(request, STATIC / ("index.html" if _is_logged_in(request) else "login.html"))


@get("/login", opt={"open": True}, sync_to_thread=False)
def login_page(request: HTTPRequest) -> Response[bytes]:
    """Where a login link leads: the page's script trades the ticket for a cookie."""
    return _answer(request, STATIC / "login.html")


@get("/static/{name:str}", opt={"open": True}, sync_to_thread=False)
def static_file(request: HTTPRequest, name: FromPath[str]) -> Response[bytes]:
    """What the pages are made of."""
    return _listed(request, STATIC, name)


@get("/client/{name:str}", opt={"open": True}, sync_to_thread=False)
def client_file(request: HTTPRequest, name: FromPath[str]) -> Response[bytes]:
    """The browser client, for any page that imports it."""
    return _listed(request, CLIENT, name)
