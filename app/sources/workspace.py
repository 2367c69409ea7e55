"""Reports file changes in a workspace folder."""

import asyncio
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

import structlog
from pathspec import GitIgnoreSpec
from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

Emit = Callable[[str, dict[str, object], dict[str, object]], None]
Signature = tuple[bool, int, int, int]  # is a directory, size, mtime, inode
Report = tuple[str, dict[str, object]]
P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 200
SILENT_FOLDERS = frozenset({".git", ".sightline"})
log = structlog.get_logger("sightline.workspace")


class FolderWatch:
    """Watches a folder from one thread of its own; leaving or cancelling ends the thread."""

    def __init__(self, folder: Path) -> None:
        self.stop = threading.Event()
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, "folder-watch")
        self._notify: RustNotify | None = None

    async def __aenter__(self) -> "FolderWatch":
        try:
            await self.call(self.reopen)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self.stop.set()
        if self._notify is not None:
            self._notify.close()
        self._pool.shutdown()

    def reopen(self) -> None:
        """Start watching, or start again after the watcher reported an error (blocking)."""
        if self._notify is not None:
            self._notify.close()
        self._notify = RustNotify([str(self._folder)], False, False, 300, True, True)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the thread; on cancellation ask it to stop and wait until it has."""
        future = asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self.stop.set()
            await asyncio.wait({future})
            raise

    async def changes(self) -> set[tuple[int, str]] | None:
        """The next changes, empty after five quiet seconds, None when changes may be missing."""
        if self._notify is None:
            return set()
        try:
            found = await self.call(self._notify.watch, 200, 50, 5000, self.stop)
        except WatchfilesRustInternalError:  # for one, a name that is not UTF-8
            await self.call(self.reopen)
            return None
        return set() if isinstance(found, str) else found


class IgnoreRules:
    """What the .gitignore files of a folder and its .git/info/exclude ignore."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._specs: dict[str, GitIgnoreSpec | None] = {}
        self._folders: dict[str, bool] = {"": False}

    def forget(self) -> None:
        """Read every file again when it is next needed."""
        self._specs.clear()
        self._folders = {"": False}

    def ignored(self, path: str, is_directory: bool) -> bool:
        if is_directory and path in self._folders:
            return self._folders[path]
        parent, _, name = path.rpartition("/")
        verdict = self.ignored(parent, True) or self._matches(path, parent, name, is_directory)
        if is_directory:
            self._folders[path] = verdict
        return verdict

    def _matches(self, path: str, parent: str, name: str, is_directory: bool) -> bool:
        if name in SILENT_FOLDERS or _is_swap(name):
            return True
        folder = parent
        while True:
            spec = self._spec(f"{folder}/.gitignore" if folder else ".gitignore")
            below = path[len(folder) + 1 :] if folder else path
            verdict = spec.check_file(below + "/" * is_directory).include if spec else None
            if verdict is not None:
                return verdict
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        spec = self._spec(".git/info/exclude")
        return spec is not None and spec.match_file(path + "/" * is_directory)

    def _spec(self, file: str) -> GitIgnoreSpec | None:
        if file not in self._specs:
            try:
                text = (self._root / file).read_text("utf-8", "surrogateescape")
                self._specs[file] = GitIgnoreSpec.from_lines(text.splitlines())
            except (OSError, ValueError):
                self._specs[file] = None
        return self._specs[file]


def _is_swap(name: str) -> bool:
    return (
        name.endswith((".swp", ".swo", "~"))
        or name.startswith(".#")
        or (name.startswith("#") and name.endswith("#") and len(name) > 1)
        or name == "4913"
    )


