"""One gateway on each server that people use, as processes: the same promises on all of them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.kit.http import TOKEN
from tests.kit.messages import close_code, receive
from tests.kit.processes import ROOT, Run, free_port, serving_process
from tests.kit.waiting import WATCHDOG_S

pytestmark = pytest.mark.attack

END_S = 20  # gunicorn kills what has not ended after 30 s
FACTORY = "sightline:create_app()"
SERVERS = {
    "litestar run": "sightline run --port {port}",
    "uvicorn": "uvicorn --factory sightline:create_app --port {port}",
    "uvicorn, wsproto": "uvicorn --factory sightline:create_app --port {port} --ws wsproto",
    "uvicorn, websockets": "uvicorn --factory sightline:create_app --port {port} --ws websockets",
    "uvicorn, h11": "uvicorn --factory sightline:create_app --port {port} --http h11",
    "hypercorn": f"hypercorn {FACTORY} --bind 127.0.0.1:{{port}}",
    "hypercorn, one process": f"hypercorn {FACTORY} --workers 0 --bind 127.0.0.1:{{port}}",
    "granian": "granian --interface asgi --factory sightline:create_app --port {port}",
    "gunicorn": f"gunicorn {FACTORY} -k uvicorn_worker.UvicornWorker --bind 127.0.0.1:{{port}}",
}
SEVERAL = {
    "uvicorn": "uvicorn --factory sightline:create_app --port {port} --workers 2",
    "hypercorn": f"hypercorn {FACTORY} --bind 127.0.0.1:{{port}} --workers 2",
    "granian": "granian --interface asgi --factory sightline:create_app --port {port} --workers 2",
    "gunicorn": f"gunicorn {FACTORY} -k uvicorn_worker.UvicornWorker -w 2 --bind 127.0.0.1:{{port}}",
}
MODULES = {
    "daphne": "from app import create_app\nserved = create_app()\n",
    "fastapi": (
        "from fastapi import FastAPI\nfrom app import create_app\n"
        "served = FastAPI()\nserved.mount('/below', create_app())\n"
    ),
    "fastapi, started": (
        "from contextlib import asynccontextmanager\nfrom fastapi import FastAPI\n"
        "from app import create_app\ngateway = create_app()\n"
        "@asynccontextmanager\nasync def lifespan(_):\n"
        "    async with gateway.lifespan():\n        yield\n"
        "served = FastAPI(lifespan=lifespan)\nserved.mount('/below', gateway)\n"
    ),
}


@asynccontextmanager
async def server(command: str, folder: Path, **environ: str) -> AsyncIterator[Run]:
    """A server as it is started by hand."""
    port = free_port()
    program, *words = command.format(port=port).split()
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "SIGHTLINE_WORKSPACE": ""}
    command = (str(Path(sys.executable).with_name(program)), *words)
    async with serving_process(folder, port, *command, env={**path, **environ}) as run:
        yield run


async def answers(run: Run, path: str = "/api/health") -> httpx.Response:
    """The first answer of a server that has just been started."""
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(WATCHDOG_S):
        while True:
            try:
                return await http.get(f"http://127.0.0.1:{run.port}{path}")
            except httpx.TransportError:
                assert run.process.returncode is None, run.said
                await asyncio.sleep(0.05)  # it says "listening" in words of its own


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS.keys())
async def test_every_server_takes_the_token_holds_the_limit_and_ends_with_1012_at_sigterm(
    command: str, tmp_path: Path
) -> None:
    offered = {"subprotocols": ["events.v1", f"token.{TOKEN}"], "proxy": None}
    async with server(command, tmp_path) as run, httpx.AsyncClient(trust_env=False) as http:
        assert (await answers(run)).status_code == 200
        socket = f"ws://127.0.0.1:{run.port}/ws"
        with pytest.raises(InvalidStatus) as refused:
            await connect(socket, proxy=None)
        assert refused.value.response.status_code in (401, 403)  # without the extension: 403
        async with connect(socket, **offered) as long, connect(socket, **offered) as client:
            assert (await receive(long))["type"] == (await receive(client))["type"] == "connected"
            assert client.subprotocol == "events.v1"
            await long.send('{"type":"ping"}'.ljust(65536))
            assert (await receive(long))["type"] == "pong"
            await long.send('{"type":"ping"}'.ljust(65537))
            assert await close_code(long) == 1009
            headers = {"X-Session-Token": TOKEN}
            stream = http.stream(
                "GET", f"http://127.0.0.1:{run.port}/api/events/stream", headers=headers
            )
            async with stream as answer:
                lines = answer.aiter_lines()
                assert (await anext(lines)).startswith("id: ")
                run.process.send_signal(signal.SIGTERM)
                assert await close_code(client) == 1012
                assert await run.ended(END_S) in (0, -signal.SIGTERM)
    assert TOKEN not in run.said


@pytest.mark.parametrize("command", SEVERAL.values(), ids=SEVERAL.keys())
async def test_several_workers_end_the_server_with_the_reason(command: str, tmp_path: Path) -> None:
    async with server(command, tmp_path) as run:
        await run.ended(30)
    assert "a gateway already runs with the state folder" in run.said
    assert "start exactly one" in run.said


@pytest.mark.parametrize("name", ["daphne", "fastapi"])
async def test_where_the_server_runs_no_lifespan_every_path_says_so(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "served.py").write_text(MODULES[name])
    command = (
        "daphne --port {port} served:served"
        if name == "daphne"
        else "uvicorn served:served --port {port}"
    )
    prefix = "" if name == "daphne" else "/below"
    async with server(command, tmp_path) as run:
        for path in ("/", "/api/health", "/nowhere"):
            answer = await answers(run, prefix + path)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_started")
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{run.port}{prefix}/ws", proxy=None)
        assert refused.value.response.status_code in (503, 403)


async def test_mounted_in_fastapi_with_its_lifespan_the_gateway_works(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(MODULES["fastapi, started"])
    async with server("uvicorn served:served --port {port}", tmp_path) as run:
        assert (await answers(run, "/below/api/health")).json()["status"] == "healthy"
        headers = {"X-Session-Token": TOKEN}
        url = f"ws://127.0.0.1:{run.port}/below/ws"
        async with connect(url, additional_headers=headers, proxy=None) as client:
            assert (await receive(client))["type"] == "connected"
            run.process.send_signal(signal.SIGTERM)
            assert await close_code(client) == 1012
