"""Real changes in a workspace, all the way to a client."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from app.sources.ignore import MOST_BYTES
from tests.kit.gateway import Start
from tests.kit.messages import receive
from tests.kit.waiting import ticks, until

FILES, FOLDERS = 5000, 50


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.slow
async def test_a_checkout_of_5000_files_reaches_a_client_without_a_gap_while_pings_are_answered(
    start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    git(workspace, "init", "-q", "-b", "main")
    git(workspace, "commit", "-q", "--allow-empty", "-m", "empty")
    git(workspace, "switch", "-q", "-c", "large")
    for number in range(FILES):
        file = workspace / f"d{number % FOLDERS}" / f"{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("text")
    git(workspace, "add", ".")
    git(workspace, "commit", "-q", "-m", "large")
    git(workspace, "switch", "-q", "main")

    gateway = await start(workspace=workspace)
    await until(lambda: "files_watched" in capfd.readouterr().err)
    loop = asyncio.get_running_loop()
    pongs_s: list[float] = []

    async with gateway.connect("?types=file.*") as client, gateway.connect("?types=") as asking:
        await receive(client)
        await receive(asking)

        async def ask() -> None:
            async for _ in ticks(0.02):  # well below the rate that would close the connection
                began = loop.time()
                await asking.send('{"type":"ping"}')
                await receive(asking)
                pongs_s.append(loop.time() - began)

        asking_on = asyncio.create_task(ask())
        await asyncio.to_thread(git, workspace, "switch", "-q", "large")
        created: list[str] = []
        while len(created) < FILES + FOLDERS:
            message = await receive(client)
            # One that was looked at between its making and its writing is modified afterwards.
            assert message["type"] in ("file.created", "file.modified")
            if message["type"] == "file.created":
                created.append(message["data"]["path"])
        asking_on.cancel()
    assert len(set(created)) == FILES + FOLDERS
    assert len(pongs_s) > 10  # the loop was free in between
    print(f"the longest wait for a pong: {max(pongs_s):.3f} s")


async def test_without_folder_or_repository_the_gateway_says_so_once_and_goes_on(
    start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = ""

    def says(word: str) -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return word in said

    gone = tmp_path / "gone"
    gone.mkdir()
    gateway = await start(workspace=gone)
    await until(lambda: says("git_unavailable") and says("files_watched"))
    gone.rmdir()
    await until(lambda: says("workspace_unavailable"))
    async with gateway.connect() as client:
        await receive(client)
        await gateway.publish()
        assert (await receive(client))["sequence_number"] == 1
    await gateway.stop()
    says("")
    assert said.count("git_unavailable") == said.count("workspace_unavailable") == 1
    assert "Traceback" not in said


async def test_unwatched_parts_of_the_workspace_are_reported_to_clients_session_and_metrics(
    start: Start, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / ".gitignore").write_text("#" * (MOST_BYTES + 1))
    gateway = await start(workspace=workspace)
    await until(lambda: gateway.bus.counters.blind)
    async with gateway.http() as http, gateway.connect("?types=") as client:
        assert (await receive(client))["type"] == "connected"
        notice = await receive(client)
        assert (notice["type"], notice["code"]) == ("notice", "workspace_blind")
        assert "ignore_files: 1" in notice["message"]
        assert (await http.get("/api/session")).json()["workspace_blind"] == {"ignore_files": 1}
        metric = 'sightline_workspace_blind{reason="ignore_files"} 1.0'
        assert metric in (await http.get("/metrics")).text
        async with http.stream("GET", "/api/events/stream?types=") as stream:
            async for line in stream.aiter_lines():
                if "workspace_blind" in line:
                    break
        (workspace / ".gitignore").write_text("*.o\n")
        assert (await receive(client))["code"] == "workspace_back"
        assert (await http.get("/api/session")).json()["workspace_blind"] == {}
