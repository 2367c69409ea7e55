import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.auth.browsers import LIFETIME_S, MOST
from app.auth.credentials import Credential
from app.auth.proof import address_of, run_token
from app.auth.tokens import Keyring, SessionToken, Tickets, session_token
from app.errors import SettingsError
from app.events import Clock
from app.settings import Settings
from tests.kit.tokens import add_token
from tests.support import FakeClock, mode


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
    assert session_token(settings).reveal() == first.reveal()
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".gitignore", "session.token"]


def test_a_token_that_others_could_read_or_a_clone_brought_is_replaced(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / ".sightline")
    path = tmp_path / ".sightline" / "session.token"
    first = session_token(settings).reveal()
    path.chmod(0o644)
    second = session_token(settings).reveal()
    assert second != first
    assert mode(path) == 0o600
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert session_token(settings).reveal() == second
    subprocess.run(["git", "-C", tmp_path, "add", "-f", path], check=True)
    assert session_token(settings).reveal() != second


def test_a_state_folder_that_is_a_link_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".sightline").symlink_to("elsewhere")
    with pytest.raises(SettingsError, match="it is a link"):
        session_token(Settings(state_dir=tmp_path / ".sightline"))
    assert not any((tmp_path / "elsewhere").iterdir())


def test_given_token_replaces_the_kept_one(tmp_path: Path) -> None:
    session_token(Settings(state_dir=tmp_path))
    given = "given-token-0123456789"
    assert session_token(Settings(state_dir=tmp_path, session_token=given)).reveal() == given
    assert (tmp_path / "session.token").read_text().strip() == given


def test_unfit_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "session.token").write_bytes(b"\xff short")
    token = session_token(Settings(state_dir=tmp_path))
    assert (tmp_path / "session.token").read_text().strip() == token.reveal()
    ignored = (tmp_path / ".gitignore").read_text().split()
    assert "/session.token*" in ignored
    assert "*" not in ignored  # the folder was not ours: it may hold the user's work


def test_unusable_folder_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="SIGHTLINE_STATE_DIR"):
        session_token(Settings(state_dir=tmp_path / "file"))


def test_a_file_of_another_user_or_behind_a_link_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("a-token-somebody-chose")
    (tmp_path / "session.token").symlink_to(tmp_path / "theirs")
    with pytest.raises(SettingsError, match="SIGHTLINE_STATE_DIR"):
        session_token(Settings(state_dir=tmp_path))


def passes(clock: Clock, *, lifetime_s: float = 300, most: int = 3) -> Tickets:
    return Tickets(SessionToken("given-token").digest, clock, lifetime_s, most)


def test_a_pass_admits_its_holder_and_nobody_else() -> None:
    tickets = passes(FakeClock())
    value = tickets.issue()
    assert value != tickets.issue()
    for other in (b"", b"\xff\x00", value[:-1].encode(), b"x" * 1_000_000):
        assert not tickets.spend(other)
    assert tickets.spend(value.encode())


def test_of_many_logins_with_one_ticket_exactly_one_succeeds() -> None:
    tickets = passes(Clock())
    for _ in range(50):
        value = tickets.issue().encode()
        with ThreadPoolExecutor(8) as threads:
            admitted = list(threads.map(tickets.spend, [value] * 8))
        assert admitted.count(True) == 1
        assert not tickets.spend(value)


def test_a_pass_expires_by_the_monotonic_clock_whatever_the_wall_clock_does() -> None:
    class Jumping(FakeClock):
        jump_s = 0.0

        def wall(self) -> float:
            return super().wall() + self.jump_s

    clock = Jumping()
    tickets = passes(clock)
    young, old = tickets.issue().encode(), tickets.issue().encode()
    for clock.jump_s in (3600, -30 * 86400):
        clock.advance(149.9)
    assert tickets.spend(young)
    clock.advance(0.2)
    assert not tickets.spend(old)


def test_too_many_passes_push_the_oldest_out() -> None:
    tickets = passes(FakeClock())
    values = [tickets.issue().encode() for _ in range(5)]
    assert [tickets.spend(value) for value in values] == [False, False, True, True, True]


def test_a_named_token_pushes_out_its_own_tickets_and_log_ins_alone(tmp_path: Path) -> None:
    few, many = (add_token(tmp_path, name, "read").encode() for name in ("few", "many"))
    keyring = Keyring(Settings(state_dir=tmp_path), FakeClock())

    def ticket(secret: bytes) -> bytes:
        credential = keyring.credential_of(secret, None)
        assert credential is not None
        return keyring.make_ticket(credential).encode()

    waiting = [ticket(secret) for secret in (keyring.session_token.reveal().encode(), few)]
    flood = [ticket(many) for _ in range(MOST + 5)]
    assert [keyring.tickets.spend(one) for one in flood].count(True) == MOST - 1
    logged_in = [keyring.log_in(one) for one in waiting]
    for _ in range(MOST + 5):
        keyring.log_in(ticket(many), "é" * 300)
    for one in logged_in:
        assert one is not None
        assert keyring.browser_sessions.find(one.cookie.encode()) is not None
    assert len(keyring.browser_sessions) == MOST + 1
    again = Keyring(Settings(state_dir=tmp_path), keyring._clock)
    assert len(again.browser_sessions) == MOST + 1


