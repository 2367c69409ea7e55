"""GitSource against real repositories."""

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.sources import git as module, git_command, git_commits
from app.sources.git import GitSource
from tests.kit.waiting import WATCHDOG_S, until
from tests.sources.repositories import commit, create, following, git, watching


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.05)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return create(tmp_path / "repository")


async def test_first_commit_and_amend(repository: Path) -> None:
    async with watching(repository) as commits:
        first = commit(repository, "first", "a", "b \u00e9\n")
        assert await following(commits) == {
            "commit_hash": first,
            "message": "first",
            "author": "Ada",
            "files_changed": 2,
        }
        git(repository, "commit", "-q", "--amend", "-m", "better")
        assert (await following(commits))["message"] == "better"
        empty = commit(repository, "empty")
        found = await following(commits)
        assert (found["commit_hash"], found["files_changed"]) == (empty, 0)


async def test_merge_and_switch(repository: Path) -> None:
    old = commit(repository, "old", "a")
    commit(repository, "base", "b")
    git(repository, "switch", "-q", "-c", "side", old)
    commit(repository, "side", "c", "d")
    async with watching(repository) as commits:
        git(repository, "switch", "-q", "main")
        git(repository, "switch", "-q", "--detach", old)
        git(repository, "switch", "-q", "main")
        git(repository, "merge", "-q", "--no-ff", "-m", "merged", "side")
        found = await following(commits)
        assert (found["message"], found["files_changed"]) == ("merged", 2)


async def test_rebase_is_oldest_first(repository: Path) -> None:
    commit(repository, "base", "a")
    git(repository, "switch", "-q", "-c", "side")
    commit(repository, "one", "b")
    commit(repository, "two", "c")
    git(repository, "switch", "-q", "main")
    commit(repository, "main", "d")
    async with watching(repository) as commits:
        git(repository, "rebase", "-q", "main", "side")
        assert [(await following(commits))["message"] for _ in range(2)] == ["one", "two"]


async def test_subfolder_and_worktree(repository: Path, tmp_path: Path) -> None:
    commit(repository, "base", "a")
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", "--detach", str(tree))
    (tree / "sub").mkdir()
    async with watching(tree / "sub") as commits:
        commit(tree, "detached", "b")
        assert (await following(commits))["message"] == "detached"
        commit(repository, "elsewhere", "c")
        assert (await following(commits))["message"] == "elsewhere"


