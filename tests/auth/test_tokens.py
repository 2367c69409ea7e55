import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.auth.tokens import Keyring, Passes, SessionToken, session_token
from app.errors import SettingsError
from app.events import Clock
from app.settings import Settings
from tests.support import FakeClock


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


def test_a_file_of_another_user_or_behind_a_link_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("a-token-somebody-chose")
    (tmp_path / "session.token").symlink_to(tmp_path / "theirs")
    with pytest.raises(SettingsError, match="SIGHTLINE_STATE_DIR"):
        session_token(Settings(state_dir=tmp_path))


def passes(clock: Clock, *, lifetime_s: float = 300, most: int = 3) -> Passes:
    return Passes(SessionToken("given-token").digest, clock, lifetime_s, most)


def test_a_pass_admits_its_holder_and_nobody_else() -> None:
    tickets = passes(FakeClock())
    value = tickets.issue()
    assert value != tickets.issue()
    assert tickets.admits(value.encode())
    for other in (b"", b"\xff\x00", value[:-1].encode(), b"x" * 1_000_000):
        assert not tickets.admits(other)
        assert not tickets.spend(other)


def test_of_many_who_race_with_one_ticket_exactly_one_gets_in() -> None:
    tickets = passes(Clock())
    for _ in range(50):
        value = tickets.issue().encode()
        with ThreadPoolExecutor(8) as threads:
            admitted = list(threads.map(tickets.spend, [value] * 8))
        assert admitted.count(True) == 1
        assert not tickets.admits(value)


def test_a_pass_expires_by_the_monotonic_clock_whatever_the_wall_clock_does() -> None:
    class Jumping(FakeClock):
        jump_s = 0.0

        def wall(self) -> float:
            return super().wall() + self.jump_s

    clock = Jumping()
    tickets = passes(clock)
    value = tickets.issue().encode()
    for clock.jump_s in (3600, -30 * 86400):
        clock.advance(149)
        assert tickets.admits(value)
    clock.advance(1.9)
    assert tickets.admits(value)
    clock.advance(0.2)
    assert not tickets.admits(value)
    assert not tickets.spend(value)


def test_too_many_passes_push_the_oldest_out() -> None:
    tickets = passes(FakeClock())
    values = [tickets.issue().encode() for _ in range(5)]
    assert [tickets.admits(value) for value in values] == [False, False, True, True, True]


def test_kept_passes_outlive_a_restart_but_no_reboot_no_other_token_and_no_expiry(
    tmp_path: Path,
) -> None:
    clock, path = FakeClock(), tmp_path / "browser.sessions"
    before = passes(clock)
    value = before.issue()
    before.keep(path, "boot1")
    assert mode(path) == 0o600
    assert value not in path.read_text()

    def after(boot_id: str, token: str = "given-token") -> bool:
        fresh = Passes(SessionToken(token).digest, clock, 300, 3)
        fresh.take_back(path, boot_id)
        return fresh.admits(value.encode())

    assert after("boot1")
    assert not after("boot2")
    assert not after("boot1", token="another")
    clock.advance(-500)  # as after a reboot that nothing told of
    assert not after("boot1")
    clock.advance(801)
    assert not after("boot1")
    for rubbish in ("", "{}", "[1]", '{"boot_id":1}'):
        path.write_text(rubbish)
        assert not after("boot1")


def test_a_machine_that_does_not_name_its_boots_keeps_no_passes(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "browser.sessions"
    before = passes(clock)
    value = before.issue().encode()
    before.keep(path, "")
    fresh = passes(clock)
    fresh.take_back(path, "")
    assert not fresh.admits(value)


def test_a_log_in_trades_a_ticket_once_and_a_full_disk_keeps_nobody_out(tmp_path: Path) -> None:
    keyring = Keyring(Settings(state_dir=tmp_path / "state"), FakeClock())
    ticket = keyring.tickets.issue().encode()
    session = keyring.log_in(ticket)
    assert session is not None
    assert keyring.browser_sessions.admits(session.encode())
    assert not keyring.browser_sessions.admits(ticket)
    assert keyring.log_in(ticket) is None
    shutil.rmtree(tmp_path / "state")
    assert keyring.log_in(keyring.tickets.issue().encode()) is not None
