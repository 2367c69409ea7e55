"""Random histories: the first scan with all reported changes applied is the second scan."""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from app.sources import look
from app.sources.blindness import LONGEST_PAUSE_S
from app.sources.hints import Hint
from tests.sources.folders import Watched, git, remove, scan

PATHS = st.sampled_from(
    ["a", "b", "c", "x.o", "a/a", "a/b", "a/c", "a/x.o", "b/a", "b/c", "a/b/c", "a/a/b", "c/a/x.o"]
)
RULES = ["", "*.o\n", "b/\n", "/a/b\n!c\n", "*\n!*/\n!a\n", "c\n!a/c\n"]
TARGETS = ["a", "../b", ".", "nowhere"]  # all inside of the place: what is done may follow a link
FILES, FOLDERS, WORKSPACE = 4, 3, 1  # how often each kind of operation comes
OFTEN = {
    "write": 2 * FILES,
    "save_as_editors_do": FILES,
    "touch": 1,
    "take_away": FILES,
    "link": FOLDERS,
    "ignore": FOLDERS,
    "make": FOLDERS,
    "move": 2 * FOLDERS,
    "move_a_folder": 2 * FOLDERS,
    "replace_by_another": 2 * FOLDERS,
    "forbid": FOLDERS,
    "allow": 1,
    "begin_repository": WORKSPACE,
    "commit": FOLDERS,
    "switch": FOLDERS,
    "stash_away": WORKSPACE,
    "lose_the_workspace": WORKSPACE,
    "bring_it_back": FOLDERS,
    "clone_in_its_place": WORKSPACE,
    "link_in_its_place": WORKSPACE,
    "make_it_later": WORKSPACE,
    "step": 2 * FILES,
    "settle": FOLDERS,
    "overflow": WORKSPACE,
}
Operation = tuple[str, int, str]
OPERATIONS = st.tuples(
    st.sampled_from([name for name, times in OFTEN.items() for _ in range(times)]),
    st.integers(0, 40),
    PATHS,
)
HISTORIES = st.lists(OPERATIONS, min_size=15, max_size=40)


