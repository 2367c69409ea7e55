"""`litestar run` as a user starts it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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


async def litestar_run(folder: Path, port: int) -> asyncio.subprocess.Process:
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("SIGHTLINE_", "LITESTAR"))
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "litestar", "--app", "app:create_app", "run", "--port", str(port)),
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "SIGHTLINE_SESSION_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


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
