"""Faults of the machine and of the gateway's own parts: connected clients are served on."""

import asyncio
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from app.sources import running as restarts, workspace
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN, request
from tests.kit.messages import close_code, receive
from tests.kit.processes import quiet_run
from tests.kit.waiting import WATCHDOG_S, ticks, until
from tests.live.attack import bystander

EVENT = {"type": "chat.message_sent", "data": {"role": "user", "content": "x"}}


@pytest.mark.slow
async def test_sigterm_ends_it_whatever_hangs_on_it(tmp_path: Path) -> None:
    token = f"X-Session-Token: {TOKEN}".encode()
    async with quiet_run(tmp_path) as run, run.http() as http:
        client = await run.connected()
        for _ in range(20):
            await http.post(
                "/api/events", json=[{**EVENT, "data": {"role": "user", "content": "x" * 200_000}}]
            )
        upgrade = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        hanging = [
            run.dial(),
            run.dial(b"GET /ws HTTP/1.1\r\nHo"),
            run.dial(
                request(
                    token,
                    b"Content-Length: 9",
                    b"Content-Type: application/json",
                    method=b"POST",
                    path=b"/api/events",
                )
            ),
            run.dial(request(token, path=b"/api/events?limit=1000"), receive_buffer=4096),
            run.dial(
                request(token, *upgrade, key, path=b"/ws?last_sequence_number=0"),
                receive_buffer=4096,
            ),
        ]
        async for _ in ticks(0.05):
            if len(run.info.net_connections()) >= len(hanging) + 3:
                break
        await http.post("/api/events", json=[EVENT])
        code = asyncio.create_task(close_code(client))
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0
        assert await code == 1012
        for raw in hanging:
            raw.close()


@pytest.mark.slow
async def test_after_a_sigkill_a_resume_meets_a_new_epoch_and_an_honest_gap(tmp_path: Path) -> None:
    async with quiet_run(tmp_path) as run, run.http() as http:
        client = await run.connected()
        epoch = (await receive(client))["epoch"]
        await http.post("/api/events", json=[EVENT] * 3)
        position = [await receive(client) for _ in range(3)][-1]["sequence_number"]
        run.process.kill()
        assert await close_code(client) == 1006
    async with quiet_run(tmp_path) as run:
        client = await run.connected(f"?epoch={epoch}&last_sequence_number={position}")
        connected = await receive(client)
        assert connected["epoch"] != epoch
        assert connected["resumed"] is False
        assert (await receive(client))["reason"] == "epoch_changed"
        await client.close()


@pytest.mark.slow
async def test_without_a_free_descriptor_clients_are_served_and_later_others_let_in(
    tmp_path: Path,
) -> None:
    async with quiet_run(tmp_path) as run, run.http() as http:
        client = await run.connected()
        await receive(client)
        assert (await http.post("/api/events", json=EVENT)).status_code == 201
        _, hard = resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE)
        used = run.info.num_fds()
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (used, hard))
        turned_away = [run.dial(request()) for _ in range(20)]
        for number in range(2, 20):
            assert (await http.post("/api/events", json=EVENT)).json()["sequence_number"] == number
        while (await receive(client))["sequence_number"] < 19:
            pass
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (used + 100, hard))
        other = await run.connected()
        assert (await receive(other))["type"] == "connected"
        await other.close()
        for raw in turned_away:
            raw.close()


@pytest.mark.slow
async def test_more_silent_connections_than_descriptors_keep_nobody_out(tmp_path: Path) -> None:
    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))

    async with quiet_run(tmp_path, preexec_fn=few_descriptors) as run, run.http() as http:
        client = await run.connected()
        await receive(client)
        crowd = [run.dial() for _ in range(400)]
        for _ in range(3):
            other = await run.connected()
            assert (await receive(other))["type"] == "connected"
            await other.close()
        assert (await http.post("/api/events", json=EVENT)).status_code == 201
        assert (await receive(client))["sequence_number"] == 1
        assert run.info.num_fds() < 150
        for raw in crowd:
            raw.close()


@pytest.mark.slow
async def test_a_full_log_disk_stops_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230
        async with quiet_run(tmp_path, stderr=full, stdout=full) as run, run.http() as http:
            client = await run.connected()
            await receive(client)
            for _ in range(200):
                assert (await http.get("/nowhere")).status_code == 404  # each is a line
            assert (await http.post("/api/events", json=EVENT)).status_code == 201
            assert (await receive(client))["sequence_number"] == 1
            await client.close()
            run.process.send_signal(signal.SIGTERM)
            await run.ended(5)


SLEEPY = """
import os, sys
from websockets.sync.client import connect
client = connect(sys.argv[1], additional_headers={"X-Session-Token": sys.argv[2]}, proxy=None)
client.recv()
print("here", flush=True)
while True:
    client.recv()
"""


@pytest.mark.slow
async def test_a_client_that_is_stopped_is_evicted_and_the_others_do_not_notice(
    start: Start,
) -> None:
    gateway = await start(heartbeat_interval_s=0.5, pong_timeout_s=0.5)
    url = f"ws://127.0.0.1:{gateway.port}/ws"
    sleepy = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(SLEEPY), url, TOKEN), stdout=subprocess.PIPE
    )
    try:
        assert await sleepy.stdout.readline() == b"here\n"
        sleepy.send_signal(signal.SIGSTOP)
        async with bystander(gateway):
            await gateway.publish(100, "x" * 20_000)
            await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 1)
    finally:
        sleepy.kill()
        await sleepy.wait()


async def test_a_subscriber_that_raises_harms_nobody_else(gateway: Gateway) -> None:
    async def subscriber() -> None:
        async with gateway.bus.subscribe() as subscription:
            async for _ in subscription:
                raise ValueError("a bug")

    failing = asyncio.create_task(subscriber())
    async with bystander(gateway):
        await until(failing.done)
        with pytest.raises(ValueError, match="a bug"):
            await failing
    assert gateway.bus.subscriptions == 0


async def test_a_source_that_dies_is_reported_restarted_and_harms_nobody(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Dying(workspace.WorkspaceSource):
        lives = 0

        async def run(self) -> None:
            Dying.lives += 1
            if Dying.lives < 3:
                raise ZeroDivisionError
            await super().run()

    monkeypatch.setattr(workspace, "WorkspaceSource", Dying)
    monkeypatch.setattr(restarts, "FIRST_PAUSE_S", 0.01)
    (tmp_path / "work").mkdir()
    gateway = await start(workspace=tmp_path / "work")
    async with gateway.connect("?types=file.*") as client:
        await receive(client)
        async with asyncio.timeout(WATCHDOG_S):
            made = 0
            while True:
                (tmp_path / "work" / f"{(made := made + 1)}.txt").write_text("x")
                try:
                    assert (await receive(client, 0.5))["type"] == "file.created"
                    break
                except TimeoutError:
                    continue
    assert Dying.lives == 3
    assert capfd.readouterr().err.count("source_died") == 2
