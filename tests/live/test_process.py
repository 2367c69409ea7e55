"""`litestar run` as a user starts it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.kit.http import TOKEN, Connection, request
from tests.kit.messages import close_code, receive, receive_type
from tests.kit.processes import ROOT, free_port, litestar_run, quiet_run, serving_process
from tests.kit.waiting import lines_of_file


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path


@pytest.mark.slow
async def test_litestar_run_shows_a_file_and_a_commit_and_ends_at_sigterm(
    repository: Path,
) -> None:
    async with litestar_run(repository) as run:
        await run.says("running on", "files_watched", "commits_watched")
        async with run.connect() as client:
            assert (await receive(client))["type"] == "connected"
            (repository / "note.txt").write_text("hello")
            event = await receive_type(client, "file.created")
            assert event["data"] == {"path": "note.txt", "size": 5, "is_directory": False}
            git(repository, "add", ".")
            git(repository, "commit", "-q", "-m", "a note")
            event = await receive_type(client, "git.commit_created")
            assert (event["data"]["message"], event["data"]["author"]) == ("a note", "Ada")
            assert event["data"]["files_changed"] == 1
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended(5) == 0
            assert await close_code(client) == 1012
    assert "Traceback" not in run.said
    assert TOKEN not in run.said
    assert (repository / ".sightline" / "session.token").stat().st_mode & 0o777 == 0o600
    assert git(repository, "status", "--porcelain") == ""  # the token's folder ignores itself


@pytest.mark.slow
async def test_ctrl_c_closes_clients_with_1012_and_ends_without_a_traceback(tmp_path: Path) -> None:
    async with litestar_run(tmp_path) as run:
        await run.says("running on")
        async with run.connect() as client:
            await receive(client)
            run.process.send_signal(signal.SIGINT)
            assert await run.ended(5) == 0
            assert await close_code(client) == 1012
    assert "Traceback" not in run.said


@pytest.mark.slow
async def test_ctrl_c_pressed_often_ends_it_as_one_does(tmp_path: Path) -> None:
    async with litestar_run(tmp_path) as run:
        await run.says("running on")
        run.process.send_signal(signal.SIGINT)
        await run.says("Shutting down")
        for _ in range(50):  # while the lifespan ends, and python itself
            run.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0)
        assert await run.ended(5) == 0
    assert "Traceback" not in run.said


@pytest.mark.slow
async def test_a_second_gateway_in_the_folder_is_refused_and_takes_nothing_from_the_first(
    tmp_path: Path,
) -> None:
    state = tmp_path / ".sightline"
    async with litestar_run(tmp_path) as first:
        await first.says("running on", "sightline login")
        async with litestar_run(tmp_path, first.port) as second:  # on the same port
            assert await second.ended() == 3
        (line,) = second.said.splitlines()
        for part in (f"process {first.process.pid} at http://127.0.0.1:{first.port}", str(state)):
            assert part in line
        assert (state / "gateway.url").read_text() == f"http://127.0.0.1:{first.port}\n"
        for name in os.listdir(state):  # as `git clean` does
            os.unlink(state / name)
        await asyncio.to_thread(lines_of_file, state / "gateway.url", 1)
        await asyncio.to_thread(lines_of_file, state / "session.token", 1)
        first.process.kill()
        await first.ended()
        async with litestar_run(tmp_path) as third:  # what a killed one left holds up nobody
            await third.says("running on")
            third.process.send_signal(signal.SIGTERM)
            assert await third.ended(5) == 0
    kept = [".gitignore", "gateway.lock", "journal.db", "journal.db.clean"]
    kept += ["journal.db.lock", "session.token"]
    assert sorted(os.listdir(state)) == kept


@pytest.mark.slow
async def test_a_taken_port_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with litestar_run(tmp_path, port) as run:
            assert await run.ended() == 1
    (line,) = run.said.splitlines()
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert f"make run PORT={port + 1}" in line


@pytest.mark.slow
async def test_an_application_with_the_plugin_is_run_with_direct_writes_and_ends_as_well(
    tmp_path: Path,
) -> None:
    async with litestar_run(tmp_path, app="examples.stories:create_app") as run:
        await run.says("running on", "sightline login")
        async with run.connect() as client:
            assert (await receive(client))["type"] == "connected"
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended(5) == 0
            assert await close_code(client) == 1012
    assert "no_direct_writes" not in run.said
    assert "Traceback" not in run.said
    assert TOKEN not in run.said


@pytest.mark.slow
async def test_a_server_without_direct_writes_is_logged_once(tmp_path: Path) -> None:
    port = free_port()
    command = ("-m", "uvicorn", "--factory", "examples.stories:create_app", "--port", str(port))
    async with serving_process(tmp_path, port, sys.executable, *command) as run:
        await run.says("running on")
        for _ in range(2):
            async with run.connect() as client:
                assert (await receive(client))["type"] == "connected"
        stream = httpx.stream(
            "GET",
            f"http://127.0.0.1:{port}/api/events/stream",
            headers={"X-Session-Token": TOKEN},
            trust_env=False,
        )
        with stream as answer:  # which stock uvicorn would wait for without end
            assert answer.status_code == 200
            run.process.send_signal(signal.SIGTERM)
            await run.ended(5)
    assert run.said.count("no_direct_writes") == 1
    assert TOKEN not in run.said


@pytest.mark.slow
def test_the_run_command_keeps_an_applications_own_port(tmp_path: Path) -> None:
    for app, port in (("examples.stories:create_app", "8000"), ("sightline:create_app", "3000")):
        shown = subprocess.run(
            [sys.executable, "-m", "litestar", "--app", app, "run", "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        assert port in shown
        for refused in ("--reload", "--wc", "--web-concurrency"):
            assert refused not in shown


@pytest.mark.slow
async def test_what_was_sent_before_a_shutdown_is_answered(tmp_path: Path) -> None:
    """Also on connections that the gateway has not accepted yet, or that wait for a next request."""
    body = b'{"type":"chat.message_sent","data":{"role":"user","content":"x"}}'
    headers = [b"X-Session-Token: " + TOKEN.encode(), b"Content-Type: application/json"]
    headers.append(b"Content-Length: %d" % len(body))
    post = request(*headers, method=b"POST", path=b"/api/events") + body

    async with quiet_run(tmp_path) as run, AsyncExitStack() as stack:

        def dialed() -> Connection:
            raw = stack.enter_context(run.dial())
            raw.setblocking(False)
            return Connection(raw)

        await (await run.connected()).close()
        kept = [dialed() for _ in range(10)]
        for connection in kept:
            assert (await connection.ask(post)).status == 201
        run.process.send_signal(signal.SIGSTOP)
        connections = kept + [dialed() for _ in range(40)]
        for connection in connections:
            connection.raw.sendall(post)
        run.process.send_signal(signal.SIGTERM)
        run.process.send_signal(signal.SIGCONT)
        for connection in connections:
            assert (await connection.head()).status in (201, 503)
        assert await run.ended() == 0