class WorkspaceSource:
    """Emits file.created, file.modified and file.deleted; `ready` is set once watching."""

    def __init__(self, emit: Emit, workspace: Path) -> None:
        self.ready = asyncio.Event()
        self._emit = emit
        self._root = Path(os.path.abspath(workspace))
        self._rules = IgnoreRules(self._root)
        self._known: dict[str, Signature] = {}

    async def run(self) -> None:
        """Watch until cancelled, which ends the thread too; return if the folder is unusable."""
        if not self._root.is_dir():
            log.warning("workspace_unavailable", path=str(self._root))
            return
        try:
            async with FolderWatch(self._root) as watch:
                await self._follow(watch)
        except (OSError, WatchfilesRustInternalError) as error:
            log.warning("workspace_unwatchable", path=str(self._root), error=str(error))

    async def _follow(self, watch: FolderWatch) -> None:
        await watch.call(lambda: [None for _ in self._walk("", watch.stop)])
        self.ready.set()
        while True:
            raw = await watch.changes()
            paths = await watch.call(self._affected, raw)
            for start in range(0, len(paths), CHUNK):
                part = paths[start : start + CHUNK]
                reports = await watch.call(self._look, part, watch.stop)
                for number, (kind, data) in enumerate(reports, 1):
                    self._emit(kind, data, {"source": "workspace"})
                    if number % CHUNK == 0:
                        await asyncio.sleep(0)
            if not self._root.is_dir():
                log.warning("workspace_unavailable", path=str(self._root))
                return

    def _affected(self, raw: set[tuple[int, str]] | None) -> list[tuple[str, bool]]:
        """Relative paths to look at ("" for all), parents first, and whether each may be new."""
        prefix = str(self._root).rstrip("/") + "/"
        found: dict[str, bool] = {}
        if raw is None:
            found = dict.fromkeys(["", *self._known], True)
        for change, path in raw or ():
            if path.startswith(prefix):
                name = path[len(prefix) :]
                found[name] = found.get(name, False) or change == Change.added
        if raw is None or any(n.endswith((".gitignore", ".git/info/exclude")) for n in found):
            self._rules.forget()
        if not self._root.is_dir():
            found |= dict.fromkeys(self._known, False)
        return sorted(found.items())

    def _look(self, paths: list[tuple[str, bool]], stop: threading.Event) -> list[Report]:
        reports: list[Report] = []
        for path, new in paths:
            if stop.is_set():
                break
            if not path:
                reports += self._walk("", stop)
                continue
            now, old = self._signature(path), self._known.get(path)
            if now == old or self._rules.ignored(path, bool((now or old or (False,))[0])):
                continue
            if old and (now is None or now[0] != old[0]):
                reports += self._gone(path, old)
                old = None
            if now is None:
                continue
            self._known[path] = now
            if old is None and (new or now[0]):
                reports.append(_report("created", path, now))
                reports += self._walk(path, stop) if now[0] else ()
            elif not now[0]:
                reports.append(_report("modified", path, now))
        return reports

    def _gone(self, path: str, old: Signature) -> list[Report]:
        inside = [k for k in self._known if k.startswith(path + "/")] if old[0] else []
        return [
            _report("deleted", name, self._known.pop(name))
            for name in [*sorted(inside, reverse=True), path]
        ]

    def _walk(self, folder: str, stop: threading.Event) -> Iterator[Report]:
        """Take in what is in a folder and is not known yet."""
        pending = [folder]
        while pending and not stop.is_set():
            parent = pending.pop()
            try:
                names = sorted(os.listdir(self._root / parent))
            except OSError:
                continue
            for name in names:
                path = f"{parent}/{name}" if parent else name
                old = self._known.get(path)
                pending += [path] if old and old[0] else []
                now = None if old else self._signature(path)
                if now is None or self._rules.ignored(path, now[0]):
                    continue
                self._known[path] = now
                pending += [path] if now[0] else []
                yield _report("created", path, now)

    def _signature(self, path: str) -> Signature | None:
        try:
            found = os.lstat(self._root / path)
        except (OSError, ValueError):
            return None
        if stat.S_ISDIR(found.st_mode):
            return (True, 0, 0, found.st_ino)
        return (False, found.st_size, found.st_mtime_ns, found.st_ino)


def _report(kind: str, path: str, what: Signature) -> Report:
    shown = os.fsencode(path).decode("utf-8", "replace")
    data: dict[str, object] = {"path": shown, "is_directory": what[0]}
    if kind != "deleted":
        data["size"] = what[1]
    return f"file.{kind}", data
