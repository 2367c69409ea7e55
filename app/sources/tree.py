"""`Tree`: what is known of a folder, and what differs when a part of it is looked at again. Pure."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

Identity = tuple[int, int]  # device and inode
Ignored = Callable[[str, bool], bool]


class Rules(Protocol):
    """Which paths are left out."""

    file_name: str  # of the ignore files inside of the folder
    left_out: set[str]  # ignore files that do not count

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Whether a path is left out; those of folders come before what is in them."""

    def forget(self) -> None:
        """An ignore file has changed."""

    def stale(self) -> bool:
        """Whether the rules themselves must be made anew."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One name in a folder. Of a folder only the identity counts: its files speak for themselves.

    There are many, and the garbage collector holds the loop up where it has to look at them.
    """

    is_folder: bool
    size: int
    mtime_ns: int
    device: int
    inode: int

    @property
    def identity(self) -> Identity:
        """The same for the same file or folder, whatever its path."""
        return self.device, self.inode


class Change(NamedTuple):
    """One difference; `kind` is created, modified or deleted, `path` relative to the top."""

    kind: str
    path: str
    is_folder: bool
    size: int = 0


def entry_of(found: os.stat_result) -> Entry:
    """The entry for an `lstat`: a link is itself, never what it leads to."""
    if stat.S_ISDIR(found.st_mode):
        return Entry(True, 0, 0, found.st_dev, found.st_ino)
    return Entry(False, found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)


class Folder:
    """One folder that is not ignored."""

    __slots__ = (
        "entries",
        "folders",
        "gone",
        "hidden",
        "identity",
        "judged",
        "path",
        "rules",
        "watch",
    )

    def __init__(self, path: str, identity: Identity | None) -> None:
        self.path = path
        self.identity = identity  # of the top: None while there is none
        self.entries: dict[str, Entry] = {}
        self.folders: dict[str, Folder] = {}
        self.hidden: dict[str, bool] = {}  # names that are ignored, and whether each is a folder
        self.judged = False  # whether all names were compared with the ignore rules as they are
        self.gone = False
        # What the one who looks keeps here:
        self.watch: int | None = None
        self.rules: Entry | None = None  # its ignore file

    def path_of(self, name: str) -> str:
        """The path of what has this name in the folder."""
        return f"{self.path}/{name}" if self.path else name


@dataclass
class Found:
    """What an update found out."""

    changes: list[Change] = field(default_factory=list)
    to_look: list[Folder] = field(default_factory=list)  # new, or not watched
    replaced: list[Folder] = field(default_factory=list)  # another folder than before, by inode
    removed: list[Folder] = field(default_factory=list)


class Tree:
    """The known files and folders. Applying all changes to what was known gives what is known now."""

    def __init__(self) -> None:
        self.top = Folder("", None)

    def folders(self, start: Folder | None = None) -> Iterator[Folder]:
        """A folder (or the top) and all below, parents first."""
        pending = [start or self.top]
        while pending:
            folder = pending.pop()
            yield folder
            pending += folder.folders.values()

    def update(
        self, folder: Folder, seen: Mapping[str, Entry | None], ignored: Ignored, into: Found
    ) -> None:
        """Take in how these names in a folder are now; None for one that is not there."""
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
        """The top is gone, and all with it."""
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
        """Forget a name and all below, in time linear to what that is; contents go first."""
        del folder.entries[name]
        if not known.is_folder:
            into.changes.append(Change("deleted", folder.path_of(name), False))
            return
        gone = list(self.folders(folder.folders.pop(name)))
        for inside in reversed(gone):
            inside.gone = True
            into.changes += (
                Change("deleted", inside.path_of(file), False)
                for file, entry in inside.entries.items()
                if not entry.is_folder
            )
            into.changes.append(Change("deleted", inside.path, True))
        into.removed += gone
