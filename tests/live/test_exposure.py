"""At the start: which addresses can reach the gateway, and how many connections fit."""

import resource
import socket
import stat
from pathlib import Path

import httpx
import pytest

from app.server import serve as cli, sockets
from app.settings import Settings
from tests.kit.http import TOKEN
from tests.kit.messages import receive
from tests.kit.processes import litestar_run, quiet_run

HEADERS = {"X-Session-Token": TOKEN}


@pytest.mark.slow
async def test_a_unix_socket_is_the_users_alone_and_goes_with_the_gateway(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with litestar_run(tmp_path, words=("--uds", str(path))) as run:
        await run.says("running on")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, headers=HEADERS) as http:
            assert (await http.get("http://localhost/api/session")).status_code == 200
        run.process.terminate()
        assert await run.ended(5) == 0
    assert not path.exists()
    assert "Traceback" not in run.said


def test_a_socket_file_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    sockets.bind_unix(path).close()  # as after a kill -9
    with sockets.bind_unix(path):
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_a_socket_file_in_use_and_a_file_of_another_kind_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, other = tmp_path / "s", tmp_path / "notes.txt"
    other.write_text("mine")
    with sockets.bind_unix(str(path)):
        for taken in (path, other):
            with pytest.raises(SystemExit):
                sockets.bind_unix(str(taken))
            assert "choose another path" in capsys.readouterr().err
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("host", "encrypted", "warned"),
    [("0.0.0.0", False, True), ("0.0.0.0", True, False), ("127.0.0.1", False, False)],
)
def test_an_address_that_others_reach_in_clear_text_is_warned_of(
    host: str,
    encrypted: bool,
    warned: bool,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    listeners = sockets.bind(host, 0)
    cli.warn(listeners, Settings(), encrypted=encrypted)
    for listener in listeners:
        listener.close()
    said = capsys.readouterr().out + caplog.text  # the second if a test has configured the log
    assert ("not_encrypted" in said) == warned
    assert ("--ssl-certfile" in said) == warned


@pytest.mark.slow
async def test_few_file_descriptors_are_logged_at_the_start_and_ten_clients_still_fit(
    tmp_path: Path,
) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    log = tmp_path / "log"
    with log.open("w") as out:
        async with quiet_run(tmp_path, preexec_fn=few, stderr=out, stdout=out) as run:
            clients = [await run.connected() for _ in range(10)]
            for client in clients:
                assert (await receive(client))["type"] == "connected"
    said = log.read_text()
    assert "few_file_descriptors" in said
    assert "ulimit -n" in said
