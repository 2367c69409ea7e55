"""One folder, one gateway: the lock refuses a second one, forks included; the kernel frees it."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.main import create_app
from app.settings import Settings
from app.state import unusable
from app.state.lock import LOCK_FILE, FolderLock, only_gateway
from tests.kit.waiting import WATCHDOG_S

ROOT = Path(__file__).parents[2]
HOLDER = """
import os, sys, time
from pathlib import Path
from app.state.lock import FolderLock
FolderLock(Path(sys.argv[1])).take()
forked, begun = os.pipe()
if not os.fork():  # as a library forks in the middle of a lifespan
    os.write(begun, b"x")
    sys.stdin.read()
    os._exit(0)
os.read(forked, 1)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_gateway_of_a_folder_is_refused_and_the_error_names_the_first_and_a_way_out(
    tmp_path: Path,
) -> None:
    first = FolderLock(tmp_path / "state")
    with only_gateway(first):
        first.announce("http://127.0.0.1:3000")
        with pytest.raises(SettingsError) as refused:
            FolderLock(tmp_path / "state").take()
        said = str(refused.value)
        for part in (f"process {os.getpid()} at http://127.0.0.1:3000", "stop it (kill "):
            assert part in said
        assert "SIGHTLINE_STATE_DIR" in said
        assert "start exactly one" in said
        with only_gateway(FolderLock(tmp_path / "other")):
            pass
        assert (tmp_path / "state/gateway.url").read_text() == "http://127.0.0.1:3000\n"
    assert not (tmp_path / "state/gateway.url").exists()
    with only_gateway(FolderLock(tmp_path / "state")):
        pass


async def test_a_refused_gateway_leaves_the_token_of_the_other_alone(tmp_path: Path) -> None:
    first, second = (
        create_app(Settings(session_token=token, state_dir=tmp_path, workspace=None))
        for token in ("first-token", "second-token")
    )
    async with first.lifespan():
        with pytest.RaisesGroup(SettingsError, flatten_subgroups=True):
            async with second.lifespan():
                pass
        assert (tmp_path / "session.token").read_text() == "first-token\n"


def test_a_killed_gateway_frees_its_folder_though_a_child_that_it_forked_lives_on(
    tmp_path: Path,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SettingsError, match=f"process {holder.pid}"):
            FolderLock(tmp_path).take()
        holder.send_signal(signal.SIGKILL)
        holder.wait(WATCHDOG_S)
        with only_gateway(FolderLock(tmp_path)):
            pass
    finally:
        holder.kill()
        holder.communicate()  # its child ends with this


@pytest.mark.parametrize("lost", ["gateway.url", LOCK_FILE, None])
def test_address_and_lock_come_back_where_they_were_removed(
    tmp_path: Path, lost: str | None
) -> None:
    lock = FolderLock(tmp_path / "state")
    with only_gateway(lock):
        lock.announce("http://127.0.0.1:3000")
        if lost is None:  # as `git clean -fdx` does
            shutil.rmtree(tmp_path / "state")
        else:
            (tmp_path / "state" / lost).unlink()
        assert lock.keep() is (lost != "gateway.url")
        assert (tmp_path / "state/gateway.url").read_text() == "http://127.0.0.1:3000\n"
        with pytest.raises(SettingsError, match=f"process {os.getpid()} at http"):
            FolderLock(tmp_path / "state").take()
    assert not (tmp_path / "state/gateway.url").exists()


def test_a_gateway_whose_folder_another_one_took_meanwhile_leaves_the_address_to_it(
    tmp_path: Path,
) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    with only_gateway(first):
        first.announce("http://127.0.0.1:3000")
        (tmp_path / LOCK_FILE).unlink()
        with only_gateway(second):
            second.announce("http://127.0.0.1:3001")
            first.keep()
            first.withdraw()
            assert (tmp_path / "gateway.url").read_text() == "http://127.0.0.1:3001\n"


def test_a_folder_of_another_user_is_named_with_how_to_give_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    said = str(unusable(tmp_path / "session.token", PermissionError(13, "Permission denied")))
    owner = tmp_path.owner()
    assert f"belongs to {owner}, who ran a gateway here before" in said
    assert f"sudo chown -R 54321 {tmp_path}" in said


def test_a_lock_that_is_removed_while_it_is_taken_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def removing(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        (tmp_path / LOCK_FILE).unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removing)
    with only_gateway(FolderLock(tmp_path)), pytest.raises(SettingsError, match="already runs"):
        FolderLock(tmp_path).take()


@pytest.mark.parametrize("what", ["fifo", "hard link", "folder"])
def test_a_lock_that_is_no_plain_file_is_refused_and_not_written(tmp_path: Path, what: str) -> None:
    lock, precious = tmp_path / LOCK_FILE, tmp_path / "precious"
    precious.write_text("work")
    make = {
        "fifo": os.mkfifo,
        "hard link": lambda path: os.link(precious, path),
        "folder": os.mkdir,
    }
    make[what](lock)
    with pytest.raises(SettingsError, match=LOCK_FILE):
        FolderLock(tmp_path).take()
    assert precious.read_text() == "work"


def test_a_state_folder_that_cannot_be_used_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / LOCK_FILE).symlink_to("elsewhere")
    for folder in (tmp_path / "file", tmp_path):
        with pytest.raises(SettingsError, match="SIGHTLINE_STATE_DIR"):
            FolderLock(folder).take()
    assert not (tmp_path / "elsewhere").exists()
