"""The pages and scripts that browsers load, with strict security headers. They hold no secrets."""

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
# The wheel has a copy of the browser client; in a checkout it has its own folder.
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
    "Cache-Control": "no-cache",  # revalidate each time, by ETag
}
HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


@lru_cache(maxsize=128)
def _read(path: Path, modified_ns: int) -> tuple[bytes, str]:
    """A file's content and ETag, read again only when the file was modified.

    These routes need no credential, so a flood must stay cheap. Reading in a thread for each request
    would make the event loop wait for the interpreter lock.
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
    """Serve a file by a name that the folder lists, so no path leads out of the folder."""
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

    The cookie alone is enough here, because a browser that opens an address sends no browser key.
    The page holds no data: its script fetches the data with the key.
    """
    return _answer(request, STATIC / ("index.html" if _is_logged_in(request) else "login.html"))


@get("/login", opt={"open": True}, sync_to_thread=False)
def login_page(request: HTTPRequest) -> Response[bytes]:
    """Serve the page of a login link, whose script exchanges the ticket for a cookie."""
    return _answer(request, STATIC / "login.html")


@get("/static/{name:str}", opt={"open": True}, sync_to_thread=False)
def static_file(request: HTTPRequest, name: FromPath[str]) -> Response[bytes]:
    """Serve a script, style sheet or image of the console."""
    return _listed(request, STATIC, name)


@get("/static/{folder:str}/{name:str}", opt={"open": True}, sync_to_thread=False)
def static_folder_file(
    request: HTTPRequest, folder: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """Serve a script of one of the console's folders."""
    if folder in os.listdir(STATIC) and (STATIC / folder).is_dir():
        return _listed(request, STATIC / folder, name)
    raise NotFoundException


@get("/client/{name:str}", opt={"open": True}, sync_to_thread=False)
def client_file(request: HTTPRequest, name: FromPath[str]) -> Response[bytes]:
    """Serve a file of the browser client, which any page may import."""
    return _listed(request, CLIENT, name)


SITE = [console, login_page, static_file, static_folder_file]
