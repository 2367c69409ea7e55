from pathlib import Path

import pytest

from app.auth.browsers import LIFETIME_S, MOST, BrowserSessions, LogIn
from app.auth.credentials import Credential
from app.auth.tokens import SessionToken
from tests.support import FakeClock, mode


def browsers(clock: FakeClock, token: str = "given-token", ended: list[str] | None = None):
    def digest(purpose: str, value: bytes) -> str:
        return SessionToken(token).digest(purpose.encode() + value)

    def on_end(credential: Credential) -> None:
        assert credential.ended
        if ended is not None:
            ended.append(credential.id)

    return BrowserSessions(digest, clock, on_end)


def is_in(sessions: BrowserSessions, secret: LogIn) -> bool:
    return sessions.find(secret.cookie.encode()) is not None


def test_each_secret_is_for_its_own_purpose_and_its_own_session() -> None:
    sessions = browsers(FakeClock())
    one, two = sessions.begin(), sessions.begin()
    session = sessions.find(one.cookie.encode())
    assert session is not None
    assert sessions.fits(session, one.key.encode())
    for wrong in (two.key, one.cookie, "", one.key[:-1], "\xff"):
        assert not sessions.fits(session, wrong.encode())
    for wrong in (one.key, session.id, session.cookie, "", "x" * 1_000_000):
        assert sessions.find(wrong.encode()) is None


def test_too_many_browsers_push_the_oldest_out_which_ends_what_it_opened() -> None:
    ended: list[str] = []
    sessions = browsers(FakeClock(), ended=ended)
    first = sessions.begin()
    session = sessions.find(first.cookie.encode())
    assert session is not None
    others = [sessions.begin() for _ in range(MOST)]
    assert ended == [session.id]
    assert not is_in(sessions, first)
    assert all(is_in(sessions, other) for other in others)


def test_a_session_ends_once_by_its_id_and_another_goes_on() -> None:
    ended: list[str] = []
    sessions = browsers(FakeClock(), ended=ended)
    one, two = sessions.begin("Firefox"), sessions.begin("x" * 1000)
    ids = [session.id for session, _ in sessions.all()]
    assert [session.user_agent for session, _ in sessions.all()] == ["Firefox", "x" * 200]
    assert sessions.end(ids[0])
    assert not sessions.end(ids[0])
    assert not is_in(sessions, one)
    assert is_in(sessions, two)
    sessions.end_all()
    assert ended == ids
    assert sessions.all() == []


def test_what_has_expired_is_in_no_list_and_ends_when_it_is_looked_for() -> None:
    clock, ended = FakeClock(), []
    sessions = browsers(clock, ended=ended)
    assert sessions.next_end_s() is None
    secret = sessions.begin()
    clock.advance(LIFETIME_S - 1)
    assert sessions.next_end_s() == pytest.approx(1)
    assert is_in(sessions, secret)
    clock.advance(1)
    assert not is_in(sessions, secret)
    assert sessions.all() == []
    sessions.expire()
    assert len(ended) == 1


def test_sessions_outlive_a_restart_but_no_reboot_no_other_token_and_no_expiry(
    tmp_path: Path,
) -> None:
    clock, path = FakeClock(), tmp_path / "browser.sessions"
    before = browsers(clock)
    secret = before.begin()
    before.keep(path, "boot1")
    assert mode(path) == 0o600
    assert secret.cookie not in path.read_text()
    assert secret.key not in path.read_text()

    def after(boot_id: str, token: str = "given-token") -> bool:
        fresh = browsers(clock, token)
        fresh.take_back(path, boot_id)
        session = fresh.find(secret.cookie.encode())
        return session is not None and fresh.fits(session, secret.key.encode())

    assert after("boot1")
    assert not after("boot2")
    assert not after("boot1", token="another")
    clock.advance(-500)  # as after a reboot
    assert not after("boot1")
    clock.advance(500 + LIFETIME_S)
    assert not after("boot1")
    clock.advance(-LIFETIME_S)
    path.chmod(0o644)
    assert not after("boot1")
    path.chmod(0o600)
    for rubbish in ("", "{}", "[1]", '{"boot_id":1}', '{"boot_id":"boot1","sessions":[{}]}'):
        path.write_text(rubbish)
        assert not after("boot1")


def test_a_machine_that_does_not_name_its_boots_keeps_no_sessions(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "browser.sessions"
    before = browsers(clock)
    secret = before.begin()
    before.keep(path, "")
    fresh = browsers(clock)
    fresh.take_back(path, "")
    assert not is_in(fresh, secret)


def test_where_the_file_cannot_be_written_no_older_one_brings_an_ended_session_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    clock, path = FakeClock(), tmp_path / "browser.sessions"
    sessions = browsers(clock)
    sessions.begin()
    sessions.keep(path, "boot1")
    sessions.end_all()
    monkeypatch.setattr("app.auth.browsers.write_private", full)
    with pytest.raises(OSError, match="No space left"):
        sessions.keep(path, "boot1")
    assert not path.exists()
