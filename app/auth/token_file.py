"""The file of the named tokens: written by the command line, read again by the gateway.

The gateway looks at the file once a second, in a thread, so a token counts or ends within a second
whoever wrote the file, and a slow disk holds up no request.
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..state import TOKENS_FILE, NotOursError, UnsureError, make_folder, read_kept, write_private
from .named import Change, NamedToken, NamedTokens, decode_file, encode_file
from .token_store import Found, Stamp, TokenStore

LOCK_FILE = "tokens.lock"
# What a link, a socket, another user's file or a file as the folder gives. All else may pass.
_NOT_OURS = (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ENOTDIR)
MOST_BYTES = 1024 * 1024
Write = Callable[[Sequence[NamedToken]], None]


def load(path: Path) -> list[NamedToken] | None:
    """The tokens in the file; None if there is no file.

    Raises:
        NotOursError: another user may have written the file, or it is no regular file.
        UnsureError: git cannot say now whether it tracks the file.
        OSError: the file cannot be read now.
        ValueError: the file is malformed.
    """
    try:
        text = read_kept(path, MOST_BYTES)
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        raise NotOursError(path, f"it is no regular file of this user ({error.strerror})") from None
    if text is None:
        return None
    try:
        return decode_file(text)
    except ValueError as error:
        raise ValueError(f"{path} is malformed: {error}: correct it, or delete it") from None


@contextmanager
def editing(folder: Path) -> Iterator[tuple[list[NamedToken], Write]]:
    """Lock the token file; yield its tokens and what writes others.

    Without the lock, a command that had read before would bring a revoked token back.

    Raises:
        OSError: the folder or file cannot be used, or another user may have written the file.
        ValueError: the file is malformed.
    """
    make_folder(folder)
    if os.stat(folder).st_uid != os.geteuid():  # the gateway would not believe the file
        raise OSError(
            errno.EPERM, f"{str(folder)!r} is another user's: run this as the gateway's user"
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / LOCK_FILE, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        path = folder / TOKENS_FILE
        yield load(path) or [], partial(_write, path)
    finally:
        os.close(descriptor)


def _write(path: Path, tokens: Sequence[NamedToken]) -> None:
    write_private(path, encode_file(tokens), durable=True)  # a revoked token must not come back


def _stamp(path: Path) -> Stamp:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _NOT_OURS:
            raise
        return (error.errno,)
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode, found.st_uid


class TokenFile(TokenStore):
    """The tokens of one gateway's file."""

    def __init__(
        self,
        folder: Path,
        tokens: NamedTokens,
        on_change: Callable[[list[Change]], None] = lambda changes: None,
    ) -> None:
        """`on_change` is called after tokens have been replaced or have expired."""
        self._path = folder / TOKENS_FILE
        super().__init__(str(self._path), tokens, on_change)

    def read(self) -> None:
        """Read the file now, in this thread: for the start."""
        self._take(self._look_here())

    async def _look(self) -> Found | None:
        return await asyncio.to_thread(self._look_here)

    def _look_here(self) -> Found | None:
        """The stamp is taken before the file is read: a write in between changes it again."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return None
            return Found(stamp, load(self._path))
        except UnsureError as error:  # git may answer the next time
            self._unreadable(error.strerror)
        except (NotOursError, ValueError) as error:
            return Found(stamp, [], str(error))
        except OSError as error:  # too many open files, a file server that is away
            self._unreadable(error.strerror)
        return None
