"""haproxy, Caddy and Apache with the files of `deploy/`, before a real gateway."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.cluster.conftest import HOST, ROOT, TOKEN, Address, Fleet, GatewayProcess
from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S

DEPLOY = ROOT / "deploy"
MODULES = Path("/usr/lib/apache2/modules")
ORIGIN = f"https://{HOST}"
APACHE = """
ServerRoot {folder}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
Mutex file:{folder} default
ErrorLog {folder}/error.log
{modules}
{defines}
Include {deploy}/apache.conf
"""
APACHE_MODULES = (
    *("mpm_event", "authz_core", "alias", "ssl", "socache_shmcb", "headers", "rewrite"),
    *("reqtimeout", "proxy", "proxy_http", "proxy_balancer", "slotmem_shm"),
    *("lbmethod_byrequests", "lbmethod_bybusyness"),
)


def program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


class Proxy(Address):
    """One of the three programs, with its committed file; every gateway is the same one."""

    def __init__(self, name: str, folder: Path, certificate: Path, gateway: int) -> None:
        tls = ssl.create_default_context(cafile=str(certificate / "fullchain.pem"))
        port, self.plain_port = free_ports(2)
        super().__init__(port, f"{HOST}:{port}", tls)
        self.folder = folder
        both = "".join((certificate / f"{it}.pem").read_text() for it in ("fullchain", "privkey"))
        (folder / "both.pem").write_text(both)
        there = f"127.0.0.1:{gateway}"
        names = {
            "SERVER_NAME": HOST,
            "ADDRESS": "127.0.0.1",
            "HTTP_PORT": str(self.plain_port),
            "HTTPS_PORT": str(port),
            "HTTP_LISTEN": f"127.0.0.1:{self.plain_port}",
            "HTTPS_LISTEN": f"127.0.0.1:{port}",
            "CERTIFICATE": str(folder / "both.pem"),
            "CERTIFICATES": str(certificate),
            "LOGS": str(folder),
            "GATEWAYS": " ".join([there] * 3),
            **{f"GATEWAY_{number}": there for number in (1, 2, 3)},
        }
        command = {
            "haproxy": ["-db", "-f", str(DEPLOY / "haproxy.cfg")],
            "caddy": ["run", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")],
            "apache2": ["-D", "FOREGROUND", "-f", str(folder / "apache.conf")],
        }[name]
        (folder / "apache.conf").write_text(
            APACHE.format(
                folder=folder,
                deploy=DEPLOY,
                modules="\n".join(
                    f"LoadModule {it}_module {MODULES}/mod_{it}.so" for it in APACHE_MODULES
                ),
                defines="\n".join(f'Define {key} "{value}"' for key, value in names.items()),
            )
        )
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with (folder / "proxy.log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(program(name)), *command],
                env={**os.environ, **names, **home},
                cwd=folder,
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Return once a gateway answers through it."""
        async with asyncio.timeout(WATCHDOG_S), self.http() as http:
            while True:
                assert self.process.poll() is None, self.log()
                with suppress(httpx.HTTPError):
                    if (await http.get("/api/session")).status_code == 200:
                        return
                await asyncio.sleep(0.05)

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@pytest.fixture(params=["haproxy", "caddy", "apache2"])
async def proxy(
    request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path, certificate: Path
) -> AsyncIterator[Proxy]:
    """The program before a gateway in memory."""
    if program(request.param) is None:
        pytest.skip(f"no {request.param}")
    gateway = GatewayProcess(
        tmp_path / "gateway", "", ALLOWED_HOSTS=HOST, ALLOWED_ORIGINS=f"https://{HOST}"
    )
    fleet.gateways.append(gateway)
    await gateway.start()
    await gateway.ready()
    folder = tmp_path / "proxy"
    folder.mkdir()
    proxy = Proxy(request.param, folder, certificate, gateway.port)
    try:
        await proxy.ready()
        yield proxy
    finally:
        proxy.process.terminate()
        proxy.process.wait()


async def test_events_pass_each_proxy_as_they_come_and_refusals_as_they_are(proxy: Proxy) -> None:
    tick = {"type": "load.tick", "data": {"n": 1}}
    headers = {"X-Session-Token": TOKEN, "Origin": ORIGIN}
    async with (
        asyncio.timeout(60),
        proxy.http() as http,
        proxy.http() as listener,
        proxy.socket(additional_headers=headers) as by_token,
        proxy.socket(
            additional_headers={}, subprotocols=["events.v1", f"token.{TOKEN}"]
        ) as by_protocol,
        listener.stream("GET", "/api/events/stream") as stream,
    ):
        for socket in (by_token, by_protocol):
            assert json.loads(await socket.recv())["type"] == "connected"
        lines = stream.aiter_lines()
        while '"connected"' not in await anext(lines):
            pass
        for _ in range(3):  # each is there before the next one is published
            assert (await http.post("/api/events", json=tick)).status_code == 201
            for socket in (by_token, by_protocol):
                assert json.loads(await socket.recv())["type"] == "load.tick"
            while "load.tick" not in await anext(lines):
                pass
        big = [{"type": "load.tick", "data": {"n": n, "filler": "x" * 200_000}} for n in range(19)]
        assert (await http.post("/api/events", json=big)).status_code == 201
        for refused, status in (
            ({"X-Session-Token": "wrong"}, 401),
            ({"Origin": "https://evil.example"}, 403),
        ):
            assert (await http.get("/api/session", headers=refused)).status_code == status
    with pytest.raises(InvalidStatus) as alone:
        async with proxy.socket(additional_headers={}):
            pass
    assert alone.value.response.status_code == 401


async def test_a_browser_logs_in_through_each_proxy_and_nothing_secret_is_logged(
    proxy: Proxy,
) -> None:
    async with proxy.http() as http:
        ticket = (await http.post("/api/tickets")).json()["ticket"]
        answer = await http.get("/api/events?q=secret%20words")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    async with httpx.AsyncClient(
        base_url=proxy.base,
        verify=proxy.tls,
        trust_env=False,
        headers={"Host": proxy.host, "Origin": ORIGIN},
    ) as browser:
        done = await browser.post("/api/login", json={"ticket": ticket})
        assert done.status_code == 204, done.text
        cookie, key = done.headers["set-cookie"].partition(";")[0], done.headers["x-browser-key"]
        kept = {"Cookie": cookie, "X-Browser-Key": key}
        assert (await browser.get("/api/session", headers=kept)).status_code == 200
        assert (await browser.get("/", headers={"Cookie": cookie})).status_code == 200
        async with browser.stream(
            "GET", f"/api/events/stream?browser_key={key}", headers={"Cookie": cookie}
        ) as stream:
            assert stream.status_code == 200
            assert await anext(stream.aiter_lines())
    async with proxy.socket(
        additional_headers={"Cookie": cookie, "Origin": ORIGIN},
        subprotocols=["events.v1", f"key.{key}"],
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "connected"
    async with httpx.AsyncClient(trust_env=False, headers={"Host": HOST}) as http:
        moved = await http.get(f"http://127.0.0.1:{proxy.plain_port}/console")
    assert moved.status_code in (301, 308)
    assert moved.headers["location"].startswith(f"https://{HOST}")
    proxy.process.terminate()
    proxy.process.wait()
    logged = proxy.log()
    assert "/api/session" in logged
    for secret in (TOKEN, ticket, key, cookie.partition("=")[2], "words"):
        assert secret not in logged
