"""`WorkspaceSource`: reports file changes in the workspace."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from . import Emit
from .ignore import ignore_rules
from .tree import Change, Tree
from .watch import TreeWatch

CHUNK = 200  # events emitted in one turn of the loop
REMEDIES = {
    "limit": "raise fs.inotify.max_user_watches (and max_user_instances), or ignore large folders",
    "permission": "let the gateway's user read and enter these folders, or ignore them",
    "unreadable": "check whether these folders can be read",
    "ignore_files": "shorten the file: at most 1 MiB, with at most 64 KiB of wildcard patterns",
}
Sight = Mapping[str, int]
log = structlog.get_logger("sightline.workspace")


class WorkspaceSource:
    """Emits `file.created`, `file.modified` and `file.deleted`; `ready` is set once it watches.

    The events, applied to the files at the start, give the files of now.
    """

    def __init__(
        self, emit: Emit, workspace: Path, on_sight: Callable[[Sight], None] = lambda sight: None
    ) -> None:
        """`on_sight` is called with the number of blind folders by reason, when it changes."""
        self.ready = asyncio.Event()
        self.sight: Sight = {}
        self._emit = emit
        self._root = Path(os.path.abspath(workspace))
        self._on_sight = on_sight
        self._tree: Tree | None = None
        self._missing: bool | None = None

    async def run(self) -> None:
        """Watch until cancelled, which also ends the thread."""
        tree = self._tree or Tree()
        async with TreeWatch(self._root, ignore_rules, tree, is_new=self._tree is None) as watch:
            self._tree = tree
            self._report_sight(watch)
            self.ready.set()
            while True:
                changes = await watch.changes()
                for number, change in enumerate(changes, 1):
                    self._emit_change(change)
                    if number % CHUNK == 0:
                        await asyncio.sleep(0)
                self._report_sight(watch)

    def _emit_change(self, change: Change) -> None:
        shown = os.fsencode(change.path).decode("utf-8", "replace")
        data: dict[str, object] = {"path": shown, "is_directory": change.is_folder}
        if change.kind != "deleted":
            data["size"] = change.size
        self._emit(f"file.{change.kind}", data, {"source": "workspace"})

    def _report_sight(self, watch: TreeWatch) -> None:
        """Report changes in what cannot be watched."""
        if watch.looker.missing != self._missing:
            self._missing = watch.looker.missing
            if self._missing:
                log.warning("workspace_unavailable", path=str(self._root))
            else:
                log.info("files_watched", path=str(self._root), known=watch.known())
        sight = watch.sight()
        if sight == self.sight:
            return
        for reason in sight.keys() - self.sight.keys():
            first, remedy = watch.first_blind(reason), REMEDIES[reason]
            log.warning(
                "workspace_partly_blind",
                reason=reason,
                count=sight[reason],
                first=first,
                remedy=remedy,
            )
        if not sight:
            log.info("workspace_seen_again", path=str(self._root))
        self.sight = sight
        self._on_sight(sight)
