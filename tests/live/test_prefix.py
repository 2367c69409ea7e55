"""Below a prefix, and mounted in another application that runs the lifespan, or forgets to."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from litestar import Litestar, get
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.main import create_app
from app.plugin import SightlinePlugin
from tests.kit.http import TOKEN
from tests.kit.messages import receive
from tests.live.hosts import serving, settings_in

PREFIX = "/see/all"
LOGIN = {"X-Session-Token": TOKEN}
ADDRESSES = re.compile(
    r"""(?:src|href)="(?!data:|\#)([^"]+)"  # of a page
    |from\ "([^"]+\.js)"  # of a module
    |fetch\(["`]([\w/]+)  # of a request
    """,
    re.VERBOSE,
)


@get("/own")
async def own() -> str:
    return "own"


def mounting(gateway: Litestar) -> Any:
    """What `Mount(PREFIX, gateway)` of Starlette and FastAPI hands on: the lifespan is not in it."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        await gateway({**scope, "root_path": PREFIX}, receive, send)

    return outer


@asynccontextmanager
async def below(how: str, folder: Path) -> AsyncIterator[str]:
    """The address and prefix of a gateway, as its clients see them, without the scheme."""
    gateway = create_app(settings_in(folder))
    if how == "mounted":
        async with gateway.lifespan(), serving(mounting(gateway)) as address:
            yield address + PREFIX
    else:  # a proxy takes the prefix off, uvicorn puts it before the path again
        async with serving(gateway, root_path=PREFIX) as address:
            yield address


@pytest.mark.parametrize("how", ["mounted", "root_path"])
async def test_below_a_prefix_login_health_upgrades_and_refusals_work(
    tmp_path: Path, how: str
) -> None:
    async with (
        below(how, tmp_path) as place,
        httpx.AsyncClient(base_url=f"http://{place}", trust_env=False) as http,
    ):
        elsewhere = {"Host": "elsewhere.example"}
        anyone = await http.get("/api/health", headers=elsewhere)
        assert anyone.json()["status"] == "healthy"
        assert (await http.get("/api/session", headers=elsewhere)).status_code == 403
        ticket = (await http.post("/api/tickets", headers=LOGIN)).json()["ticket"]
        origin = {"Origin": f"http://{place.partition('/')[0]}"}
        entered = await http.post("/api/login", json={"ticket": ticket}, headers=origin)
        assert entered.status_code == 204
        (cookie,) = SimpleCookie(entered.headers["set-cookie"]).values()
        assert cookie["path"] == PREFIX
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{place}/ws", proxy=None)
        assert refused.value.response.status_code == 401
        async with connect(f"ws://{place}/ws", additional_headers=LOGIN, proxy=None) as client:
            assert (await receive(client))["type"] == "connected"
            event = {"type": "system.error", "data": {"message": "from below"}}
            assert (await http.post("/api/events", json=event, headers=LOGIN)).status_code == 201
            assert (await receive(client))["data"] == event["data"]


async def test_every_address_in_the_pages_leads_to_something_below_the_prefix(
    tmp_path: Path,
) -> None:
    async with (
        below("mounted", tmp_path) as place,
        httpx.AsyncClient(headers=LOGIN, trust_env=False) as http,
    ):
        pending, seen = [f"http://{place}/", f"http://{place}/login"], set[str]()
        while pending:
            address = pending.pop()
            answer = await http.get(address)
            assert answer.status_code in (200, 405), address  # the log-in takes no GET
            seen.add(address)
            for found in ADDRESSES.finditer(answer.text):
                link = found[1] or found[2] or found[3]
                # A module is looked up from where it lies, a request from its page.
                target = urljoin(f"http://{place}/" if found[3] else address, link)
                assert target.startswith(f"http://{place}/"), (address, link)
                pending += [target] if target not in seen else []
        assert {f"http://{place}/{path}" for path in ("client/sightline.js", "api/login")} <= seen


async def test_the_prefix_without_a_slash_leads_on_to_the_console(tmp_path: Path) -> None:
    gateway = create_app(settings_in(tmp_path))
    async with (
        gateway.lifespan(),
        serving(mounting(gateway)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
    ):
        for path, right in ((PREFIX, f"{PREFIX}/"), (f"{PREFIX}/login/", f"{PREFIX}/login")):
            answer = await http.get(path)
            assert (answer.status_code, answer.headers["location"]) == (307, right)


@pytest.mark.parametrize("how", ["mounted", "lifespan off"])
async def test_without_a_lifespan_every_path_answers_with_the_reason_and_the_remedy(
    tmp_path: Path, how: str
) -> None:
    gateway = create_app(settings_in(tmp_path))
    mounted = how == "mounted"
    prefix = PREFIX if mounted else ""
    async with (
        serving(mounting(gateway) if mounted else gateway, lifespan="off") as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
    ):
        for path in ("/", "/api/health", "/api/session", "/metrics", "/nowhere"):
            answer = await http.get(prefix + path, headers=LOGIN)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_started"), path
            assert "did not run its ASGI lifespan" in answer.json()["message"]
            assert "litestar run" in answer.json()["message"]
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}{prefix}/ws", additional_headers=LOGIN, proxy=None)
        assert refused.value.response.status_code == 503
        assert b"not_started" in refused.value.response.body
    assert os.listdir(tmp_path) == []


async def test_an_application_with_the_plugin_says_so_on_the_gateways_paths_alone(
    tmp_path: Path,
) -> None:
    app = Litestar([own], plugins=[SightlinePlugin(settings_in(tmp_path))])
    async with (
        serving(mounting(app)) as address,
        httpx.AsyncClient(base_url=f"http://{address}{PREFIX}", trust_env=False) as http,
    ):
        for method, path in (("GET", "/api/health"), ("POST", "/api/events"), ("GET", "/static/x")):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_started"), path
        assert (await http.get("/own")).text == "own"
        assert (await http.get("/nowhere")).status_code == 404
        async with app.lifespan():
            assert (await http.get("/api/health")).status_code == 200
        assert (await http.get("/api/health")).status_code == 503
