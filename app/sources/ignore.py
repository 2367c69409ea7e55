"""`IgnoreRules`: which paths of a folder are ignored, by git's rules and by the gateway's own."""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import structlog

from .git_command import GitError, git
from .wildmatch import Patterns

GITIGNORE = ".gitignore"
SILENT_FOLDERS = frozenset({".git", ".sightline"})
MOST_BYTES = 1024 * 1024  # of one ignore file
MOST_CACHED = 50_000  # ignore files
MOST_LEFT_OUT = 20  # entries of `left_out`
NO_PATTERNS = Patterns()
Stamp = tuple[int, ...] | None
_log = structlog.get_logger("sightline.workspace")


class IgnoreRules:
    """The rules of all `.gitignore` files in the work tree, then of the files in `shared`.

    The watched folder itself is never ignored. Tracked files are ignored if they match.
    """

    file_name = GITIGNORE

    def __init__(
        self,
        top: Path,
        folder: str = "",
        shared: Sequence[Path] = (),
        fold: bool = False,
        repositories: Mapping[Path, Stamp] | None = None,
    ) -> None:
        """`folder` is the watched one, relative to `top`; earlier `shared` files take precedence.

        `fold` is git's `core.ignoreCase`; `repositories` are stamps of possible repositories.
        """
        self.left_out: set[str] = set()  # files that are too large, unreadable or too costly
        self._top = top
        self._folder = folder
        self._shared = tuple(shared)
        self._fold = fold
        self._repositories = dict(repositories or {})
        above = [folder[:i] for i, letter in enumerate(folder) if letter == "/"]
        self._outside = [*shared, *(top / name / GITIGNORE for name in ("", *above) if folder)]
        self._stamps = [_stamp(path) for path in self._outside]
        self.forget()

    def forget(self) -> None:
        """Read every file again when it is next needed."""
        self.left_out.clear()
        self._forget_cached()

    def _forget_cached(self) -> None:
        self._files: dict[Path, Patterns] = {}
        self._chains: dict[str, list[tuple[Patterns, int]]] = {}
        self._ignored_folders: dict[str, bool] = {self._folder: False}

    def stale(self) -> bool:
        """Whether a file outside the folder or a repository changed: make the rules again."""
        return self._stamps != [_stamp(path) for path in self._outside] or any(
            _repository_stamp(path) != stamp for path, stamp in self._repositories.items()
        )

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Whether `path`, relative to the watched folder, or one of its parents is ignored."""
        return self._ignored(f"{self._folder}/{path}" if self._folder else path, is_directory)

    def _ignored(self, path: str, is_directory: bool) -> bool:
        known = self._ignored_folders.get(path) if is_directory else None
        if known is not None:
            return known
        parent, _, name = path.rpartition("/")
        # As in git, a path inside an ignored folder cannot be included again.
        verdict = (
            self._ignored_folders.get(parent)
            or self._ignored(parent, True)
            or is_silent(name)
            or self._matched(parent, path, name, is_directory)
        )
        if is_directory:
            self._ignored_folders[path] = verdict
        return verdict

    def _matched(self, parent: str, path: str, name: str, is_directory: bool) -> bool:
        chain = self._chains.get(parent)
        if chain is None:
            chain = self._chains[parent] = self._chain(parent)
        if not chain:
            return False
        whole, last = os.fsencode(path), os.fsencode(name)
        for patterns, start in chain:
            verdict = patterns.verdict(whole[start:], last, is_directory)
            if verdict is not None:
                return verdict
        return False

    def _chain(self, folder: str) -> list[tuple[Patterns, int]]:
        """The patterns for a folder, by precedence, and the offset of the paths that they match."""
        chain: list[tuple[Patterns, int]] = []
        if len(self._files) > MOST_CACHED:
            self._forget_cached()
        while True:
            start = len(os.fsencode(folder)) + 1 if folder else 0
            chain.append((self._read(self._top / folder / GITIGNORE, os.O_NOFOLLOW), start))
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        chain += [(self._read(file, 0), 0) for file in self._shared]
        return [(patterns, start) for patterns, start in chain if patterns]

    def _read(self, file: Path, flags: int) -> Patterns:
        # Callers pass `O_NOFOLLOW` inside the work tree, where git follows no links either.
        if file not in self._files:
            text = _bounded(file, flags)
            patterns = self._files[file] = Patterns(text, self._fold) if text else NO_PATTERNS
            if (text is None or patterns.left_out) and len(self.left_out) < MOST_LEFT_OUT:
                self.left_out.add(os.fsencode(file).decode("utf-8", "replace"))
        return self._files[file]


async def ignore_rules(folder: Path) -> IgnoreRules:
    """The rules for `folder`, located by git; without a repository, only those in the folder."""
    repositories = {path: _repository_stamp(path) for path in _places(folder)}
    try:
        top = _line(await git(folder, "rev-parse", "--show-toplevel"))
        prefix = _line(await git(folder, "rev-parse", "--show-prefix"))
        exclude = _line(await git(folder, "rev-parse", "--git-path", "info/exclude"))
        named = _line(await git(folder, "config", "--path", "core.excludesFile", missing_ok=True))
        fold = await git(folder, "config", "--bool", "core.ignoreCase", missing_ok=True)
    except GitError as error:
        if any(repositories.values()):  # e.g. of another user, which git refuses to open
            _log.warning("ignore_rules_unknown", path=str(folder), error=str(error))
        return IgnoreRules(folder, repositories=repositories)
    users = Path(top, named) if named else _users_file()
    shared = (folder / exclude, users)
    return IgnoreRules(Path(top), prefix.rstrip("/"), shared, _line(fold) == "true", repositories)


def is_silent(name: str) -> bool:
    """Whether a name belongs to git, to this gateway or to an editor's temporary file."""
    return (
        name in SILENT_FOLDERS
        or name.endswith((".swp", ".swo", "~"))
        or name.startswith(".#")
        or (name.startswith("#") and name.endswith("#") and len(name) > 1)
        or name == "4913"  # vim tests with it whether it can write
    )


def _line(output: str) -> str:
    return output.removesuffix("\n")


def _users_file() -> Path:
    """Git's default for `core.excludesFile`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "git/ignore")


def _bounded(file: Path, flags: int) -> bytes | None:
    """The content of a regular file; None if it cannot be read or is too large.

    Empty if the file is missing or is not a regular file, such as a FIFO or a device.
    """
    try:
        if not stat.S_ISREG(os.stat(file, follow_symlinks=not flags).st_mode):
            return b""  # opening a device can have effects
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
        with open(opened, "rb") as content:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                return b""
            text = content.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError:
        return None
    return text if len(text) <= MOST_BYTES else None


def _places(folder: Path) -> Iterable[Path]:
    """The paths of possible repositories that contain `folder`."""
    real = Path(os.path.realpath(folder))
    return [place / ".git" for place in (real, *real.parents)]


def _repository_stamp(path: Path) -> Stamp:
    """A value that changes when the repository is replaced; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    parts = (path / "HEAD", path / "objects", path / "refs")
    return found.st_dev, found.st_ino, *map(os.path.lexists, parts)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
