"""The mark of a clean stop: it alone lets the next start go on with the epoch.

A number must never be given twice within an epoch. So an epoch goes on only if nothing can have been
published since the file was closed. The mark, a file beside the journal, holds the epoch, the last
number, and the identity of the journal's file: device, inode and change time. No tool can set a
change time: a file that was copied, edited or put back from a backup has another one. The mark is
removed, and its removal is on disk, before the first number is given; a crash leaves no mark.

What this cannot see is a file system or a virtual machine that was set back as a whole.
"""

import os
from pathlib import Path

import msgspec

from ..state import read_private, write_private


class Mark(msgspec.Struct, frozen=True):
    """What a clean stop leaves behind."""

    epoch: str
    head: int
    device: int
    inode: int
    changed_ns: int


def leave_mark(journal: Path, epoch: str, head: int) -> None:
    """Write the mark of a journal that has just been closed; raises `OSError`."""
    _sync(journal)
    found = journal.stat()
    mark = Mark(epoch, head, found.st_dev, found.st_ino, found.st_ctime_ns)
    write_private(_path(journal), msgspec.json.encode(mark).decode())
    _sync(journal.parent)


def take_mark(journal: Path) -> Mark | None:
    """Remove the mark and return it, if it is that of this very file; raises `OSError`."""
    path = _path(journal)
    text = read_private(path)
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
    """Have the file or folder on disk before this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
