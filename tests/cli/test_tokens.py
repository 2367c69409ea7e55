"""`sightline token …`: the commands write the file; the secret is printed once."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result

from app.auth.named import decode_file, hash_of
from app.cli import main
from app.state import write_private


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SIGHTLINE_")]:
        monkeypatch.delenv(name)
    structlog.reset_defaults()  # as in a new process: another test may have configured it
    yield tmp_path
    structlog.reset_defaults()


def sightline(*words: str) -> Result:
    return CliRunner().invoke(main, ["token", *words])


def test_a_token_is_made_listed_rotated_and_revoked_and_its_secret_shown_once(folder: Path) -> None:
    file = folder / ".sightline" / "tokens.json"
    made = sightline("create", "--name", "ci", "--scope", "publish", "--types", "workflow.*,git.*",
                     "--expires", "30d")  # fmt: skip
    secret = made.stdout.strip()
    (token,) = decode_file(file.read_text())
    assert token.hash == hash_of(secret.encode())
    assert (token.publish, token.read) == (("workflow.*", "git.*"), ("*",))
    assert token.expires_at is not None
    assert token.expires_at - token.created_at == 30 * 86_400
    assert "publish:workflow.*,git.*  until " in sightline("list").stdout
    shown = sightline("list", "--json").stdout
    assert [one["name"] for one in json.loads(shown)] == ["ci"]
    assert token.hash not in shown
    rotated = sightline("rotate", "ci").stdout.strip()
    (again,) = decode_file(file.read_text())
    assert again.hash == hash_of(rotated.encode()) != token.hash
    assert sightline("revoke", "ci").exit_code == 0
    assert decode_file(file.read_text()) == []
    assert {secret, rotated}.isdisjoint(file.read_text().split('"'))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "--name", "a", "--scope", "admin", "--types", "a.*"], "an admin reads"),
        (["create", "--name", "a", "--scope", "read", "--types", "BAD"], "'BAD' is malformed"),
        (["create", "--name", "a b", "--scope", "read"], "token name 'a b'"),
        (["create", "--name", "a", "--scope", "read", "--expires", "soon"], "'soon' is no time"),
        (["create", "--name", "a", "--scope", "read", "--publish", "a.*"], "give it the scope"),
        (["create", "--name", "a"], "--scope"),
        (["revoke", "nobody"], "there is no token 'nobody'"),
        (["rotate", "nobody"], "there is no token 'nobody'"),
        (["--rotate", "list"], "for the session token"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    folder: Path, words: list[str], said: str
) -> None:
    done = sightline(*words)
    assert done.exit_code != 0
    assert said in " ".join(done.output.split())
    assert not (folder / ".sightline" / "tokens.json").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "SIGHTLINE_TOKENS=nats needs a NATS server: give SIGHTLINE_NATS_URL"),
        ("nats://127.0.0.1:1", "NATS does not answer ("),
    ],
)
@pytest.mark.parametrize(
    "words", [["list"], ["revoke", "a"], ["create", "--name", "a", "--scope", "read"]]
)
def test_a_bucket_that_cannot_be_used_is_said_and_no_file_is_used_instead(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], url: str | None, said: str
) -> None:
    assert sightline("create", "--name", "a", "--scope", "read").exit_code == 0
    before = (folder / ".sightline" / "tokens.json").read_text()
    monkeypatch.setenv("SIGHTLINE_TOKENS", "nats")
    if url is not None:
        monkeypatch.setenv("SIGHTLINE_NATS_URL", url)
    done = sightline(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert (folder / ".sightline" / "tokens.json").read_text() == before


def test_a_file_that_is_not_believed_is_not_replaced(folder: Path) -> None:
    (folder / ".sightline").mkdir()
    file = folder / ".sightline" / "tokens.json"
    write_private(file, "{}")
    done = sightline("create", "--name", "a", "--scope", "read")
    assert done.exit_code == 1
    assert "is malformed" in done.output
    assert file.read_text() == "{}\n"
    file.chmod(0o644)
    assert "its mode is not 0600" in sightline("list").output
