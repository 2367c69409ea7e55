"""`Tree`: the known files and folders, and the changes when a part is read again. Pure."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

Identity = tuple[int, int]  # device and inode
Ignored = Callable[[str, bool], bool]


class Rules(Protocol):
    """Which paths are ignored."""

    file_name: str  # of the ignore files
    left_out: set[str]  # ignore files that are too large or unreadable

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Whether a path is ignored."""

    def forget(self) -> None:
        """Read the ignore files again, because one has changed."""

    def stale(self) -> bool:
        """Whether the rules must be made again."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """The file or folder behind a name. A folder's size and time are 0: its files are compared.

    Without `gc=False`, collections of many entries would block the event loop.
    """

    is_folder: bool
    size: int
    mtime_ns: int
    device: int
    inode: int

    @property
    def identity(self) -> Identity:
        """Device and inode, which do not change with the path."""
        return self.device, self.inode


class Change(NamedTuple):
    """One change; `kind` is created, modified or deleted, `path` is relative to the top."""

    kind: str
    path: str
    is_folder: bool
    size: int = 0


def entry_of(found: os.stat_result) -> Entry:
    """The entry for the result of `lstat`, which does not follow links."""
    if stat.S_ISDIR(found.st_mode):
        return Entry(True, 0, 0, found.st_dev, found.st_ino)
    return Entry(False, found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)


class Folder:
    """One folder that is not ignored."""

    __slots__ = (
        "entries",
        "folders",
        "hidden",
        "identity",
        "judged",
        "path",
        "removed",
        "rules",
        "watch",
    )

    def __init__(self, path: str, identity: Identity | None) -> None:
        self.path = path
        self.identity = identity  # None while the top folder is missing
        self.entries: dict[str, Entry] = {}
        self.folders: dict[str, Folder] = {}
        self.hidden: dict[str, bool] = {}  # ignored names, and whether each is a folder
        self.judged = False  # whether all names were compared with the current rules
        self.removed = False
        # Used by `Looker`:
        self.watch: int | None = None
        self.rules: Entry | None = None  # its ignore file

    def path_of(self, name: str) -> str:
        """The path of a name in the folder."""
        return f"{self.path}/{name}" if self.path else name


@dataclass
class Found:
    """The results of an update."""

    changes: list[Change] = field(default_factory=list)
    to_look: list[Folder] = field(default_factory=list)  # new, or not watched
    replaced: list[Folder] = field(default_factory=list)  # another folder than before, by inode
    removed: list[Folder] = field(default_factory=list)


class Tree:
    """The known files and folders. All changes together lead from the old to the new state."""

    def __init__(self) -> None:
        self.top = Folder("", None)

    def folders(self, start: Folder | None = None) -> Iterator[Folder]:
        """`start` (or the top) and all folders below it, parents first."""
        pending = [start or self.top]
        while pending:
            folder = pending.pop()
            yield folder
            pending += folder.folders.values()

    def update(
        self, folder: Folder, seen: Mapping[str, Entry | None], ignored: Ignored, into: Found
    ) -> None:
        """Update these names of a folder (None: missing), and add the results to `into`."""
        for name, entry in seen.items():
            known = folder.entries.get(name)
            if entry is None:
                folder.hidden.pop(name, None)
            elif self._is_hidden(folder, name, entry, known, ignored):
                entry = None
            if known is not None and (entry is None or entry.is_folder != known.is_folder):
                self._remove(folder, name, known, into)
                known = None
            if entry is not None:
                self._keep(folder, name, entry, known, into)

    def clear(self, into: Found) -> None:
        """Remove everything, because the top folder is missing."""
        for name, known in list(self.top.entries.items()):
            self._remove(self.top, name, known, into)
        self.top.identity = None
        self.top.hidden.clear()
        self.top.rules = None

    def _is_hidden(
        self, folder: Folder, name: str, entry: Entry, known: Entry | None, ignored: Ignored
    ) -> bool:
        if folder.judged:
            if known is not None and known.is_folder == entry.is_folder:
                return False
            if folder.hidden.get(name) == entry.is_folder:
                return True
        hidden = ignored(folder.path_of(name), entry.is_folder)
        if hidden:
            folder.hidden[name] = entry.is_folder
        else:
            folder.hidden.pop(name, None)
        return hidden

    def _keep(
        self, folder: Folder, name: str, entry: Entry, known: Entry | None, into: Found
    ) -> None:
        folder.entries[name] = entry
        if known is None:
            into.changes.append(
                Change("created", folder.path_of(name), entry.is_folder, entry.size)
            )
        elif not entry.is_folder and entry != known:
            into.changes.append(
                Change("modified", folder.path_of(name), entry.is_folder, entry.size)
            )
        if not entry.is_folder:
            return
        inside = folder.folders.get(name)
        if inside is None:
            inside = folder.folders[name] = Folder(folder.path_of(name), entry.identity)
            into.to_look.append(inside)
        elif inside.identity != entry.identity:
            inside.identity = entry.identity
            into.replaced.append(inside)
        elif inside.watch is None:
            into.to_look.append(inside)

    def _remove(self, folder: Folder, name: str, known: Entry, into: Found) -> None:
        """Remove a name and everything below it, contents first, in linear time."""
        del folder.entries[name]
        if not known.is_folder:
            into.changes.append(Change("deleted", folder.path_of(name), False))
            return
        removed = list(self.folders(folder.folders.pop(name)))
        for inside in reversed(removed):
            inside.removed = True
            into.changes += (
                Change("deleted", inside.path_of(file), False)
                for file, entry in inside.entries.items()
                if not entry.is_folder
            )
            into.changes.append(Change("deleted", inside.path, True))
        into.removed += removed
