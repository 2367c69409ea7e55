import stat
from pathlib import Path

import pytest

from app.auth.tokens import SessionToken, session_token
from app.errors import SettingsError
from app.settings import Settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_matches_only_itself_and_takes_any_bytes() -> None:
    token = SessionToken("abcdefghijklmnop")
    assert token.matches(b"abcdefghijklmnop")
    assert not any(token.matches(other) for other in (b"", b"\xff\x00", b"abcdefghijklmnoP"))
    assert "abcdef" not in f"{token!r} {token}"


def test_made_at_start_and_kept(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    first = session_token(settings)
    path = tmp_path / "state" / "session.token"
    assert first.matches(path.read_text().strip().encode())
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert (path.parent / ".gitignore").read_text().strip() == "*"
    path.chmod(0o644)
    assert session_token(settings).reveal() == first.reveal()
    assert mode(path) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".gitignore", "session.token"]


def test_given_token_replaces_the_kept_one(tmp_path: Path) -> None:
    session_token(Settings(state_dir=tmp_path))
    given = "given-token-0123456789"
    assert session_token(Settings(state_dir=tmp_path, session_token=given)).reveal() == given
    assert (tmp_path / "session.token").read_text().strip() == given


def test_unfit_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "session.token").write_bytes(b"\xff short")
    token = session_token(Settings(state_dir=tmp_path))
    assert (tmp_path / "session.token").read_text().strip() == token.reveal()
    assert not (tmp_path / ".gitignore").exists()  # the folder was not ours


def test_unusable_folder_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="SIGHTLINE_STATE_DIR"):
        session_token(Settings(state_dir=tmp_path / "file"))
