"""GitSource in repositories that lack objects, or whose settings and texts are made to mislead."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.sources import git_commits
from tests.sources.repositories import commit, create, following, git, watching


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return create(tmp_path / "repository")


def object_file(folder: Path, name: str) -> Path:
    return folder / ".git" / "objects" / name[:2] / name[2:]


def partial_clone(repository: Path, folder: Path, kind: str) -> None:
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(folder.parent, "clone", "-q", f"--filter={kind}", f"file://{repository}", folder.name)


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
async def test_a_partial_clone_reports_a_pull_with_a_rename_and_fetches_nothing(
    repository: Path, tmp_path: Path, kind: str
) -> None:
    clone = tmp_path / "clone"
    commit(repository, "base", "a", "b")
    partial_clone(repository, clone, kind)
    git(repository, "mv", "a", "c")
    commit(repository, "renamed", "d")
    git(repository, "mv", "b", "e")
    commit(repository, "edited", "e")
    commit(repository, "last", "f")
    async with watching(clone) as commits:
        git(clone, "pull", "-q")
        missing = git(clone, "rev-list", "--all", "--objects", "--missing=print")
        found = [await following(commits) for _ in range(3)]
        assert git(clone, "rev-list", "--all", "--objects", "--missing=print") == missing
        commit(clone, "own", "g")
        assert (await following(commits))["files_changed"] == 1
    assert [data["message"] for data in found] == ["renamed", "edited", "last"]
    if kind == "blob:none":
        # A rename with an edit counts as two: telling it needs the content of the files.
        assert [data["files_changed"] for data in found] == [2, 2, 1]
    else:
        assert "?" in missing  # so there is a commit whose trees are not here
        assert [data["files_changed"] for data in found if "files_changed" in data] != found


async def test_a_commit_whose_trees_are_missing_is_reported_without_a_count(
    repository: Path,
) -> None:
    commit(repository, "base", "a")
    async with watching(repository) as commits:
        names = [commit(repository, text, text) for text in ("one", "two", "three")]
        for _ in names:
            assert (await following(commits))["files_changed"] == 1
    object_file(repository, git(repository, "rev-parse", f"{names[0]}^{{tree}}")).unlink()
    with capture_logs() as logs:
        described = await git_commits.describe(repository, names)
    assert [data.get("files_changed") for data in described] == [None, None, 1]
    assert [data["message"] for data in described] == ["one", "two", "three"]
    assert [entry["commit"] for entry in logs] == names[:2]


@pytest.mark.parametrize("trouble", ["no tip", "no parent", "corrupt tip", "corrupt parent"])
async def test_a_branch_that_cannot_be_read_keeps_no_other_from_being_reported(
    repository: Path, trouble: str
) -> None:
    commit(repository, "base", "a")
    git(repository, "switch", "-q", "-c", "side")
    parent = commit(repository, "parent", "b")
    tip = commit(repository, "tip", "c")
    git(repository, "switch", "-q", "main")
    git(repository, "branch", "-q", "-D", "side")
    bad = object_file(repository, tip if "tip" in trouble else parent)
    bad.chmod(0o600)
    async with watching(repository) as commits:
        if "no" in trouble:
            bad.unlink()
        else:
            bad.write_bytes(b"no object")
        (repository / ".git" / "refs" / "heads" / "side").write_text(f"{tip}\n")
        first = commit(repository, "first", "d")
        found = [await following(commits)]
        while found[-1]["commit_hash"] != first:
            found.append(await following(commits))
        # What is known by now holds nothing up either.
        second = commit(repository, "second", "d")
        while found[-1]["commit_hash"] != second:
            found.append(await following(commits))
        if "parent" in trouble:
            (unreadable,) = [data for data in found if data["commit_hash"] == tip]
            assert "files_changed" not in unreadable
            found.remove(unreadable)
    assert [(data["commit_hash"], data["files_changed"]) for data in found] == [
        (first, 1),
        (second, 1),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log.diffMerges", "off"),
        ("log.diffMerges", "no such format"),
        ("log.showSignature", "true"),
        ("diff.renames", "copies"),
        ("diff.noprefix", "no boolean"),
        ("diff.orderFile", "no/such/file"),
        ("core.quotePath", "false"),
        ("color.ui", "always"),
        ("i18n.logOutputEncoding", "ISO-8859-1"),
        ("format.pretty", "%x00%H"),
    ],
)
async def test_settings_for_display_change_nothing(repository: Path, name: str, value: str) -> None:
    old = commit(repository, "old", "a")
    commit(repository, "base", "b")
    git(repository, "switch", "-q", "-c", "side", old)
    commit(repository, "side", "c", "d\u2028\n\x85e", "0" * 40)
    git(repository, "switch", "-q", "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "mergé", "side")
    merge = git(repository, "rev-parse", "HEAD")
    git(repository, "config", name, value)
    assert await git_commits.describe(repository, [merge]) == [
        {"commit_hash": merge, "message": "mergé", "author": "Ada", "files_changed": 3}
    ]


async def test_a_long_subject_or_author_is_cut_with_a_mark(repository: Path) -> None:
    commit(repository, "base", "a")
    async with watching(repository) as commits:
        (repository / "text").write_text("é" * 150_000)
        git(
            repository, "-c", f"user.name={'A' * 50_000}", "commit", "-q", "--allow-empty", "-Ftext"
        )
        found = await following(commits)
        commit(repository, "next", "b")
        assert (await following(commits))["message"] == "next"
    assert found["message"] == "é" * 999 + "…"
    assert found["author"] == "A" * 999 + "…"


async def test_no_setting_of_the_repository_runs_a_program(
    repository: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    commit(repository, "base", "a")
    partial_clone(repository, clone, "tree:0")
    program, ran = tmp_path / "program", tmp_path / "ran"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\n')
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("reference-transaction", "post-index-change", "post-checkout", "pre-auto-gc"):
        (hooks / hook).symlink_to(program)
    tip = git(clone, "commit-tree", "-m", "made", "-p", "HEAD", "HEAD^{tree}")
    merge = git(clone, "commit-tree", "-m", "made", "-p", tip, "-p", "HEAD", "HEAD^{tree}")
    async with watching(clone) as commits:
        (clone / ".gitattributes").write_text("* diff=evil filter=evil\n")
        for name, value in {
            **dict.fromkeys(("core.fsmonitor", "core.pager", "core.editor"), str(program)),
            **dict.fromkeys(("core.sshCommand", "core.askPass", "gpg.program"), str(program)),
            **dict.fromkeys(("diff.external", "diff.evil.textconv"), str(program)),
            **dict.fromkeys(("diff.evil.command", "filter.evil.process"), str(program)),
            **dict.fromkeys(("core.alternateRefsCommand", "credential.helper"), f"!{program}"),
            "core.hooksPath": str(hooks),
            "log.showSignature": "true",
            "remote.origin.uploadpack": str(program),
            "remote.origin.url": f"ext::{program} %S",
            "protocol.allow": "always",
            "protocol.ext.allow": "always",
        }.items():
            git(clone, "config", name, value)
        git(clone, "config", "pager.log", "true")
        (clone / ".git" / "refs" / "heads" / "side").write_text(f"{merge}\n")
        assert {(await following(commits))["commit_hash"] for _ in range(2)} == {tip, merge}
        # Objects that are missing must not be fetched, over whatever the settings call a transport.
        text = git(clone, "cat-file", "commit", tip).partition("\n")[2]
        (tmp_path / "lost").write_text(f"tree {'1' * 40}\n{text}\n")
        lost = git(
            clone, "hash-object", "-t", "commit", "-w", "--literally", str(tmp_path / "lost")
        )
        (clone / ".git" / "refs" / "heads" / "lost").write_text(f"{lost}\n")
        assert (await following(commits))["commit_hash"] == lost
    assert not ran.exists(), ran.read_text()


async def test_a_stream_is_split_the_same_however_it_comes_in() -> None:
    text = b"one\0\0" + b"x" * 10_000 + b"\0last\0rest"
    whole = git_commits.Fields().feed(text)
    for size in (1, 7, 4096):
        fields = git_commits.Fields()
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        split = [field[:4000] for piece in pieces for field in fields.feed(piece)]
        assert split == [field[:4000] for field in whole]
    await asyncio.sleep(0)