def test_a_login_uses_a_ticket_once_and_succeeds_on_a_full_disk(tmp_path: Path) -> None:
    keyring = Keyring(Settings(state_dir=tmp_path / "state"), FakeClock())
    ticket = keyring.tickets.issue().encode()
    secret = keyring.log_in(ticket)
    assert secret is not None
    assert len({ticket.decode(), secret.cookie, secret.key}) == 3
    assert keyring.browser_sessions.find(secret.cookie.encode()) is not None
    for other in (ticket, secret.key.encode()):
        assert keyring.browser_sessions.find(other) is None
    assert keyring.log_in(ticket) is None
    shutil.rmtree(tmp_path / "state")
    assert keyring.log_in(keyring.tickets.issue().encode()) is not None


def test_a_new_token_ends_everything_that_came_in_by_the_old_one(tmp_path: Path) -> None:
    ended: list[Credential] = []
    keyring = Keyring(Settings(state_dir=tmp_path), FakeClock(), ended.append)
    old, old_credential = keyring.session_token.reveal().encode(), keyring.token_credential
    secret = keyring.log_in(keyring.tickets.issue().encode())
    assert secret is not None
    ticket = keyring.tickets.issue().encode()
    keyring.rotate()
    new = (tmp_path / "session.token").read_text().strip().encode()
    assert new != old
    assert keyring.is_token(new, None)
    assert not keyring.is_token(old, None)
    assert keyring.log_in(ticket) is None
    assert keyring.browser_sessions.find(secret.cookie.encode()) is None
    assert [credential.kind for credential in ended] == ["token", "cookie"]
    assert old_credential.ended
    assert not keyring.token_credential.ended
    again = Keyring(Settings(state_dir=tmp_path), FakeClock())
    assert again.is_token(new, None)
    assert len(again.browser_sessions) == 0


def test_a_token_that_cannot_be_written_is_not_replaced(tmp_path: Path) -> None:
    keyring = Keyring(Settings(state_dir=tmp_path / "state"), FakeClock())
    old = keyring.session_token.reveal().encode()
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(OSError, match="No such file"):
        keyring.rotate()
    assert keyring.is_token(old, None)
    assert not keyring.token_credential.ended


def test_sessions_end_when_they_expire_by_one_timer_for_the_next(tmp_path: Path) -> None:
    clock, ended = FakeClock(), []
    keyring = Keyring(
        Settings(state_dir=tmp_path), clock, lambda credential: ended.append(clock.now)
    )
    keyring.watch()
    assert clock.timers == []
    for _ in range(3):
        keyring.log_in(keyring.tickets.issue().encode())
        assert len(clock.timers) == 1
        clock.advance(10)
    clock.advance(LIFETIME_S - 30.5)
    assert ended == []
    clock.advance(0.5)
    assert len(ended) == 1
    clock.advance(10)
    assert len(ended) == 2
    keyring.close()
    assert clock.timers == []


def test_the_stand_in_for_the_token_counts_at_one_address_in_one_run(tmp_path: Path) -> None:
    one = Keyring(Settings(state_dir=tmp_path), FakeClock())
    two = Keyring(Settings(state_dir=tmp_path), FakeClock())
    here, there = "127.0.0.1 3000", "127.0.0.1 3001"
    stand_in = run_token(one.session_token.reveal(), one.run, here).encode()
    assert one.is_token(stand_in, here)
    assert not one.is_token(stand_in, there)
    assert not one.is_token(stand_in, None)
    assert not two.is_token(stand_in, here)
    assert one.prove("n" * 32, here) != one.prove("n" * 32, there)
    assert one.prove("n" * 32, here) != one.prove("m" * 32, here)
    assert not one.is_token(one.prove("n" * 32, here).encode(), here)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("127.0.0.1", "127.0.0.1 80"),
        ("::ffff:127.0.0.1", "127.0.0.1 80"),
        ("fe80::1%eth0", "fe80::1 80"),
        ("0:0:0:0:0:0:0:1", "::1 80"),
    ],
)
def test_an_address_reads_the_same_at_both_ends(host: str, text: str) -> None:
    assert address_of(host, 80) == text
