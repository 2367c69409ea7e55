"""Reports new commits in the repository a workspace belongs to."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import structlog

from app.sources import Emit
from app.sources.git_command import GitError, git
from app.sources.watch import FolderWatch, WatchError

MOST_COMMITS = 500
QUIET_FOLDERS = frozenset({"objects", "hooks", "info", "modules", "lfs"})
TELLING_NAMES = frozenset({"HEAD", "packed-refs"})
log = structlog.get_logger("sightline.git")


class GitSource:
    """Emits git.commit_created for every new commit; `ready` is set once watching."""

    def __init__(self, emit: Emit, workspace: Path) -> None:
        self.ready = asyncio.Event()
        self._emit = emit
        self._workspace = Path(os.path.abspath(workspace))
        # Everything reachable from these was there at the start or has been reported since.
        self._known: set[str] = set()

    async def run(self) -> None:
        """Watch until cancelled, which ends the thread and any git command; else return."""
        try:
            folder = await git(self._workspace, "rev-parse", "--git-common-dir")
            common = _absolute(self._workspace, folder.removesuffix("\n"))
            async with FolderWatch(common, QUIET_FOLDERS) as watch:
                self._known |= await self._tips(all_refs=True)
                self.ready.set()
                log.info("commits_watched", path=str(common))
                await self._follow(watch, common)
        except (GitError, OSError, WatchError) as error:
            log.warning("git_unavailable", path=str(self._workspace), error=str(error))

    async def _follow(self, watch: FolderWatch, common: Path) -> None:
        while True:
            changes = await watch.changes()
            if not common.is_dir():  # noqa: ASYNC240 - one stat of a local folder
                raise GitError("the repository is gone")
            if changes is None or any(_telling(path, common) for _, path in changes):
                try:
                    await self._report_new()
                except GitError as error:
                    log.warning("git_command_failed", error=str(error))

    async def _report_new(self) -> None:
        tips = await self._tips(all_refs=False)
        if tips <= self._known:
            return
        wanted = [*tips, *(f"^{tip}" for tip in self._known)]
        listed = await git(
            self._workspace,
            "rev-list",
            "--topo-order",
            "--reverse",
            "--ignore-missing",
            "--stdin",
            lines=wanted,
        )
        hashes = listed.split()
        if len(hashes) > MOST_COMMITS:
            log.warning("git_commits_skipped", count=len(hashes) - MOST_COMMITS)
            hashes = hashes[-MOST_COMMITS:]
        commits = await self._describe(hashes) if hashes else {}
        self._known |= tips
        for commit in hashes:
            if commit in commits:
                self._emit("git.commit_created", commits[commit], {"source": "git"})

    async def _tips(self, all_refs: bool) -> set[str]:
        """The commits that HEAD and the branches (or all refs) point to."""
        scope = () if all_refs else ("refs/heads",)
        form = "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        words = (await git(self._workspace, "for-each-ref", form, *scope)).split()
        tips = {name for kind, name in pairwise(words) if kind == "commit"}
        head = await git(
            self._workspace, "rev-parse", "-q", "--verify", "HEAD^{commit}", missing_ok=True
        )
        return tips | set(head.split())

    async def _describe(self, hashes: list[str]) -> dict[str, dict[str, object]]:
        text = await git(
            self._workspace,
            "log",
            *("--no-walk=unsorted", "--stdin", "--no-show-signature", "--no-color", "--root"),
            *("-m", "--first-parent", "-M", "--name-only", "--encoding=UTF-8"),
            "--format=%x00%H%x00%an%x00%s%x00",
            lines=hashes,
        )
        parts = text.split("\0")[1:]
        groups = zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=False)
        return {
            commit: {
                "commit_hash": commit,
                "message": subject,
                "author": author,
                "files_changed": sum(1 for line in files.splitlines() if line),
            }
            for commit, author, subject, files in groups
        }


def _absolute(base: Path, folder: str) -> Path:
    return (base / folder).resolve()


def _telling(path: str, common: Path) -> bool:
    """Whether a changed path below the git folder can mean a new commit."""
    try:
        parts = Path(path).relative_to(common).parts
    except ValueError:
        return False
    if not parts or parts[0] in QUIET_FOLDERS or path.endswith(".lock"):
        return False
    return bool(TELLING_NAMES & {parts[-1]}) or "refs" in parts or "logs" in parts
