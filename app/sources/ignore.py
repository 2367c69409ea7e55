"""`IgnoreRules`: which paths of a folder say nothing, by git's rules and by those of this gateway."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from .git_command import GitError, git

GITIGNORE = ".gitignore"
SILENT_FOLDERS = frozenset({".git", ".sightline"})
Patterns = list[GitIgnoreSpecPattern]


class IgnoreRules:
    """All `.gitignore` files from the top of the work tree down, then the files in `shared`.

    The watched folder itself is never ignored: somebody chose it. Tracked files that match are.
    """

    def __init__(self, top: Path, folder: str = "", shared: Sequence[Path] = ()) -> None:
        """`folder` is the watched one below `top`; of the `shared` files the first is stronger."""
        self._top = top
        self._folder = folder
        self._shared = tuple(shared)
        above = [folder[:i] for i, letter in enumerate(folder) if letter == "/"]
        self._outside = [*shared, *(top / name / GITIGNORE for name in ("", *above) if folder)]
        self._stamps = [_stamp(path) for path in self._outside]
        self.forget()

    def forget(self) -> None:
        """Read every file again when it is next needed."""
        self._files: dict[Path, Patterns] = {}
        self._ignored_folders: dict[str, bool] = {self._folder: False}

    def refresh(self) -> None:
        """Forget if a file outside of the watched folder has changed."""
        stamps = [_stamp(path) for path in self._outside]
        if stamps != self._stamps:
            self._stamps = stamps
            self.forget()

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Whether `path`, relative to the watched folder, or a folder that it lies in is ignored."""
        return self._ignored(f"{self._folder}/{path}" if self._folder else path, is_directory)

    def _ignored(self, path: str, is_directory: bool) -> bool:
        known = self._ignored_folders.get(path) if is_directory else None
        if known is not None:
            return known
        parent, _, name = path.rpartition("/")
        # Git looks at each folder on the way: what lies in an ignored one cannot be had back.
        verdict = (
            self._ignored(parent, True) or _is_silent(name) or self._matched(path, is_directory)
        )
        if is_directory:
            self._ignored_folders[path] = verdict
        return verdict

    def _matched(self, path: str, is_directory: bool) -> bool:
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            below = path[len(folder) + 1 :] if folder else path
            verdict = _verdict(self._read(self._top / folder / GITIGNORE), below, is_directory)
            if verdict is not None:
                return verdict
        verdicts = (_verdict(self._read(file), path, is_directory) for file in self._shared)
        return next((verdict for verdict in verdicts if verdict is not None), False)

    def _read(self, file: Path) -> Patterns:
        if file not in self._files:
            self._files[file] = _patterns(file)
        return self._files[file]


async def ignore_rules(folder: Path) -> IgnoreRules:
    """Ask git where the rules for `folder` are; without git or a repository, in the folder alone."""
    try:
        answer = await git(
            folder, "rev-parse", "--show-toplevel", "--show-prefix", "--git-path", "info/exclude"
        )
        named = await git(folder, "config", "--path", "core.excludesFile", missing_ok=True)
    except GitError:
        return IgnoreRules(folder)
    top, prefix, exclude = answer.removesuffix("\n").split("\n")
    users = Path(top, named.removesuffix("\n")) if named else _users_file()
    return IgnoreRules(Path(top), prefix.rstrip("/"), (folder / exclude, users))


def _users_file() -> Path:
    """Where git looks when `core.excludesFile` is not set."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "git/ignore")


def _patterns(file: Path) -> Patterns:
    """The patterns of a file, the strongest first; of one that cannot be read, none."""
    try:
        text = file.read_text("utf-8-sig", "surrogateescape")
    except OSError:
        return []
    patterns: Patterns = []
    for line in reversed(text.split("\n")):
        with suppress(GitIgnorePatternError):  # git, too, lets a malformed line match nothing
            patterns.append(GitIgnoreSpecPattern(line.removesuffix("\r")))
    return patterns


def _verdict(patterns: Patterns, path: str, is_directory: bool) -> bool | None:
    """What the strongest pattern that matches says: ignored, not ignored, or None for no match."""
    for pattern in patterns:
        if pattern.include is not None and _matches(pattern, path, is_directory):
            return pattern.include
    return None


def _matches(pattern: GitIgnoreSpecPattern, path: str, is_directory: bool) -> bool:
    """Whether a pattern matches this very path, not only a folder above it.

    The one group in pathspec's expressions is the slash behind a folder that matched.
    """
    regex = pattern.regex
    if regex is None:
        return False
    found = regex.search(path)
    if found is not None and found.lastindex is None:
        return True
    if not is_directory:
        return False
    whole = regex.fullmatch(path + "/") or regex.search(path + "/", len(path))
    return whole is not None and whole.lastindex is not None


def _is_silent(name: str) -> bool:
    return (
        name in SILENT_FOLDERS
        or name.endswith((".swp", ".swo", "~"))
        or name.startswith(".#")
        or (name.startswith("#") and name.endswith("#") and len(name) > 1)
        or name == "4913"  # vim tries with this one whether it may write
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
