"""IgnoreRules against `git check-ignore`, in real repositories."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from app.sources.ignore import IgnoreRules, ignore_rules
from tests.kit.examples import up_to

FOLDERS = ["", "a", "a/a", "a/b", "b", "b/a", "a/b/c"]
PATHS = [f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in ("c", "x.o", "x.txt")]
PATHS = [path for path in PATHS if path not in FOLDERS]
SEGMENTS = st.sampled_from(["a", "b", "c", "*", "**", "x.*", "*.o", "?", "[ab]", "x.txt"])
PATTERNS = st.builds(
    lambda no, root, names, folder: no + root + "/".join(names) + folder,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
).filter(
    lambda pattern: not pattern.endswith("/**/")
)  # pathspec takes `a/**/` for `a/`
FILES = st.lists(PATTERNS, max_size=4)


def git(folder: Path, *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def ignored_by_git(folder: Path, paths: list[str]) -> set[str]:
    asked = "".join(f"{path}\0" for path in paths)
    answer = git(folder, "check-ignore", "--no-index", "--stdin", "-z", given=asked)
    return set(answer.split("\0")[:-1])


def ignored(rules: IgnoreRules, folder: Path, paths: list[str]) -> set[str]:
    return {path for path in paths if rules.ignored(path, (folder / path).is_dir())}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def repository(tmp_path: Path, home: Path) -> Path:
    """A work tree with a folder `w` to watch, the same tree of files in both."""
    top = tmp_path / "top"
    for folder in FOLDERS:
        for base in (top, top / "w"):
            (base / folder).mkdir(parents=True, exist_ok=True)
    for path in PATHS:
        (top / path).touch()
        (top / "w" / path).touch()
    git(top, "init", "-q")
    return top


@settings(
    max_examples=up_to(100),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(above=[], exclude=[], top=["*/", "!a/"], below=[], users=[])
@given(above=FILES, exclude=FILES, top=FILES, below=FILES, users=FILES)
def test_any_rules_say_what_git_says(
    repository: Path,
    home: Path,
    above: list[str],
    exclude: list[str],
    top: list[str],
    below: list[str],
    users: list[str],
) -> None:
    shared = (repository / ".git/info/exclude", home / ".config/git/ignore")
    shared[1].parent.mkdir(parents=True, exist_ok=True)
    watched = repository / "w"
    files = (repository / ".gitignore", *shared, watched / ".gitignore", watched / "a/.gitignore")
    for file, lines in zip(files, (above, exclude, users, top, below), strict=True):
        file.write_text("\n".join(lines))
    paths = [path for path in (*FOLDERS, *PATHS) if path]
    if ignored_by_git(repository, ["w"]):
        return  # the watched folder was chosen: see below
    rules = IgnoreRules(repository, "w", shared)
    assert ignored(rules, watched, paths) == ignored_by_git(watched, paths)


async def test_rules_from_everywhere_count_as_git_counts_them(repository: Path, home: Path) -> None:
    watched = repository / "w"
    (repository / ".gitignore").write_text("*.o\n")
    (repository / ".git/info/exclude").write_text("c\n")
    (home / "mine").write_text("x.txt\n!x.o\n")
    (home / ".gitconfig").write_text("[core]\nexcludesFile = ~/mine\n")
    (watched / "a/.gitignore").write_text("!x.o\n")
    rules = await ignore_rules(watched)
    expected = {path for path in PATHS if path not in ("a/x.o", "a/a/x.o", "a/b/x.o")}
    assert ignored(rules, watched, PATHS) == ignored_by_git(watched, PATHS) == expected


async def test_the_users_file_has_a_default_place(
    repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name in ((home / ".config", "x.o"), (home / "xdg", "x.txt")):
        (folder / "git").mkdir(parents=True)
        (folder / "git" / "ignore").write_text(name)
    assert (await ignore_rules(repository)).ignored("x.o", False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    rules = await ignore_rules(repository)
    assert (rules.ignored("x.o", False), rules.ignored("x.txt", False)) == (False, True)


async def test_a_linked_worktree_shares_the_excludes_of_its_repository(
    repository: Path, tmp_path: Path
) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    git(repository, *identity, "commit", "-q", "--allow-empty", "-m", "first")
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    (repository / ".git/info/exclude").write_text("*.o\n")
    assert (await ignore_rules(tmp_path / "tree")).ignored("x.o", False)


async def test_a_watched_folder_that_is_ignored_itself_still_speaks(repository: Path) -> None:
    (repository / ".gitignore").write_text("w/\n*.o\n")
    rules = await ignore_rules(repository / "w")
    assert (rules.ignored("x.txt", False), rules.ignored("x.o", False)) == (False, True)


async def test_a_folder_behind_a_link_has_the_rules_of_where_it_is(
    repository: Path, tmp_path: Path
) -> None:
    (repository / ".gitignore").write_text("/w/a/x.o\n")
    (tmp_path / "link").symlink_to(repository / "w")
    assert (await ignore_rules(tmp_path / "link")).ignored("a/x.o", False)


async def test_without_git_the_folders_own_files_count(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (repository / ".gitignore").write_text("*.o\n")
    (repository / "w/.gitignore").write_text("*.txt\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    rules = await ignore_rules(repository / "w")
    assert (rules.ignored("x.txt", False), rules.ignored("x.o", False)) == (True, False)


async def test_rules_are_stale_once_a_file_above_the_watched_folder_changes(
    repository: Path,
) -> None:
    rules = await ignore_rules(repository / "w")
    assert not rules.stale()
    assert not rules.ignored("a", True)
    (repository / ".gitignore").write_text("a/\n")
    assert rules.stale()
    assert (await ignore_rules(repository / "w")).ignored("a", True)


@pytest.mark.parametrize("text", ["", "\N{ZERO WIDTH NO-BREAK SPACE}*.o\r\n# *\r\n//\n\n!\n[\n"])
def test_odd_files_are_read_as_git_reads_them(repository: Path, text: str) -> None:
    (repository / ".gitignore").write_text(text, newline="")
    rules = IgnoreRules(repository)
    assert ignored(rules, repository, PATHS) == ignored_by_git(repository, PATHS)


@pytest.mark.parametrize(
    "name", [".git", ".sightline", ".a.swp", "a.swo", "a~", ".#a", "#a#", "4913"]
)
def test_git_the_gateway_and_editors_are_silent(tmp_path: Path, name: str) -> None:
    rules = IgnoreRules(tmp_path)
    assert rules.ignored(name, False)
    assert rules.ignored(f"{name}/below", False)
    assert not rules.ignored(f"x{name}x", False)
