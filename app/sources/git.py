"""`GitSource`: reports new commits in the repository of the workspace."""

import asyncio
import os
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from . import Emit, git_commits
from .git_command import GitError, git
from .git_commits import describe, new_commits
from .watch import FolderWatch

TICK_S = 2.0  # between two checks whether the repository was replaced
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0
POLL_S = 10.0  # between two git commands if the folder cannot be watched
MOST_COMMITS = 500
MOST_KNOWN = 1000  # earlier tips that are kept, besides the current ones
SLICE = 50  # commits read by one command and emitted in one turn of the loop
QUIET_FOLDERS = frozenset({"objects", "hooks", "info", "modules", "lfs"})
Changes = Callable[[], Awaitable[set[str] | None]]
log = structlog.get_logger("sightline.git")


class GitSource:
    """Emits `git.commit_created` for every new commit; `ready` is set once it watches.

    In a repository that appears later, new commits are those made since the last repository was
    seen, or since the start.
    """

    def __init__(self, emit: Emit, workspace: Path, now: Callable[[], float] = time.time) -> None:
        self.ready = asyncio.Event()
        self._emit = emit
        self._workspace = Path(os.path.abspath(workspace))
        self._now = now
        # Tips: all commits reachable from them are old or have been reported.
        self._known: dict[str, None] = {}
        # Tips with an incomplete history: git fails if their commits are to be excluded.
        self._unreadable: set[str] = set()
        self._seen_at: float | None = None  # when a repository was last watched; None at the start

    async def run(self) -> None:
        """Watch until cancelled, which ends the thread and any git command.

        Without a repository, try again after pauses.
        """
        start = self._now()
        logged, pause_s = "", FIRST_PAUSE_S
        while True:
            try:
                with await Repository.find(self._workspace) as repository:
                    logged, pause_s = "", FIRST_PAUSE_S
                    await self._stay(repository)
            except (GitError, OSError) as error:
                if str(error) != logged:
                    log.warning("git_unavailable", path=str(self._workspace), error=str(error))
                logged = str(error)
            self._seen_at = start if self._seen_at is None else self._seen_at
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _stay(self, repository: "Repository") -> None:
        """Report new commits until the repository is replaced or removed."""
        async with AsyncExitStack() as leaving:
            changes: Changes = _poll
            try:
                watch = FolderWatch(repository.common, QUIET_FOLDERS)
                changes = (await leaving.enter_async_context(watch)).changes
            except OSError as error:
                path = str(repository.common)
                log.warning("git_unwatchable", path=path, error=str(error), asked_every_s=POLL_S)
            found = await git_commits.tips(self._workspace, all_refs=True)
            if self._seen_at is not None:
                await self._report(found, self._seen_at)
            self._keep_tips(found)
            self.ready.set()
            log.info("commits_watched", path=str(repository.common))
            await self._follow(repository, changes)

    async def _follow(self, repository: "Repository", changes: "Changes") -> None:
        pending = asyncio.ensure_future(changes())
        is_behind = False
        try:
            while repository.is_same():
                self._seen_at = self._now()
                await asyncio.wait({pending}, timeout=TICK_S)
                if pending.done():
                    changed = pending.result()
                    pending = asyncio.ensure_future(changes())
                    is_behind |= changed is None or any(
                        repository.may_mean_commit(path) for path in changed
                    )
                if is_behind:
                    is_behind = not await self._look()
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)

    async def _look(self) -> bool:
        """Report new commits; return False if git failed."""
        try:
            found = await git_commits.tips(self._workspace, all_refs=False)
            if not found <= self._known.keys():
                await self._report(found, None)
        except GitError as error:
            log.warning("git_command_failed", error=str(error))
            return False
        self._keep_tips(found)
        return True

    async def _report(self, found: set[str], since: float | None) -> None:
        known = self._known.keys() - self._unreadable
        new = found - self._unreadable
        hashes, unreadable = await new_commits(self._workspace, new, known, MOST_COMMITS, since)
        self._unreadable |= unreadable
        for start in range(0, len(hashes), SLICE):
            part = hashes[start : start + SLICE]
            try:
                described = await describe(self._workspace, part)
            except GitError:  # the next look reports the rest
                self._keep_tips({*hashes[:start]})
                raise
            for data in described:
                self._emit("git.commit_created", data, {"source": "git"})
            await asyncio.sleep(0)

    def _keep_tips(self, found: set[str]) -> None:
        for tip in found:  # the newest last
            self._known.pop(tip, None)
        self._known |= dict.fromkeys(found)
        for tip in list(self._known)[: -MOST_KNOWN - len(found)]:
            del self._known[tip]
            self._unreadable.discard(tip)


class Repository:
    """A repository, with its folders held open, so that their inodes are not reused."""

    def __init__(self, workspace: Path, common: Path) -> None:
        self.common = common
        self._link = workspace / ".git"
        self._was_linked = _stamp(self._link)
        self._held: dict[Path, int] = {}
        try:
            for folder in (workspace, common):
                self._held[folder] = os.open(folder, os.O_RDONLY)
        except OSError:
            self.__exit__()
            raise

    @classmethod
    async def find(cls, workspace: Path) -> "Repository":
        """The repository of the workspace, according to git.

        Raises:
            GitError: the folder is in no repository, or git cannot be run.
            OSError: the repository was removed meanwhile.
        """
        answer = await git(workspace, "rev-parse", "--git-common-dir")
        return cls(workspace, (workspace / answer.removesuffix("\n")).resolve())

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._held.values():
            os.close(held)
        self._held.clear()

    def is_same(self) -> bool:
        """Whether the workspace and the repository have not been replaced."""
        try:
            return _stamp(self._link) == self._was_linked and all(
                os.path.samestat(os.fstat(held), os.stat(folder))
                for folder, held in self._held.items()
            )
        except OSError:
            return False

    def may_mean_commit(self, path: str) -> bool:
        """Whether a change at this path below the git folder can mean a new commit."""
        try:
            parts = Path(path).relative_to(self.common).parts
        except ValueError:
            return False
        return bool(parts) and parts[0] not in QUIET_FOLDERS and not path.endswith(".lock")


def _stamp(path: Path) -> tuple[int, ...] | None:
    """A value that changes when a file or link is replaced; for any folder it is the same."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return (found.st_mode,)
    return found.st_mode, found.st_ino, found.st_mtime_ns


async def _poll() -> None:
    """Replaces a watch: after a pause, anything may have changed."""
    await asyncio.sleep(POLL_S)