class History:
    """A place with a workspace in it, and what may happen to it.

    Each operation gets a number, to pick from what is there, and a path.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.top = place / "ws"
        self.forbidden: set[str] = set()
        self.made = 0
        for path in ("a/b/c", "a/c", "b/x.o", "c"):
            self.write(1, path)

    def open_folder(self, path: str, flags: int) -> int:
        """As the system opens a folder, but for those that this history takes the permission from."""
        if os.path.relpath(path, self.top) in self.forbidden:
            raise PermissionError
        return os.open(path, flags)

    def pick(self, number: int, is_folder: bool = False) -> Path:
        """Something that is there; of folders, no link to one."""
        there = sorted(path for path in self.top.glob("**/*") if ".git" not in path.parts)
        if is_folder:
            there = [path for path in there if path.is_dir() and not path.is_symlink()]
        if not there:
            raise FileNotFoundError
        return there[number % len(there)]

    def write(self, number: int, path: str) -> None:
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        (self.top / path).write_text("x" * number)

    def save_as_editors_do(self, number: int, path: str) -> None:
        (self.top / "temporary").write_text("y" * number)
        (self.top / "temporary").rename(self.pick(number))

    def touch(self, number: int, path: str) -> None:
        os.utime(self.pick(number), follow_symlinks=False)

    def make(self, number: int, path: str) -> None:
        (self.top / path).mkdir(parents=True)

    def move(self, number: int, path: str) -> None:
        source = self.pick(number)
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        source.rename(self.top / path)

    def move_a_folder(self, number: int, path: str) -> None:
        source = self.pick(number, is_folder=True)
        remove(self.top / path)
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        source.rename(self.top / path)

    def take_away(self, number: int, path: str) -> None:
        remove(self.pick(number))

    def replace_by_another(self, number: int, path: str) -> None:
        old = self.pick(number, is_folder=True)
        new = self.top / "dist.new"
        shutil.copytree(old, new, symlinks=True)
        (new / "a").write_text("x" * number)
        if number % 2:
            old.rename(self.top / "dist.old")
        remove(old)
        new.rename(old)

    def link(self, number: int, path: str) -> None:
        remove(self.top / path)
        (self.top / path).symlink_to(TARGETS[number % len(TARGETS)])

    def ignore(self, number: int, path: str) -> None:
        folder = self.pick(number, is_folder=True) if number % 3 else self.top
        remove(folder / ".gitignore")
        (folder / ".gitignore").write_text(RULES[number % len(RULES)])

    def forbid(self, number: int, path: str) -> None:
        folder = self.pick(number, is_folder=True)
        self.forbidden.add(os.path.relpath(folder, self.top))
        folder.chmod(0o700)  # what the kernel says where a mode changes

    def allow(self, number: int = 0, path: str = "") -> None:
        for folder in self.forbidden:
            with suppress(OSError):
                os.chmod(self.top / folder, 0o755)
        self.forbidden.clear()

    def begin_repository(self, number: int, path: str) -> None:
        remove(self.top / ".git")
        git(self.top, "init", "-q", "-b", "main")

    def commit(self, number: int = 0, path: str = "") -> None:
        if not (self.top / ".git").exists():
            self.begin_repository(number, path)
        git(self.top, "add", "-A", check=False)
        git(self.top, "commit", "-q", "--allow-empty", "-m", "all", check=False)

    def switch(self, number: int, path: str) -> None:
        self.commit()
        branch = ["main", "one", "two"][number % 3]
        git(self.top, "switch", "-q", "-c", branch, check=False)
        git(self.top, "switch", "-q", "-f", branch, check=False)

    def stash_away(self, number: int, path: str) -> None:
        git(self.top, "stash", "-u", check=False)

    def lose_the_workspace(self, number: int = 0, path: str = "") -> None:
        self.made += 1
        self.top.rename(self.place / f"old{self.made}")

    def bring_it_back(self, number: int, path: str) -> None:
        if not self.top.exists():
            (self.place / f"old{self.made}").rename(self.top)

    def clone_in_its_place(self, number: int, path: str) -> None:
        self.commit()
        self.lose_the_workspace()
        git(self.place, "clone", "-q", f"old{self.made}", "ws", check=False)

    def link_in_its_place(self, number: int, path: str) -> None:
        self.made += 1
        other = self.place / f"other{self.made}"
        shutil.copytree(self.top, other, symlinks=True)
        (other / "of the other").write_text("x")
        if not self.top.is_symlink():
            remove(self.top)
        os.symlink(other.name, self.place / "link")
        os.rename(self.place / "link", self.top)

    def make_it_later(self, number: int, path: str) -> None:
        remove(self.top)
        self.top.mkdir()


def reported_changes_lead_to_what_is_there(before: list[Operation], after: list[Operation]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", name)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setattr(look, "SLICE", 3)
        place = Path(name) / "place"
        place.mkdir()
        history = History(place)
        for operation, *arguments in before:
            with suppress(OSError, shutil.Error):
                getattr(history, operation, lambda *_: None)(*arguments)
        history.allow()
        first = scan(history.top)
        with Watched(history.top, open_folder=history.open_folder) as watched:
            assert watched.known == first
            steps: dict[str, Callable[[], object]] = {
                "step": watched.step,
                "settle": watched.settle,
                "overflow": lambda: lose_hints(watched),
            }
            for operation, *arguments in after:
                if operation in steps:
                    steps[operation]()
                    continue
                with suppress(OSError, shutil.Error):
                    getattr(history, operation)(*arguments)
            history.allow()
            watched.settle()
            watched.clock.advance(LONGEST_PAUSE_S)
            watched.settle()
            assert watched.known == scan(history.top)
            assert watched.looker.blindness.counts() == {}


def lose_hints(watched: Watched) -> None:
    """As the kernel does when it has too many."""
    list(watched.watches.read())
    read = watched.watches.read
    try:
        watched.watches.read = lambda: iter([Hint(None)])  # type: ignore[method-assign]
        watched.looker.read()
    finally:
        watched.watches.read = read  # type: ignore[method-assign]


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
REPLAYED = (Phase.explicit, Phase.generate)


@settings(max_examples=8, deadline=None, derandomize=True, database=None, phases=REPLAYED)
@given(before=HISTORIES, after=HISTORIES)
def test_reported_changes_lead_from_the_first_scan_to_the_second(
    before: list[Operation], after: list[Operation]
) -> None:
    reported_changes_lead_to_what_is_there(before, after)


def test_a_new_workspace_with_the_old_inode_is_watched_though_its_hints_were_lost() -> None:
    after = [("make_it_later", 0, ""), ("overflow", 0, ""), ("step", 0, ""), ("write", 0, "a")]
    reported_changes_lead_to_what_is_there([], after)


@pytest.mark.attack
@settings(max_examples=400, deadline=None, suppress_health_check=CHECKS)
@given(before=HISTORIES, after=HISTORIES)
def test_changes_reported_in_hundreds_of_histories_lead_to_the_second_scan(
    before: list[Operation], after: list[Operation]
) -> None:
    reported_changes_lead_to_what_is_there(before, after)
