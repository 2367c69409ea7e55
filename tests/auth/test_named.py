"""Named tokens: their file, their secrets, and how they end."""

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from app.auth.credentials import Credential
from app.auth.named import (
    MOST_PATTERNS,
    MOST_TOKENS,
    NamedToken,
    NamedTokens,
    create,
    decode_file,
    encode_file,
    hash_of,
    revoke,
    rotate,
)
from app.auth.token_file import TokenFile, load
from app.auth.tokens import Keyring
from app.errors import BadRequestError, InvalidPatternError
from app.settings import Settings
from app.state import NotOursError
from tests.kit.tokens import add_token, new_token
from tests.support import FakeClock, mode

START = 1_700_001_000.0  # the wall time of a new `FakeClock`


def test_the_file_holds_no_secret_and_what_is_written_is_read_back(tmp_path: Path) -> None:
    secret = add_token(tmp_path, "ci", "publish", publish=("workflow.*",), expires_at=START)
    path = tmp_path / "tokens.json"
    assert mode(path) == 0o600
    assert secret not in path.read_text()
    (token,) = decode_file(path.read_text())
    assert token.hash == hash_of(secret.encode())
    assert decode_file(encode_file([token])) == [token]
    assert (token.access.publish, token.access.read) == (("workflow.*",), ())


def test_the_file_is_on_disk_before_it_replaces_the_old_one_and_its_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "tokens.json", list[tuple[bool, bool, int]]()

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        seen.append((stat.S_ISDIR(status.st_mode), path.exists(), status.st_size))

    monkeypatch.setattr("os.fsync", fsync)
    add_token(tmp_path, "ci", "read")
    assert [entry[:2] for entry in seen] == [(False, False), (True, True)]
    assert seen[0][2] == path.stat().st_size


