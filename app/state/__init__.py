"""The state folder: files of the gateway for its own clients, readable only by its user."""

import errno
import hashlib
import os
import pwd
import secrets
import shlex
import stat
import subprocess
from pathlib import Path

from ..errors import SettingsError

TOKEN_FILE = "session.token"
URL_FILE = "gateway.url"
BROWSERS_FILE = "browser.sessions"
TOKENS_FILE = "tokens.json"
# What `.gitignore` must hold. A file that is replaced has a second name for a moment.
_OUR_FILES = tuple(
    b"/session.token* /.session.token* /gateway.url* /gateway.lock /login-*.html"
    b" /browser.sessions* /.browser.sessions* /journal.db* /.journal.db*"
    b" /tokens.json* /.tokens.json* /tokens.lock".split()
)
_MOST_BYTES = 64 * 1024
_GIT_S = 10
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# The repository's configuration must not start a program or fetch anything.
_GIT = (
    *("git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never", "ls-files", "-z", "--", ":(icase)"),
)
_UNSURE = "it lies in a git repository and git cannot say whether it tracks it"


class NotOursError(OSError):
    """Another user may have written a file of the state folder; `strerror` says why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, f"{str(path)!r} does not count: {why}")


class UnsureError(NotOursError):
    """Git cannot say whether it tracks the file: it does not count, and may do so later."""


def make_folder(folder: Path) -> None:
    """Make the state folder and hide it from git; among a user's other files, hide only ours."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink():  # a clone can contain a link to any place
        raise OSError(errno.ELOOP, "it is a link: name the folder that it points to")
    if not any(folder.iterdir()):
        folder.chmod(0o700)
        (folder / ".gitignore").write_text("*\n")
    else:
        _hide_our_files(folder / ".gitignore")


def _hide_our_files(ignore: Path) -> None:
    """Keep `git add` away from our files in a folder that has others, as a clone can make it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_APPEND
    with os.fdopen(os.open(ignore, flags, 0o644), "r+b") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, f"{str(ignore)!r} is not a regular file: remove it")
        lines = file.read(_MOST_BYTES).split(b"\n")
        last = [line.strip() for line in lines if line.strip()][-len(_OUR_FILES) :]
        if last != [b"*"] and last != list(_OUR_FILES):  # the last line that matches decides
            file.write(b"\n" + b"\n".join(_OUR_FILES) + b"\n")


def require_ours(path: Path) -> None:
    """Raise `NotOursError` if there is a file that this user's gateway may not have written."""
    try:
        folder, file = os.lstat(path.parent), os.lstat(path)
    except FileNotFoundError:
        return
    if why := _why_not_ours(folder, file) or _why_tracked(path):
        raise NotOursError(path, why)


def read_private(path: Path) -> str | None:
    """The text of a file; None if it is missing or another user may have written it."""
    try:
        return _read(path)
    except NotOursError:
        return None


def read_kept(path: Path, most_bytes: int = _MOST_BYTES) -> str | None:
    """The text of a file that this user's gateway wrote; None if there is no file.

    A clone or an archive can contain files of these names, which could direct the user's secrets to
    a foreign gateway. `sightline_client.state` has the same function.

    Raises:
        NotOursError: another user wrote the file, or git tracks it.
        UnsureError: git cannot say whether it tracks it.
    """
    text = _read(path, most_bytes)
    if text is not None and (why := _why_tracked(path)):
        raise (UnsureError if why.startswith(_UNSURE) else NotOursError)(path, why)
    return text


def _read(path: Path, most_bytes: int = _MOST_BYTES) -> str | None:
    try:
        folder = os.lstat(path.parent)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if why := _why_not_ours(folder, os.fstat(descriptor)):
            raise NotOursError(path, why)
        return file.read(most_bytes).decode("ascii", "replace").strip()


def _why_not_ours(folder: os.stat_result, file: os.stat_result) -> str:
    """Why another user may have written the file; empty if only this user can have."""
    if stat.S_ISLNK(folder.st_mode):
        return "its folder is a link: name the real folder in SIGHTLINE_STATE_DIR"
    if not stat.S_ISREG(file.st_mode):
        return "it is not a regular file"
    if file.st_uid != os.geteuid():
        return "it belongs to another user"
    if file.st_mode & _OTHERS:
        return "its mode is not 0600, as a gateway makes it: delete it and start again"
    return ""


def _why_tracked(path: Path) -> str:
    """Why the file may come from a git repository; empty if no repository tracks it."""
    folder = path.parent.absolute()
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return ""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    command = (*_GIT[:-1], _GIT[-1] + path.name)
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{_UNSURE} ({error})"
    if done.stdout:
        return "git tracks it, so a clone may have brought it: `git rm` it"
    if done.returncode and b"not a git repository (or any" not in done.stderr:
        reason = done.stderr.decode("utf-8", "replace").strip()[:200]
        return f"{_UNSURE} ({reason})"
    return ""


def write_private(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace the file atomically; other users can never read it. `durable` outlives a power cut."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def redirect_file(folder: Path, ticket: str) -> Path:
    """The file that redirects a browser to the login page; it is removed with its ticket.

    Every user of the machine can read the path in the browser's command line, so it must not contain
    the ticket.
    """
    return folder / f"login-{hashlib.sha256(ticket.encode()).hexdigest()[:32]}.html"


def unusable(path: Path, error: OSError) -> SettingsError:
    """The error for a file of the state folder that this user cannot use."""
    folder = path.parent.absolute()
    remedy = "give a folder this user may write"
    for place in (path, folder):
        try:
            owner = os.lstat(place).st_uid
        except OSError:
            continue
        if owner != os.geteuid():
            remedy = (
                f"{str(place)!r} belongs to {_user(owner)}, who ran a gateway here before: take it"
                f" back with `sudo chown -R {_user(os.geteuid())} {shlex.quote(str(folder))}`, or {remedy}"
            )
            break
    return SettingsError(
        f"SIGHTLINE_STATE_DIR: cannot use {str(path)!r} ({error.strerror}); {remedy}"
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
