"""`litestar run` as a user starts it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.live.conftest import TOKEN, close_code, receive

ROOT = Path(__file__).parents[2]
FIRST_REPLY_S = 15


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


async def litestar(folder: Path, *words: str, **environ: str) -> asyncio.subprocess.Process:
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("SIGHTLINE_", "LITESTAR"))
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "litestar", "--app", "app:create_app", *words),
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "SIGHTLINE_SESSION_TOKEN": TOKEN, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def litestar_run(folder: Path, port: int) -> asyncio.subprocess.Process:
    return await litestar(folder, "run", "--port", str(port))


@asynccontextmanager
async def connected(
    process: asyncio.subprocess.Process, port: int
) -> AsyncIterator[ClientConnection]:
    """A client, as soon as the gateway listens."""
    async with asyncio.timeout(FIRST_REPLY_S):
        while True:
            assert process.returncode is None, await process.communicate()
            try:
                client = await connect(
                    f"ws://127.0.0.1:{port}/ws",
                    additional_headers={"X-Session-Token": TOKEN},
                    proxy=None,
                )
                break
            except OSError:
                await asyncio.sleep(0.05)
    async with client:
        yield client


async def event_after(client: ClientConnection, type_: str, cause: Any) -> dict[str, Any]:
    """The first event of this type; the cause is repeated, as watching may not have begun yet."""
    async with asyncio.timeout(FIRST_REPLY_S):
        for attempt in range(20):
            cause(attempt)
            try:
                while True:
                    message = await receive(client, 1.5)
                    if message["type"] == type_:
                        return message
            except TimeoutError:
                continue
    raise AssertionError(f"no {type_}")


async def test_litestar_run_shows_a_file_and_a_commit_and_ends_at_sigterm(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    port = free_port()
    process = await litestar_run(tmp_path, port)
    try:
        async with connected(process, port) as client:
            assert (await receive(client))["type"] == "connected"

            def write(attempt: int) -> None:
                (tmp_path / f"note-{attempt}.txt").write_text("hello")

            event = await event_after(client, "file.created", write)
            assert event["data"]["path"].startswith("note-")

            def commit(attempt: int) -> None:
                git(tmp_path, "add", ".")
                git(tmp_path, "commit", "-q", "--allow-empty", "-m", f"commit {attempt}")

            event = await event_after(client, "git.commit_created", commit)
            assert event["data"]["message"].startswith("commit")
            assert event["data"]["author"]

            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(process.communicate(), 5)
            assert await close_code(client) == 1012
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = (out + err).decode()
    assert "Traceback" not in said
    assert TOKEN not in said
    assert process.returncode == 0
    assert (tmp_path / ".sightline" / "session.token").stat().st_mode & 0o777 == 0o600


async def test_a_taken_port_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await litestar_run(tmp_path, port)
        out, err = await asyncio.wait_for(process.communicate(), FIRST_REPLY_S)
    assert process.returncode == 1
    (line,) = err.decode().splitlines()
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert b"Traceback" not in out


async def said_by(process: asyncio.subprocess.Process) -> tuple[str, str]:
    out, err = await asyncio.wait_for(process.communicate(), FIRST_REPLY_S)
    return out.decode(), err.decode()


async def test_a_start_prints_a_link_that_logs_in_and_so_does_litestar_login(
    tmp_path: Path,
) -> None:
    port = free_port()
    url, url_file = f"http://127.0.0.1:{port}", tmp_path / ".sightline" / "gateway.url"
    opened = tmp_path / "opened"
    (browser := tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o700)
    process = await litestar(tmp_path, "run", "--port", str(port), SIGHTLINE_LOG_LEVEL="debug")
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), FIRST_REPLY_S)).decode()
        links = [line.split()[-1]]
        assert url_file.read_text() == f"{url}\n"
        assert url_file.stat().st_mode & 0o777 == 0o600
        for words in (["login"], ["login", "--open"]):
            out, err = await said_by(await litestar(tmp_path, *words, BROWSER=str(browser)))
            assert err == ""
            links.append(out.strip())
        assert opened.read_text().strip() == links[-1]
        async with httpx.AsyncClient(trust_env=False) as http:
            for link in links:
                assert link.startswith(f"{url}/login#")
                body = {"ticket": link.partition("#")[2]}
                assert (await http.post(f"{url}/api/login", json=body)).status_code == 204
                assert (await http.post(f"{url}/api/login", json=body)).status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = await said_by(process)
    assert out == ""
    for link in links:
        assert link.partition("#")[2] not in err
    assert not url_file.exists()
    out, err = await said_by(await litestar(tmp_path, "login"))
    assert "start the gateway in this folder first" in " ".join(err.split())


async def test_litestar_login_says_when_the_gateway_is_gone(tmp_path: Path) -> None:
    state = tmp_path / ".sightline"
    state.mkdir()
    (state / "session.token").write_text(TOKEN)
    (state / "gateway.url").write_text(url := f"http://127.0.0.1:{free_port()}")
    process = await litestar(tmp_path, "login")
    out, err = await said_by(process)
    assert (process.returncode, out) == (1, "")
    assert url in err
    assert "is it running?" in " ".join(err.split())
    assert TOKEN not in err


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
async def test_over_tls_the_own_origin_is_configured_and_the_cookie_secure(tmp_path: Path) -> None:
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout k.pem -out c.pem"
    making = await asyncio.create_subprocess_exec(*make.split(), cwd=tmp_path)
    assert await making.wait() == 0
    certificate = ["--ssl-certfile=c.pem", "--ssl-keyfile=k.pem"]
    for allowed, status in (("", 403), (url, 204)):
        process = await litestar(
            *(tmp_path, "run", "--port", str(port), *certificate),
            SIGHTLINE_ALLOWED_ORIGINS=allowed,
            SIGHTLINE_WORKSPACE="",
        )
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), FIRST_REPLY_S)).decode()
            assert f" {url}/login#" in line
            async with httpx.AsyncClient(trust_env=False, verify=False) as http:
                body = {"ticket": line.strip().partition("#")[2]}
                answer = await http.post(f"{url}/api/login", json=body, headers={"Origin": url})
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = await said_by(process)
        assert answer.status_code == status
        assert ("SIGHTLINE_ALLOWED_ORIGINS" in err) == (status == 403)
        assert ("; Secure" in answer.headers.get("set-cookie", "")) == (status == 204)
