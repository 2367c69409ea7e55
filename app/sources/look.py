"""`Looker`: reads folders that may have changed, and returns the changes. For a thread.

A change is a difference between two looks, whatever the hints were. Folders are opened without
following links, and their inode is compared with the one seen in the parent folder. Each folder is
watched before it is read, so a change during the read gives another hint.
"""

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from .blindness import LIMIT, MOVING, PERMISSION, UNREADABLE, Blindness
from .hints import Watches, WatchLimitError
from .tree import Change, Entry, Folder, Found, Rules, Tree, entry_of

SLICE = 2000  # names in one call of `look`
MOST_NAMES = 1000  # hinted in one folder: with more, the whole folder is read
READ_EVERY = 1000  # names, before hints are read: the kernel queues at most 16,384
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
NOT_THERE = (FileNotFoundError, NotADirectoryError)


class Looker:
    """Keeps a `Tree` up to date. Call all methods except `__init__` from one thread."""

    def __init__(
        self,
        top: str,
        tree: Tree,
        rules: Rules,
        watches: Watches,
        *,
        clock: Callable[[], float] = time.monotonic,
        open_folder: Callable[[str, int], int] = os.open,
    ) -> None:
        self.stop = threading.Event()
        self.blindness = Blindness(clock)
        self.missing = False  # whether the top folder is missing
        self._top = top
        self._tree = tree
        self._rules = rules
        self._watches = watches
        self._open = open_folder
        self._watched: dict[int, list[Folder]] = {}
        self._unsure: set[Folder] = set()  # their watch may have ended: hints were lost
        self._dirty: OrderedDict[Folder, set[str] | None] = OrderedDict()
        for folder in tree.folders():
            folder.watch = None
        self.use(rules)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to look at."""
        return not self._dirty

    def use(self, rules: Rules) -> None:
        """Use these rules, and compare all names with them."""
        self._rules = rules
        self._judge_again(self._tree.top)

    def read(self) -> int:
        """Process the pending hints; return their number."""
        count = 0
        for watch, name, ended in self._watches.read():
            count += 1
            if watch is None:
                for folder in self._tree.folders():
                    self._unsure.add(folder)
                    self._mark(folder, None)
                continue
            for folder in self._watched.get(watch, ()):
                if ended:
                    folder.watch = None
                self._mark(folder, None if ended else name)
            if ended:
                self._watched.pop(watch, None)
        return count

    def look(self) -> list[Change]:
        """Read up to `SLICE` names that may have changed, and return the changes."""
        found = Found()
        self.read()
        self._look_at_top(found)
        if self.blindness.is_due():
            for folder in self.blindness.reasons:
                self._mark(folder, None)
        seen = 0
        while self._dirty and seen < SLICE and not self.stop.is_set():
            folder, names = self._dirty.popitem(last=False)
            if not folder.removed:
                seen += 1 + self._look_at(folder, names, found)
                self._settle(found)
        if self.idle:
            self.blindness.settle()
        return found.changes

    def _mark(self, folder: Folder, name: str | None) -> None:
        """Schedule a look at a name, the folder itself (empty) or all its names (None)."""
        if name is None:
            self._dirty[folder] = None
            return
        names = self._dirty.setdefault(folder, set())
        if names is not None:
            names.add(name)
            if len(names) > MOST_NAMES:
                self._dirty[folder] = None

    def _judge_again(self, start: Folder) -> None:
        for folder in self._tree.folders(start):
            folder.judged = False
            self._mark(folder, None)

    def _look_at_top(self, found: Found) -> None:
        """Check whether the top folder is missing or replaced. Only here a link is followed."""
        top = self._tree.top
        try:
            entry = entry_of(os.stat(self._top))
            self.missing = not entry.is_folder
        except NOT_THERE:
            self.missing = True
        except OSError as error:
            self.blindness.note(
                top, PERMISSION if isinstance(error, PermissionError) else UNREADABLE
            )
            return
        if self.missing:
            self._unwatch(top)
            self.blindness.note(top, None)
            self._tree.clear(found)
            self._settle(found)
            self._rules.forget()
        elif entry.identity != top.identity:
            top.identity = entry.identity
            self._unwatch(top)
            self._mark(top, None)

    def _settle(self, found: Found) -> None:
        """End the watches of removed folders, and schedule a look at new ones."""
        if any(folder.rules for folder in found.removed):
            self._rules.forget()  # a new folder of that name may have no ignore file
        for folder in found.removed:
            self._unwatch(folder)
            self.blindness.note(folder, None)
            self._dirty.pop(folder, None)
            self._unsure.discard(folder)
        for folder in found.replaced:
            self._unwatch(folder)
        for folder in (*found.replaced, *found.to_look):
            self._mark(folder, None)
        for done in (found.removed, found.replaced, found.to_look):
            done.clear()

    def _look_at(self, folder: Folder, names: set[str] | None, found: Found) -> int:
        """Open and watch a folder, and update the tree from these names (None: all of them)."""
        is_top = folder is self._tree.top
        path = self._top if is_top else f"{self._top}/{folder.path}"
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if is_top else os.O_NOFOLLOW)
        try:
            opened = self._open(path, flags)
        except PermissionError:
            return self._blind(folder, PERMISSION)
        except NOT_THERE:
            return self._blind(folder, MOVING)
        except OSError as error:
            return self._blind(folder, LIMIT if error.errno in TOO_MANY_FILES else UNREADABLE)
        try:
            if entry_of(os.fstat(opened)).identity != folder.identity:
                return self._blind(folder, MOVING)
            if folder.watch is None or folder in self.blindness.reasons or not folder.judged:
                names = None
            self.blindness.note(folder, self._watch(folder, opened, path))
            seen = self._read_folder(folder, opened, names)
        except PermissionError:  # its names can be listed, but not examined
            return self._blind(folder, PERMISSION)
        except OSError:
            return self._blind(folder, UNREADABLE)
        finally:
            os.close(opened)
        self._check_rules(folder, seen, changed=names is not None)
        self._tree.update(folder, seen, self._rules.ignored, found)
        folder.judged = folder.judged or names is None
        return len(seen)

    def _read_folder(
        self, folder: Folder, opened: int, names: Iterable[str] | None
    ) -> dict[str, Entry | None]:
        seen: dict[str, Entry | None] = {}
        if names is not None:
            for name in filter(None, names):
                try:
                    seen[name] = entry_of(os.stat(name, dir_fd=opened, follow_symlinks=False))
                except FileNotFoundError:
                    seen[name] = None
            return seen
        seen = dict.fromkeys([*folder.entries, *folder.hidden])
        with os.scandir(opened) as listing:
            for number, item in enumerate(listing, 1):
                try:
                    seen[item.name] = entry_of(item.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                if number % READ_EVERY == 0:
                    self.read()
                    if self.stop.is_set():
                        raise InterruptedError
        return seen

    def _check_rules(self, folder: Folder, seen: dict[str, Entry | None], changed: bool) -> None:
        """If the folder's ignore file has changed, compare all names below with the rules again."""
        name = self._rules.file_name
        if name in seen and (changed or seen[name] != folder.rules):
            folder.rules = seen[name]
            self._rules.forget()
            self._judge_again(folder)

    def _watch(self, folder: Folder, opened: int, path: str) -> str | None:
        """Watch an open folder; return the reason if that fails, else None."""
        if folder.watch is not None and folder not in self._unsure:
            return None
        try:
            watch = self._watches.add(opened, path)  # the same number while a watch lasts
        except WatchLimitError:
            return LIMIT
        except OSError:
            return UNREADABLE
        self._unsure.discard(folder)
        if watch != folder.watch:
            self._unwatch(folder)
            folder.watch = watch
            self._watched.setdefault(watch, []).append(folder)
        return None

    def _unwatch(self, folder: Folder) -> None:
        if folder.watch is None:
            return
        others = self._watched.get(folder.watch, [])
        if folder in others:
            others.remove(folder)
        if not others:  # a moved folder shares its watch with its new path
            self._watched.pop(folder.watch, None)
            self._watches.remove(folder.watch)
        folder.watch = None

    def _blind(self, folder: Folder, why: str) -> int:
        """Record why a folder could not be read; its known entries stay."""
        self.blindness.note(folder, why)
        return 0
