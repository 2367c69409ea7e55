"""Looking at folders, step by step, where no time passes."""

import errno
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from app.sources import look
from app.sources.blindness import BUSY_SHARE, FIRST_PAUSE_S, LONGEST_PAUSE_S
from app.sources.hints import NoWatches, WatchLimitError
from app.sources.inotify import Inotify
from app.sources.look import Looker
from app.sources.tree import Change, Folder, Found
from tests.sources.folders import Watched, git, remove, scan


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ws").mkdir()
    return tmp_path / "ws"


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


class Few(Inotify):
    """As many watches as a user may have, which are few."""

    left = 2
    before_add: Callable[[], None] = staticmethod(lambda: None)

    def add(self, folder: int, path: str) -> int:
        self.before_add()
        if self.left == 0:
            raise WatchLimitError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        return super().add(folder, path)


class Counting(Inotify):
    """Counts what the kernel is asked."""

    removed = 0

    def remove(self, watch: int) -> None:
        self.removed += 1
        super().remove(watch)


def test_links_between_folders_are_not_followed_and_every_write_has_its_real_path(
    top: Path,
) -> None:
    fill(top, "packages/x/f.js", "packages/y/f.js", "real/f.txt")
    fill(top.parent, "secret/f.txt")
    (top / "node_modules/@acme").mkdir(parents=True)
    for name in ("x", "y"):
        (top / "node_modules/@acme" / name).symlink_to(f"../../packages/{name}")
    (top / "aaa").symlink_to("real")
    (top / "out").symlink_to(top.parent / "secret")
    with Watched(top) as watched:
        for number in range(36):
            fill(top / "packages" / "xy"[number % 2], f"{number}.js")
        fill(top, "real/f.txt", "real/g.txt")
        fill(top.parent, "secret/f.txt", "secret/g.txt")
        (top / "another").symlink_to(top.parent / "secret")
        watched.settle()
        assert len([path for path in watched.paths("created") if path.endswith(".js")]) == 36
        assert watched.paths("modified") == ["real/f.txt"]
        assert {"real/g.txt", "another"} < set(watched.paths("created"))
        assert not [path for path in watched.known if path.startswith(("aaa/", "out/", "another/"))]
        assert watched.known == scan(top)


def test_ignored_folders_cost_no_watch(top: Path) -> None:
    fill(top, ".gitignore", "src/a.py", ".git/objects/aa/x", ".sightline/x")
    (top / ".gitignore").write_text("node_modules/\n")
    for number in range(40):
        fill(top, f"node_modules/{number}/lib/index.js")
    with Watched(top) as watched:
        assert watched.watched() == {"", "src"}
        fill(top, "node_modules/1/lib/new.js", "node_modules/1/lib/index.js")
        assert watched.settle() == []


