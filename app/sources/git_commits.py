"""Reads new commits from git. A commit or branch that git cannot read is logged and skipped.

This uses only plumbing commands, which ignore the repository's display settings. File contents are
not needed, so a partial clone is enough.
"""

from pathlib import Path

import structlog

from .git_command import GitFailedError, GitLimitError, git, git_stream

MOST_CHARACTERS = 1000
CUT = "…"
SHORTEST_HASH = 40
MOST_FAILURES = 50  # failed commands in one report, before the rest is skipped
MOST_LISTING_BYTES = 256 * 1024 * 1024  # names of changed files, which are not stored
log = structlog.get_logger("sightline.git")


class Fields:
    """Splits a stream at its NUL bytes, and cuts long fields."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The fields that end in this piece of the stream."""
        limit = 4 * MOST_CHARACTERS + 4  # in UTF-8, one character more than is reported
        *fields, rest = chunk.split(b"\0")
        if fields:
            fields[0] = self._rest + fields[0]
            self._rest = b""
        self._rest = (self._rest + rest[:limit])[:limit]
        return fields


async def tips(folder: Path, all_refs: bool) -> set[str]:
    """The objects that HEAD and the branches (or all refs) name, even if git does not have them."""
    scope = () if all_refs else ("refs/heads",)
    named = await git(folder, "for-each-ref", "--format=%(objectname)", *scope)
    head = await git(folder, "rev-parse", "-q", "--verify", "HEAD", missing_ok=True)
    return {*named.split(), *head.split()}


async def new_commits(
    folder: Path, found: set[str], known: set[str], most: int, since: float | None = None
) -> tuple[list[str], set[str]]:
    """The newest commits reachable from `found` but not from `known`, oldest first, up to `most`.

    Also returns the tips with an incomplete history, of which only the newest commit is included.
    Commits before the Unix time `since` are omitted.
    """
    without = [f"^{tip}" for tip in known]
    age = () if since is None else (f"--max-age={int(since)}",)
    try:
        return await _walk(folder, [*found, *without], most, *age), set()
    except GitFailedError as error:
        log.warning("git_branch_unreadable", error=str(error))
    hashes: dict[str, None] = {}
    unreadable: set[str] = set()
    for tip in sorted(found - known):
        try:
            if len(unreadable) < MOST_FAILURES:
                walked = await _walk(folder, [tip, *without], most, *age)
                hashes |= dict.fromkeys(walked)
                continue
        except GitFailedError as error:
            log.warning("git_branch_unreadable", commit=tip, error=str(error))
        unreadable.add(tip)
        hashes[tip] = None
    return list(hashes)[-most:], unreadable


async def _walk(folder: Path, wanted: list[str], most: int, *options: str) -> list[str]:
    start = ("rev-list", "--ignore-missing", "--stdin", *options)
    order = ("--topo-order", "--reverse", f"--max-count={most + 1}")
    hashes = (await git(folder, *start, *order, lines=wanted)).split()
    if len(hashes) > most:
        count = int(await git(folder, *start, "--count", lines=wanted))
        log.warning("git_commits_skipped", count=count - most)
    return hashes[-most:]


async def describe(folder: Path, hashes: list[str]) -> list[dict[str, object]]:
    """The data of `git.commit_created` for each readable commit, in the same order."""
    found = await _read(folder, hashes)
    readable = [name for name in hashes if name in found]
    counts = await _count_files(folder, [(name, found[name][0]) for name in readable])
    described: list[dict[str, object]] = []
    for name in readable:
        data: dict[str, object] = {
            "commit_hash": name,
            "message": found[name][2],
            "author": found[name][1],
        }
        if name in counts:
            data["files_changed"] = counts[name]
        described.append(data)
    return described


async def _read(folder: Path, hashes: list[str]) -> dict[str, tuple[str, str, str]]:
    """First parent, author and subject of each commit."""
    found: dict[str, tuple[str, str, str]] = {}
    try:
        await _read_into(found, folder, hashes)
    except GitFailedError:
        for name in hashes:
            if name in found:
                continue
            try:
                await _read_into(found, folder, [name])
            except GitFailedError as error:
                log.warning("git_commit_unreadable", commit=name, error=str(error))
    return found


async def _read_into(
    found: dict[str, tuple[str, str, str]], folder: Path, hashes: list[str]
) -> None:
    fields = Fields()
    waiting: list[bytes] = []

    def take(chunk: bytes) -> None:
        waiting.extend(fields.feed(chunk))
        while len(waiting) >= 4:
            name, parents, author, subject = waiting[:4]
            del waiting[:4]
            # Git writes a line "commit …" before each commit.
            commit = name.rpartition(b"\n")[2].decode("ascii")
            parent = parents.partition(b" ")[0].decode("ascii")
            found[commit] = (parent, _text(author), _text(subject))

    form = "--format=tformat:%H%x00%P%x00%an%x00%s%x00"
    await git_stream(
        folder,
        *("rev-list", "--no-walk=unsorted", "--encoding=UTF-8", form, "--stdin"),
        take=take,
        lines=hashes,
        most_bytes=MOST_LISTING_BYTES,
    )


async def _count_files(folder: Path, commits: list[tuple[str, str]]) -> dict[str, int]:
    """The number of files changed from the first parent, by commit; an exact rename is one file.

    A commit is omitted if git does not have its trees, as in a treeless clone.
    """
    counts: dict[str, int] = {}
    begin = failures = 0
    while begin < len(commits) and failures < MOST_FAILURES:
        listing = Listing()
        rest = commits[begin:]
        try:
            await git_stream(
                folder,
                *("diff-tree", "--stdin", "--always", "--root", "-r", "-z", "--name-status"),
                *("-M100%", "--no-ext-diff", "--no-textconv"),
                take=listing.feed,
                lines=[f"{name} {parent}".rstrip() for name, parent in rest],
                most_bytes=MOST_LISTING_BYTES,
            )
        except GitFailedError as error:
            if isinstance(error, GitLimitError) and listing.counts:
                listing.counts.popitem()
            failures += 1
            commit = rest[min(len(listing.counts), len(rest) - 1)][0]
            log.warning("git_files_uncounted", commit=commit, error=str(error))
        counts |= listing.counts
        begin += len(listing.counts) + 1
    return counts


class Listing:
    """Counts the files of each commit in the output of `git diff-tree -z --name-status`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._fields = Fields()
        self._paths = 0  # how many of the next fields are paths
        self._commit = ""

    def feed(self, chunk: bytes) -> None:
        """Parse the next piece of the output."""
        for field in self._fields.feed(chunk):
            if self._paths:
                self._paths -= 1
            elif len(field) < SHORTEST_HASH:  # a status letter; a rename has a number too
                self._paths = 2 if field[:1] in (b"R", b"C") else 1
                self.counts[self._commit] += 1
            else:
                self._commit = field.decode("ascii")
                self.counts[self._commit] = 0


def _text(field: bytes) -> str:
    text = field.decode("utf-8", "replace")
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + CUT