async def test_only_the_newest(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_COMMITS", 2)
    base = commit(repository, "base")
    for number in range(4):
        commit(repository, str(number))
    tip = git(repository, "rev-parse", "HEAD")
    git(repository, "reset", "-q", "--hard", base)
    async with watching(repository) as commits:
        git(repository, "reset", "-q", "--hard", tip)
        assert [(await following(commits))["message"] for _ in range(2)] == ["2", "3"]


@pytest.mark.parametrize("name", ["no_repository", "no_folder", "no_program"])
async def test_without_a_repository_or_git_this_is_logged_once(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    looks = 0
    find = module.Repository.find

    async def count(workspace: Path) -> module.Repository:
        nonlocal looks
        looks += 1
        return await find(workspace)

    monkeypatch.setattr(module.Repository, "find", count)
    if name == "no_program":
        monkeypatch.setenv("PATH", str(tmp_path))
    folders = {"no_repository": tmp_path, "no_folder": tmp_path / "missing"}
    with capture_logs() as logs:
        async with watching(folders.get(name, repository), is_there=False):
            await until(lambda: looks == 3)
    assert [entry["event"] for entry in logs] == ["git_unavailable"]


async def test_a_deleted_repository_is_logged_once(repository: Path) -> None:
    commit(repository, "base", "a")
    with capture_logs() as logs:
        async with watching(repository):
            shutil.rmtree(repository)
            await until(lambda: any(entry["event"] == "git_unavailable" for entry in logs))
    said = [entry["event"] for entry in logs]
    # A command may meet the folder half deleted.
    assert [event for event in said if event != "git_command_failed"] == [
        "commits_watched",
        "git_unavailable",
    ]


async def test_a_slow_command_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho $$ > pid\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(git_command, "COMMAND_SECONDS", 0.5)
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 60)
    with capture_logs() as logs:
        async with watching(tmp_path, is_there=False):
            await until(lambda: logs)
    assert logs[0]["error"] == "git rev-parse took over 0.5 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_too_much_output_ends_the_command(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "base", "a")
    monkeypatch.setattr(git_command, "MOST_BYTES", 10)
    with pytest.raises(git_command.GitLimitError, match="git for-each-ref wrote over 10 bytes"):
        await git_command.git(repository, "for-each-ref")


async def test_commits_after_a_later_init_are_reported(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with watching(tmp_path, is_there=False) as commits:
            await until(lambda: logs)
            create(tmp_path)
            commit(tmp_path, "first", "a")
            assert (await following(commits))["message"] == "first"
            commit(tmp_path, "second", "a")
            assert (await following(commits))["message"] == "second"


async def test_a_repository_made_anew_is_followed(repository: Path) -> None:
    commit(repository, "base", "a")
    async with watching(repository) as commits:
        shutil.rmtree(repository / ".git")
        create(repository)
        commit(repository, "anew", "b")
        assert (await following(commits))["message"] == "anew"
        commit(repository, "more", "b")
        assert (await following(commits))["message"] == "more"


@pytest.mark.parametrize("is_link", [False, True])
async def test_a_replaced_workspace_is_followed_and_its_old_commits_are_not_reported(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    commit(repository, "base", "a")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    commit(repository, "of another time", "b")
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    workspace = tmp_path / "workspace"
    git(tmp_path, "clone", "-q", str(repository), "fresh")
    if is_link:
        workspace.symlink_to(repository)
    else:
        create(workspace)
    async with watching(workspace) as commits:
        if is_link:
            (tmp_path / "link").symlink_to(tmp_path / "fresh")
            (tmp_path / "link").replace(workspace)
        else:
            workspace.rename(tmp_path / "old")
            (tmp_path / "fresh").rename(workspace)
        commit(workspace, "new", "c")
        assert (await following(commits))["message"] == "new"


async def test_a_repository_made_inside_the_watched_one_takes_over(repository: Path) -> None:
    commit(repository, "base", "a")
    inner = repository / "inner"
    inner.mkdir()
    async with watching(inner) as commits:
        create(inner)
        commit(inner, "inner", "b")
        assert (await following(commits))["message"] == "inner"


async def test_a_command_that_fails_is_asked_again_without_another_change(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = git_commits.tips, 0

    async def fail_twice(folder: Path, all_refs: bool) -> set[str]:
        nonlocal failures
        if not all_refs and failures < 2:
            failures += 1
            raise git_command.GitError("no process left")
        return await real(folder, all_refs)

    monkeypatch.setattr(git_commits, "tips", fail_twice)
    async with watching(repository) as commits:
        commit(repository, "first", "a")
        assert (await following(commits))["message"] == "first"
    assert failures == 2


async def test_a_folder_that_cannot_be_watched_is_asked_with_pauses(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoWatch:
        def __init__(self, folder: Path, quiet: frozenset[str]) -> None:
            raise OSError(f"no watch is left for {folder}")

    monkeypatch.setattr(module, "FolderWatch", NoWatch)
    monkeypatch.setattr(module, "POLL_S", 0.05)
    with capture_logs() as logs:
        async with watching(repository) as commits:
            commit(repository, "first", "a")
            assert (await following(commits))["message"] == "first"
    assert [entry["event"] for entry in logs] == ["git_unwatchable", "commits_watched"]


async def test_any_change_outside_the_quiet_folders_asks_git(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository whose branches lie in `reftable/`, as far as a program that says so goes."""
    real = shutil.which("git")
    base = commit(repository, "base", "a")
    table = repository / ".git" / "reftable" / "tables.list"
    table.parent.mkdir()
    table.write_text(f"{base}\n")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *for-each-ref*|*--verify*) exec cat {table};; *) exec {real} "$@";; esac\n'
    )
    program.chmod(0o755)
    path = os.environ["PATH"]
    new = git(repository, "commit-tree", "-m", "in a table", "-p", base, "HEAD^{tree}")
    monkeypatch.setenv("PATH", f"{program.parent}:{path}")
    async with watching(repository) as commits:
        table.with_suffix(".new").write_text(f"{new}\n")
        table.with_suffix(".new").rename(table)
        assert (await following(commits))["commit_hash"] == new


async def test_quiet_folders_and_locks_do_not_ask_git(repository: Path) -> None:
    with await module.Repository.find(repository) as found:
        asks = [
            name
            for name in (
                *("HEAD", "packed-refs", "refs/heads/objects", "logs/HEAD", "reftable/0x1.ref"),
                *("worktrees/a/HEAD", "some-later-store/refs"),
                *("objects/pack/p", "hooks/h", "info/exclude", "modules/m/HEAD", "lfs/x"),
                *("HEAD.lock", "refs/heads/main.lock", "reftable/tables.list.lock"),
            )
            if found.may_mean_commit(str(found.common / name))
        ]
    assert asks == [
        *("HEAD", "packed-refs", "refs/heads/objects", "logs/HEAD", "reftable/0x1.ref"),
        *("worktrees/a/HEAD", "some-later-store/refs"),
    ]


async def test_many_commits_are_emitted_in_slices(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 3)
    base = commit(repository, "base")
    for number in range(10):
        commit(repository, str(number))
    tip = git(repository, "rev-parse", "HEAD")
    git(repository, "reset", "-q", "--hard", base)
    turn, per_turn = 0, dict[int, int]()

    def emit(*_: object) -> None:
        per_turn[turn] = per_turn.get(turn, 0) + 1

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(next_turn)

    source = GitSource(emit, repository)
    task = asyncio.create_task(source.run())
    async with asyncio.timeout(WATCHDOG_S):
        await source.ready.wait()
    git(repository, "reset", "-q", "--hard", tip)
    asyncio.get_running_loop().call_soon(next_turn)
    await until(lambda: sum(per_turn.values()) == 10, 20)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert list(per_turn.values()) == [3, 3, 3, 1]