def test_a_folder_that_may_not_be_read_is_said_and_hides_no_other(top: Path) -> None:
    fill(top, "data/postgres/x", "data/web/x", "z/x")
    closed = [str(top / "data/postgres")]

    def open_folder(path: str, flags: int) -> int:
        if path in closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return os.open(path, flags)

    with Watched(top, open_folder=open_folder) as watched:
        assert watched.looker.blindness.counts() == {"permission": 1}
        assert watched.looker.blindness.first("permission") == "data/postgres"
        fill(top, "data/web/y", "z/y", "data/postgres/y")
        watched.settle()
        assert set(watched.paths("created")) == {"data/web/y", "z/y"}
        closed.clear()
        watched.clock.advance(FIRST_PAUSE_S)
        assert {change.path for change in watched.settle()} == {
            "data/postgres/x",
            "data/postgres/y",
        }
        assert watched.looker.blindness.counts() == {}
        closed.append(str(top / "data/postgres"))
        (top / "data/postgres").chmod(0o700)
        assert watched.settle() == []  # nothing was deleted: it only cannot be seen
        assert watched.looker.blindness.counts() == {"permission": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_folders_without_read_permission_are_reported(top: Path) -> None:
    fill(top, "closed/x", "unlisted/x", "open/x")
    (top / "closed").chmod(0o000)
    (top / "unlisted").chmod(0o744)  # names can be read, what they are cannot
    for folder in (top, *top.parents):
        folder.chmod(folder.stat().st_mode | 0o755) if folder.owner() == "root" else None
    program = (
        "import os, sys; from pathlib import Path; from tests.sources.folders import Watched\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "w = Watched(Path(sys.argv[1])); print(sorted(w.known), w.looker.blindness.counts())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(top)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['closed', 'open', 'open/x', 'unlisted'] {'permission': 2}\n"


def test_without_free_watches_changes_are_reported_later(top: Path) -> None:
    fill(top, "a/x", "b/x", "c/x")
    watches = Few()
    with Watched(top, watches) as watched:
        assert watched.looker.blindness.counts() == {"limit": 2}
        fill(top, "a/y", "b/y", "c/y", "b/new/z")
        watched.settle()
        watched.clock.advance(FIRST_PAUSE_S)
        watched.settle()
        assert watched.known == scan(top)
        fill(top, "c/later")
        for _ in range(2):  # the pauses grow, and end at the longest
            watched.clock.advance(LONGEST_PAUSE_S)
            watched.settle()
        assert watched.known == scan(top)
        watches.left = 100
        watched.clock.advance(LONGEST_PAUSE_S)
        watched.settle()
        assert watched.looker.blindness.counts() == {}
        fill(top, "c/at once")
        assert [change.path for change in watched.settle()] == ["c/at once"]


def test_without_any_watch_of_the_system_all_is_looked_at_again_after_a_pause(top: Path) -> None:
    fill(top, "a/x")
    with Watched(top, NoWatches()) as watched:
        fill(top, "a/y")
        assert watched.settle() == []
        watched.clock.advance(FIRST_PAUSE_S)
        assert [change.path for change in watched.settle()] == ["a/y"]


def test_looking_again_at_blind_folders_leaves_the_machine_free(top: Path) -> None:
    fill(top, "a/x")
    watches = Few()
    watches.left = 0
    with Watched(top, watches) as watched:
        watches.before_add = lambda: watched.clock.advance(5)  # for each of two folders
        watched.clock.advance(FIRST_PAUSE_S)
        watched.settle()
        watches.before_add = lambda: None
        fill(top, "a/y")
        watched.clock.advance(BUSY_SHARE * 10 - 1)
        assert watched.settle() == []
        watched.clock.advance(1)
        assert [change.path for change in watched.settle()] == ["a/y"]


@pytest.mark.slow
def test_changes_lost_in_a_queue_overflow_are_reported_too(top: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    fill(top, "storm/x", "quiet/deep/x")
    with Watched(top) as watched:
        for number in range(most // 2 + 100):  # two events each: created, deleted
            file = top / "storm" / str(number)
            os.close(os.open(file, os.O_CREAT))
            file.unlink()
        fill(top, "quiet/deep/lost")
        assert [change.path for change in watched.settle()] == ["quiet/deep/lost"]
        fill(top, "quiet/deep/y")
        assert [change.path for change in watched.settle()] == ["quiet/deep/y"]


def test_a_folder_that_becomes_readable_is_seen_at_once(top: Path) -> None:
    fill(top, "closed/x")
    closed = [str(top / "closed")]

    def open_folder(path: str, flags: int) -> int:
        if path in closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return os.open(path, flags)

    with Watched(top, open_folder=open_folder) as watched:
        closed.clear()
        (top / "closed").chmod(0o700)
        assert [change.path for change in watched.settle()] == ["closed/x"]


def test_a_link_that_comes_while_a_folder_is_opened_is_not_followed(top: Path) -> None:
    fill(top, "a/x")
    fill(top.parent, "outside/b/secret")
    swap = [False]

    def open_folder(path: str, flags: int) -> int:
        if swap[0] and path == str(top / "a/b"):
            (top / "a").rename(top / "moved")
            (top / "a").symlink_to(top.parent / "outside")
            swap[0] = False
        return os.open(path, flags)

    with Watched(top, open_folder=open_folder) as watched:
        swap[0] = True
        fill(top, "a/b/x")
        watched.settle()
        assert watched.known == scan(top)
        assert not any("secret" in change.path for change in watched.reported)


def test_a_file_named_like_an_ignored_folder_is_reported(top: Path) -> None:
    fill(top, "b/x")
    (top / ".gitignore").write_text("b/\n")
    with Watched(top) as watched:
        shutil.rmtree(top / "b")
        fill(top, "b")
        assert [change.path for change in watched.settle()] == ["b"]


def test_a_replaced_folder_is_reported_as_its_differences(top: Path) -> None:
    fill(top, "dist/same", "dist/old", "dist/sub/old", "dist.new/same", "dist.new/new")
    fill(top, "dist.new/sub/new")
    with Watched(top) as watched:
        (top / "dist").rename(top / "dist.old")
        (top / "dist.new").rename(top / "dist")
        watched.settle()
        assert watched.known == scan(top)
        reported = set(watched.reported)
        assert Change("created", "dist/new", False, 12) in reported
        assert Change("deleted", "dist/old", False) in reported
        assert Change("deleted", "dist/sub/old", False) in reported
        assert Change("created", "dist/sub/new", False, 16) in reported
        assert watched.paths("modified") == ["dist/same"]
        for path in ("dist/x", "dist/sub/x", "dist.old/x"):
            fill(top, path)
            assert [change.path for change in watched.settle()] == [path]


def test_a_folder_made_anew_is_watched_also_where_it_gets_the_old_inode(top: Path) -> None:
    fill(top, "dist/a")
    inodes = {(top / "dist").stat().st_ino}
    with Watched(top) as watched:
        for number in range(20):  # some of these have the inode of the last
            shutil.rmtree(top / "dist")
            fill(top, "dist/b")
            inodes.add((top / "dist").stat().st_ino)
            watched.settle()
            fill(top, f"dist/{number}")
            assert f"dist/{number}" in [change.path for change in watched.settle()]
            assert watched.known == scan(top)


def test_a_watch_that_ended_is_begun_again(top: Path) -> None:
    fill(top, "a/x")
    with Watched(top) as watched:
        folder = watched.tree.top.folders["a"]
        watched.watches.remove(folder.watch or 0)  # as if its folder had gone and another had come
        watched.settle()
        fill(top, "a/y")
        assert [change.path for change in watched.settle()] == ["a/y"]


def test_a_folder_made_anew_has_its_own_ignore_file_or_none(top: Path) -> None:
    fill(top, "a/x.o")
    (top / "a/.gitignore").write_text("*.o\n")
    with Watched(top) as watched:
        assert "a/x.o" not in watched.known
        shutil.rmtree(top / "a")
        watched.settle()
        fill(top, "a/x.o")
        watched.settle()
        assert "a/x.o" in watched.known


@pytest.mark.parametrize("later", [False, True])
def test_changed_rules_tell_what_they_hide_and_what_they_show(top: Path, later: bool) -> None:
    fill(top, "build/x", "build/sub/y", "a.log")
    (top / ".gitignore").write_text("build/\n")
    with Watched(top) as watched:
        (top / ".gitignore").write_text("*.log\n")
        if later:
            watched.step()
        fill(top, "b.log", "build/z")
        watched.settle()
        assert watched.known == scan(top)
        assert watched.paths("deleted") == ["a.log"]
        fill(top, "build/sub/late")
        assert [change.path for change in watched.settle()] == ["build/sub/late"]


def test_a_switch_between_branches_with_other_files_in_the_same_folders(top: Path) -> None:
    git(top, "init", "-q", "-b", "main")
    for branch in ("main", "one", "two"):
        git(top, "switch", "-q", "--orphan", branch)
        fill(top, "same", f"a/{branch}", f"a/b/{branch}", f"{branch}/x", "a/same")
        (top / "a/same").write_text(branch)
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", branch)
    with Watched(top) as watched:
        for branch in ("one", "main", "two", "one", "two", "main"):
            git(top, "switch", "-q", branch)
            watched.settle()
            assert watched.known == scan(top)


def test_a_workspace_that_is_replaced_lost_or_made_later_is_followed(top: Path) -> None:
    git(top, "init", "-q", "-b", "main")
    fill(top, "a/x", "b")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    with Watched(top) as watched:
        top.rename(top.parent / "old")
        git(top.parent, "clone", "-q", "old", "ws")
        fill(top, "new")
        watched.settle()
        assert watched.paths("created") == ["new"]
        shutil.rmtree(top)
        watched.settle()
        assert watched.known == {}
        assert watched.looker.missing
        shutil.copytree(top.parent / "old", top)
        watched.settle()
        assert watched.known == scan(top) != {}
        remove(top)
        for target in ("old", "another", "old"):
            fill(top.parent / "another", "only here")
            (top.parent / "link").symlink_to(target)
            (top.parent / "link").rename(top)
            watched.settle()
            assert watched.known == scan(top)
            fill(top, f"a/{len(watched.reported)}")
            assert len(watched.settle()) in (1, 2)


def test_a_workspace_that_is_a_file_or_missing_is_an_empty_one(top: Path) -> None:
    fill(top.parent, "file")
    for name in ("file", "missing", "file/below"):
        with Watched(top.parent / name) as watched:
            assert watched.looker.missing
            assert watched.settle() == []
            remove(top.parent / "file")
            fill(top.parent / name, "x")
            assert [change.path for change in watched.settle()] == ["x"]
            shutil.rmtree(top.parent / name)
            fill(top.parent, "file") if not (top.parent / "file").exists() else None


def test_a_repository_made_later_brings_its_rules(top: Path) -> None:
    fill(top, "w/x.o")
    with Watched(top / "w") as watched:
        fill(top, ".gitignore")
        (top / ".gitignore").write_text("*.o\n")
        watched.settle()
        assert watched.known == {"x.o": (False, 5)}  # the folder above does not count
        git(top, "init", "-q")
        watched.settle()
        assert watched.known == {}
        (top / ".git/info/exclude").write_text("*.txt\n")
        fill(top / "w", "a.txt", "b")
        watched.settle()
        assert set(watched.known) == {"b"}


def test_removing_many_folders_takes_no_look_at_what_else_is_known(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        fill(top, f"gone/{number}/x", f"stays/{number % 10}/{number}")
    looks = Counter[str]()
    real = Looker._look_at

    def counted(looker: Looker, folder: Folder, names: set[str] | None, found: Found) -> int:
        looks[folder.path] += 1
        return real(looker, folder, names, found)

    monkeypatch.setattr(Looker, "_look_at", counted)
    watches = Counting()
    with Watched(top, watches) as watched:
        looks.clear()
        (top / "gone").rename(top.parent / "gone")
        watched.settle()
        assert len(watched.paths("deleted")) == 201
        assert watches.removed == 101
        assert set(looks) == {""}


def test_names_that_are_not_utf8_are_names_like_others(top: Path) -> None:
    name = os.fsdecode(b"a\xff")
    with Watched(top) as watched:
        (top / name).mkdir()
        fill(top / name, "x")
        watched.settle()
        fill(top / name, "y")
        assert [change.path for change in watched.settle()] == [f"{name}/y"]


@pytest.mark.parametrize(
    "make",
    [
        lambda path, outside: os.mkfifo(path),
        lambda path, outside: path.symlink_to(outside),
        lambda path, outside: path.symlink_to("/dev/zero"),
        lambda path, outside: path.mkdir(),
        lambda path, outside: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 2**30),
    ],
    ids=["fifo", "link", "device", "folder", "1 GB"],
)
def test_an_ignore_file_that_is_none_says_nothing_and_holds_nobody_up(
    top: Path, make: object
) -> None:
    (top.parent / "outside").write_text("*\n")
    make(top / ".gitignore", top.parent / "outside")  # type: ignore[operator]
    with Watched(top) as watched:
        fill(top, "a", "sub/b")
        watched.settle()
        assert {"a", "sub/b"} < set(watched.known)
        size = os.stat(top / ".gitignore", follow_symlinks=False).st_size
        assert len(watched.rules.left_out) == (size == 2**30)


def test_a_device_or_a_fifo_is_never_opened(top: Path) -> None:
    os.mkfifo(top / "fifo")
    with Watched(top) as watched:
        os.mkfifo(top / "another")
        watched.settle()
        assert watched.known == {"fifo": (False, 0), "another": (False, 0)}


def test_a_storm_in_one_folder_is_looked_at_as_a_whole(top: Path) -> None:
    with Watched(top) as watched:
        for number in range(look.MOST_NAMES + 10):
            fill(top, f"{number}")
        watched.settle()
        assert watched.known == scan(top)
        assert len(watched.reported) == look.MOST_NAMES + 10