@pytest.mark.parametrize(
    ("name", "scopes", "fields"),
    [
        ("", ("read",), {}),
        ("a b", ("read",), {}),
        ("x" * 65, ("read",), {}),
        ("session", ("read",), {}),
        ("hooks", ("read",), {}),
        ("Session", ("read",), {}),
        ("HOOKS", ("read",), {}),
        ("none", (), {}),
        ("none", ("read",), {"read": ()}),
        ("many", ("read",), {"read": tuple(f"a.x{i}" for i in range(MOST_PATTERNS + 1))}),
        ("bad", ("read",), {"read": ("Bad",)}),
        ("idle", ("read",), {"publish": ("a.*",)}),
        ("root", ("admin", "read"), {"read": ("a.*",)}),
    ],
)
def test_what_is_malformed_is_refused_by_the_command_and_in_the_file(
    name: str, scopes: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    bad = new_token(name, *scopes, **fields)
    with pytest.raises((BadRequestError, InvalidPatternError)):
        create([], bad)
    kept = NamedToken(id="1" * 16, name=name, hash="0" * 64, scopes=scopes, created_at=0, **fields)
    with pytest.raises(ValueError, match=r"."):
        decode_file(encode_file([kept]))


@pytest.mark.parametrize("id_", ["", "session", "0" * 15, "0" * 16 + "\n", "G" * 16])
def test_a_token_whose_id_may_mean_another_is_refused(tmp_path: Path, id_: str) -> None:
    secret = add_token(tmp_path, "dash", "read").encode()
    path = tmp_path / "tokens.json"
    (token,) = decode_file(path.read_text())
    path.write_text(encode_file([msgspec.structs.replace(token, id=id_)]))
    keyring = Keyring(Settings(state_dir=tmp_path), FakeClock())
    assert keyring.credential_of(secret, None) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tokens":[{}]}', '{"tokens":[],"version":2}'])
def test_a_file_that_is_none_admits_nobody(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_file(text)


def test_names_are_unique_and_tokens_are_few() -> None:
    tokens: list[NamedToken] = []
    for number in range(MOST_TOKENS):
        tokens, _ = create(tokens, new_token(f"t{number}", "read"))
    with pytest.raises(BadRequestError, match="revoke some"):
        create(tokens, new_token("more", "read"))
    with pytest.raises(BadRequestError, match="there is a token 't1'"):
        create(tokens[:5], new_token("t1", "admin"))
    with pytest.raises(BadRequestError, match="no token 'other'"):
        revoke(tokens, "other")
    assert [token.name for token in revoke(tokens[:3], "t1")] == ["t0", "t2"]


def test_a_rotated_token_has_another_secret_and_lasts_as_long_again() -> None:
    tokens, secret = create([], new_token("ci", "read", created_at=100.0, expires_at=400.0))
    changed, new = rotate(tokens, "ci", 1000.0, None)
    assert new != secret
    assert (changed[0].expires_at, changed[0].created_at) == (1300.0, 1000.0)
    assert changed[0].id != tokens[0].id
    assert rotate(tokens, "ci", 1000.0, 5.0)[0][0].expires_at == 1005.0
    with pytest.raises(ValueError, match="same hash"):
        decode_file(encode_file([*changed, *rotate_name(changed, "other")]))


def rotate_name(tokens: list[NamedToken], name: str) -> list[NamedToken]:

    return [msgspec.structs.replace(token, name=name, id="2" * 16) for token in tokens]


async def test_any_change_of_a_record_ends_the_token_and_an_expired_one_is_not_found() -> None:
    clock, ended = FakeClock(), []

    def on_end(token: NamedToken, credential: Credential) -> None:
        assert credential.ended
        ended.append(token.name)

    tokens = NamedTokens(clock, on_end)
    kept, secret = create([], new_token("a", "read", read=("a.*",)))
    kept, brief = create(kept, new_token("b", "publish", expires_at=clock.wall() + 10))
    tokens.replace(kept, configured=True)
    first = tokens.find(secret.encode())
    assert first is not None
    assert tokens.find(b"\xff" + secret.encode()) is None
    tokens.replace(kept, configured=True)
    assert tokens.find(secret.encode()) is first
    assert ended == []
    assert tokens.next_end_s() == 10
    clock.advance(10)
    assert tokens.find(brief.encode()) is None
    tokens.expire()
    assert ended == ["b"]

    wider = msgspec.structs.replace(kept[0], read=("*",))
    tokens.replace([wider], configured=True)
    assert ended == ["b", "a"]
    second = tokens.find(secret.encode())
    assert second is not None
    assert second is not first
    tokens.replace([], configured=False)
    assert ended == ["b", "a", "a"]
    assert tokens.find(secret.encode()) is None


def test_if_one_cannot_be_closed_all_have_ended_and_the_others_are_closed() -> None:
    ended = list[str]()

    def on_end(token: NamedToken, credential: Credential) -> None:
        ended.append(token.name)
        if len(ended) == 1:
            raise RuntimeError("this connection cannot be closed")

    tokens = NamedTokens(FakeClock(), on_end)
    kept: list[NamedToken] = []
    secrets = list[str]()
    for name in "abc":
        kept, secret = create(kept, new_token(name, "read"))
        secrets.append(secret)
    tokens.replace(kept, configured=True)
    with pytest.raises(RuntimeError):
        tokens.replace([], configured=True)
    assert sorted(ended) == ["a", "b", "c"]
    assert [tokens.find(secret.encode()) for secret in secrets] == [None] * 3


def test_a_record_with_a_field_that_is_not_known_is_malformed() -> None:
    kept, _ = create([], new_token("a", "read"))
    later = encode_file(kept).replace('"name":', '"only_from":"10.0.0.5","name":', 1)
    assert later != encode_file(kept)
    with pytest.raises(ValueError, match="only_from"):
        decode_file(later)


async def test_a_file_that_changes_is_read_again_and_one_that_is_not_believed_admits_nobody(
    tmp_path: Path,
) -> None:
    ended: list[str] = []
    tokens = NamedTokens(FakeClock(), lambda token, credential: ended.append(token.name))
    file = TokenFile(tmp_path, tokens)
    file.read()
    assert not tokens.configured
    secret = add_token(tmp_path, "a", "read").encode()
    await file.refresh()
    assert tokens.configured
    assert tokens.find(secret) is not None
    path = tmp_path / "tokens.json"
    with capture_logs() as logs:
        path.chmod(0o644)
        await file.refresh()
        assert tokens.find(secret) is None
        assert tokens.configured
        path.chmod(0o600)
        await file.refresh()
        assert tokens.find(secret) is not None
        path.write_text(path.read_text().replace("read", "reed"))
        await file.refresh()
        await file.refresh()
        assert tokens.find(secret) is None
    assert [log["event"] for log in logs] == ["tokens_not_believed"] * 2
    os.unlink(path)
    await file.refresh()
    assert not tokens.configured
    assert ended == ["a", "a"]


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_socket(path: Path) -> None:
    path.unlink()
    os.mknod(path, stat.S_IFSOCK | 0o600)


def in_a_file(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.touch()


@pytest.mark.parametrize("make", [a_link, a_socket, in_a_file])
async def test_what_is_no_regular_file_of_this_user_ends_all_tokens(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "state"
    secret = add_token(folder, "a", "read").encode()
    tokens = NamedTokens(FakeClock(), lambda token, credential: None)
    file = TokenFile(folder, tokens)
    file.read()
    assert tokens.find(secret) is not None
    make(folder / "tokens.json")
    with capture_logs() as logs:
        await file.refresh()
        await file.refresh()
    assert tokens.find(secret) is None
    (log,) = logs
    assert log["event"] == "tokens_not_believed"
    assert log["path"] == str(folder / "tokens.json")
    assert log["remedy"]


def test_a_file_that_may_not_be_opened_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_users(path: Path, most_bytes: int) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("app.auth.token_file.read_kept", another_users)
    with pytest.raises(NotOursError, match="Permission denied"):
        load(tmp_path / "tokens.json")


async def test_while_git_cannot_answer_nothing_changes_and_then_the_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()  # enough for git to be asked
    folder = tmp_path / "state"
    tokens = NamedTokens(FakeClock(), lambda token, credential: None)
    file = TokenFile(folder, tokens)
    first = add_token(folder, "a", "read").encode()
    file.read()
    second = add_token(folder, "b", "read").encode()
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setenv("PATH", str(tmp_path))
        await file.refresh()
        assert tokens.find(first) is not None
        assert tokens.find(second) is None
    assert [log["event"] for log in logs] == ["tokens_unreadable"]
    await file.refresh()
    assert tokens.find(first) is not None
    assert tokens.find(second) is not None


async def test_a_file_that_cannot_be_read_now_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_file_descriptor(path: Path, most_bytes: int) -> str:
        raise OSError(24, "Too many open files")

    tokens = NamedTokens(FakeClock(), lambda token, credential: None)
    file = TokenFile(tmp_path, tokens)
    secret = add_token(tmp_path, "a", "read").encode()
    file.read()
    add_token(tmp_path, "b", "read")
    with monkeypatch.context() as patched:
        patched.setattr("app.auth.token_file.read_kept", no_file_descriptor)
        await file.refresh()
        assert tokens.find(secret) is not None
    await asyncio.gather(file.refresh(), file.refresh())
    assert len(tokens._tokens) == 2


def test_what_a_token_let_in_ends_with_it_also_over_a_restart(tmp_path: Path) -> None:
    secret = add_token(tmp_path, "dash", "read", read=("a.*",), expires_at=START + 100).encode()
    clock, ended = FakeClock(), []
    keyring = Keyring(Settings(state_dir=tmp_path), clock, ended.append)
    keyring.watch()
    credential = keyring.credential_of(secret, None)
    assert credential is not None
    log_in = keyring.log_in(keyring.make_ticket(credential).encode())
    assert log_in is not None
    outstanding = keyring.make_ticket(credential).encode()
    keyring.close()
    again = Keyring(Settings(state_dir=tmp_path), clock, ended.append)
    again.watch()
    for one in (keyring, again):
        session = one.browser_sessions.find(log_in.cookie.encode())
        assert session is not None
        assert one.browser_sessions.credential(session).access.read == ("a.*",)
    assert ended == []
    clock.advance(100)
    assert [one.kind for one in ended] == ["token", "cookie"]
    assert again.browser_sessions.find(log_in.cookie.encode()) is None
    assert keyring.log_in(outstanding) is None
    third = Keyring(Settings(state_dir=tmp_path), clock)
    assert len(third.browser_sessions) == 0
