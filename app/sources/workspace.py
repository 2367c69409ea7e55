"""Reports file changes in a workspace folder."""

import asyncio
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog
from watchfiles import Change

from . import Emit
from .ignore import GITIGNORE, IgnoreRules, ignore_rules
from .watch import FolderWatch, WatchError

Signature = tuple[bool, int, int, int]  # is a directory, size, mtime, inode
Report = tuple[str, dict[str, object]]

CHUNK = 200  # paths looked at, or events emitted, before the loop gets a turn
log = structlog.get_logger("sightline.workspace")


class WorkspaceSource:
    """Emits file.created, file.modified and file.deleted; `ready` is set once watching."""

    def __init__(self, emit: Emit, workspace: Path) -> None:
        self.ready = asyncio.Event()
        self._emit = emit
        self._root = Path(os.path.abspath(workspace))
        self._rules = IgnoreRules(self._root)  # until git was asked for the others
        self._known: dict[str, Signature] = {}

    async def run(self) -> None:
        """Watch until cancelled, which ends the thread too; return if the folder is unusable."""
        if not self._root.is_dir():
            log.warning("workspace_unavailable", path=str(self._root))
            return
        try:
            self._rules = await ignore_rules(self._root)
            async with FolderWatch(self._root) as watch:
                await self._follow(watch)
        except (OSError, WatchError) as error:
            log.warning("workspace_unwatchable", path=str(self._root), error=str(error))

    async def _follow(self, watch: FolderWatch) -> None:
        await watch.call(lambda: [None for _ in self._walk("", watch.stop)])
        self.ready.set()
        log.info("files_watched", path=str(self._root), known=len(self._known))
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
        if raw is None or any(name.rpartition("/")[2] == GITIGNORE for name in found):
            self._rules.forget()
        self._rules.refresh()
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
