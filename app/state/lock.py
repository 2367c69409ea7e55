"""`FolderLock`: allows one gateway process per state folder."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from ..errors import SettingsError
from . import URL_FILE, make_folder, read_private, unusable, write_private

LOCK_FILE = "gateway.lock"
_MOST_BYTES = 4096
_log = structlog.get_logger("sightline.state")

# A forked child shares the lock, and would keep it after this process ends.
_held: set[int] = set()


def _let_go_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)  # the parent's copy keeps the lock
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


class FolderLock:
    """The exclusive lock of a state folder. The kernel releases it when the process ends."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._path = state_dir / LOCK_FILE
        self._descriptor = -1
        self._url: str | None = None
        self._troubled = False

    def take(self) -> None:
        """Lock the folder; make it if it is missing.

        Raises:
            SettingsError: another gateway uses the folder, or this user cannot write there.
        """
        try:
            make_folder(self._state_dir)
            self._descriptor = self._open()
        except OSError as error:
            raise unusable(self._path, error) from None
        _held.add(self._descriptor)
        self._write_down()

    def check(self) -> None:
        """Raise what `take` would raise, without keeping the lock."""
        if self._path.exists():
            self.take()
            self.release()

    def announce(self, url: str) -> None:
        """Write the gateway's URL to its file, for clients and for the error of a second gateway."""
        self._url = url
        self._write_down()
        write_private(self._state_dir / URL_FILE, url)

    def keep(self) -> bool:
        """Restore the files of lock and URL if they were removed, as by `git clean`.

        Returns True if the whole folder may have been removed.
        """
        if self._url is None:
            return False
        emptied = False
        try:
            if not _is_at(self._descriptor, self._path):
                self.release()
                self.take()
                emptied = True
            if read_private(self._state_dir / URL_FILE) != self._url:
                write_private(self._state_dir / URL_FILE, self._url)
            self._troubled = False
        except (SettingsError, OSError) as error:
            if not self._troubled:
                _log.error("state_folder_lost", error=str(error))
            self._troubled = True
        return emptied

    def withdraw(self) -> None:
        """Remove the file of the URL."""
        if self._url is not None and self._descriptor in _held:
            self._url = None
            (self._state_dir / URL_FILE).unlink(missing_ok=True)

    def release(self) -> None:
        """Release the lock. The file stays: another process may have opened it already."""
        if self._descriptor in _held:  # not in a forked child
            _held.discard(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        while True:
            descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
            )
            try:
                _check_plain(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, _MOST_BYTES, 0).decode("ascii", "replace")
                os.close(descriptor)
                raise SettingsError(_taken(self._state_dir, holder.split())) from None
            except OSError:
                os.close(descriptor)
                raise
            if _is_at(descriptor, self._path):
                return descriptor
            os.close(descriptor)  # removed between opening and locking

    def _write_down(self) -> None:
        with suppress(OSError):  # a full disk: the lock works without this text
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()} {self._url or ''}\n".encode(), 0)


@contextmanager
def only_gateway(lock: FolderLock) -> Iterator[None]:
    """Hold the lock while entered; raises as `FolderLock.take`."""
    lock.take()
    try:
        yield
    finally:
        lock.withdraw()
        lock.release()


def _check_plain(descriptor: int) -> None:
    """Refuse a link or special file, through which another file could be overwritten."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise OSError(errno.EINVAL, "not a plain file: remove it")


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _taken(state_dir: Path, holder: list[str]) -> str:
    process = f"process {holder[0]}" if holder else "another process"
    stop = f"stop it (kill {holder[0]})" if holder else "stop it"
    where = f" at {holder[1]}" if len(holder) > 1 else ""
    return (
        f"a gateway already runs with the state folder {str(state_dir.absolute())!r}: {process}{where};"
        f" {stop}, or give this one a folder of its own with SIGHTLINE_STATE_DIR."
        " Worker processes of one server count, too: start exactly one"
        " (no --workers, WEB_CONCURRENCY=1)"
    )
