"""The mark of a clean stop. Only with it does the next start continue the epoch.

A number must never be given twice within an epoch. So an epoch continues only if nothing can have
been published since the file was closed. The mark is a file beside the journal with the epoch, the
last number, and the identity of the journal's file: device, inode and change time. No tool can set
a change time, so a file that was copied, edited or restored differs. The mark is removed, durably,
before the first number is given; after a crash there is none.

A file system or virtual machine that was rolled back as a whole is not detected.
"""

import os
from pathlib import Path

import msgspec

from ..state import NotOursError, read_kept, write_private


class Mark(msgspec.Struct, frozen=True):
    """The content of the mark."""

    epoch: str
    head: int
    device: int
    inode: int
    changed_ns: int


def leave_mark(journal: Path, epoch: str, head: int) -> None:
    """Write the mark of a closed journal; raises `OSError`."""
    _sync(journal)
    found = journal.stat()
    mark = Mark(epoch, head, found.st_dev, found.st_ino, found.st_ctime_ns)
    write_private(_path(journal), msgspec.json.encode(mark).decode())
    _sync(journal.parent)


def take_mark(journal: Path) -> Mark | None:
    """Remove the mark; return it if it belongs to this very file. Raises `OSError`."""
    path = _path(journal)
    try:
        text = read_kept(path)
    except NotOursError:
        return None
    if text is None:
        return None
    path.unlink()
    _sync(journal.parent)
    try:
        mark = msgspec.json.decode(text, type=Mark)
        found = journal.stat()
    except (msgspec.MsgspecError, FileNotFoundError):
        return None
    same = (mark.device, mark.inode, mark.changed_ns)
    return mark if same == (found.st_dev, found.st_ino, found.st_ctime_ns) else None


def _path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".clean")


def _sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
