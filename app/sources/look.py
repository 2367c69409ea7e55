"""`Looker`: looks where something may have changed, and says what has. Synchronous: it runs in a thread.

What it says is the difference between what it saw before and what it sees now, whatever the hints
were. Folders are opened without following links, and compared by inode with what the folder above
said; each is watched before it is read, so what changes meanwhile gives another hint.
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

SLICE = 2000  # names looked at before the loop hears of what was found
MOST_NAMES = 1000  # in one folder: with more, the whole folder is looked at
READ_EVERY = 1000  # names of one folder, before hints are read: the kernel keeps 16,384
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
NOT_THERE = (FileNotFoundError, NotADirectoryError)


class Looker:
    """Keeps a `Tree` true. All methods but `__init__` are for one thread."""

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
        self.missing = False  # whether there is no folder to watch
        self._top = top
        self._tree = tree
        self._rules = rules
        self._watches = watches
        self._open = open_folder
        self._watched: dict[int, list[Folder]] = {}
        self._dirty: OrderedDict[Folder, set[str] | None] = OrderedDict()
        for folder in tree.folders():
            folder.watch = None
        self.use(rules)

    @property
    def idle(self) -> bool:
        """Whether nothing is left to look at."""
        return not self._dirty

    def use(self, rules: Rules) -> None:
        """Compare everything with these rules."""
        self._rules = rules
        self._judge_anew(self._tree.top)

    def read(self) -> int:
        """Take in the hints so far; return how many."""
        count = 0
        for watch, name, ended in self._watches.read():
            count += 1
            if watch is None:
                for folder in self._tree.folders():
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
        """Look at a slice of what may have changed."""
        found = Found()
        self.read()
        self._look_at_top(found)
        if self.blindness.is_due():
            for folder in self.blindness.reasons:
                self._mark(folder, None)
        seen = 0
        while self._dirty and seen < SLICE and not self.stop.is_set():
            folder, names = self._dirty.popitem(last=False)
            if not folder.gone:
                seen += 1 + self._look_at(folder, names, found)
                self._settle(found)
        if self.idle:
            self.blindness.settle()
        return found.changes

    def _mark(self, folder: Folder, name: str | None) -> None:
        """Look at a name, at the folder itself for an empty name, or at all that is in it."""
        if name is None:
            self._dirty[folder] = None
            return
        names = self._dirty.setdefault(folder, set())
        if names is not None:
            names.add(name)
            if len(names) > MOST_NAMES:
                self._dirty[folder] = None

    def _judge_anew(self, start: Folder) -> None:
        for folder in self._tree.folders(start):
            folder.judged = False
            self._mark(folder, None)

    def _look_at_top(self, found: Found) -> None:
        """Whether the top is there, and is the folder that it was: here a link is followed."""
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
        """Watch what was removed no more, and look at what is new."""
        if any(folder.rules for folder in found.removed):
            self._rules.forget()  # another folder of that name may have no ignore file
        for folder in found.removed:
            self._unwatch(folder)
            self.blindness.note(folder, None)
            self._dirty.pop(folder, None)
        for folder in found.replaced:
            self._unwatch(folder)
        for folder in (*found.replaced, *found.to_look):
            self._mark(folder, None)
        for done in (found.removed, found.replaced, found.to_look):
            done.clear()

    def _look_at(self, folder: Folder, names: set[str] | None, found: Found) -> int:
        """Open a folder, watch it and compare it, or the names, with what is known."""
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
        except PermissionError:  # its names can be read, and nothing else
            return self._blind(folder, PERMISSION)
        except OSError:
            return self._blind(folder, UNREADABLE)
        finally:
            os.close(opened)
        self._heed_rules(folder, seen, changed=names is not None)
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

    def _heed_rules(self, folder: Folder, seen: dict[str, Entry | None], changed: bool) -> None:
        """Where its ignore file has changed, everything below is compared with the rules again."""
        name = self._rules.file_name
        if name in seen and (changed or seen[name] != folder.rules):
            folder.rules = seen[name]
            self._rules.forget()
            self._judge_anew(folder)

    def _watch(self, folder: Folder, opened: int, path: str) -> str | None:
        """Watch an open folder; return why it cannot be."""
        if folder.watch is not None:
            return None
        try:
            folder.watch = self._watches.add(opened, path)
        except WatchLimitError:
            return LIMIT
        except OSError:
            return UNREADABLE
        self._watched.setdefault(folder.watch, []).append(folder)
        return None

    def _unwatch(self, folder: Folder) -> None:
        if folder.watch is None:
            return
        others = self._watched.get(folder.watch, [])
        if folder in others:
            others.remove(folder)
        if not others:  # one that was moved is the same to the kernel, at its new path
            self._watched.pop(folder.watch, None)
            self._watches.remove(folder.watch)
        folder.watch = None

    def _blind(self, folder: Folder, why: str) -> int:
        """Nothing was looked at: what is known of it stays."""
        self.blindness.note(folder, why)
        return 0
