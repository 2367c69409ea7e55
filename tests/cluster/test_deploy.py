"""What `deploy/` holds, run: three gateways and NATS behind nginx with TLS, and the files checked."""

import asyncio
import json
import os
import re
import shutil
import ssl
import string
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.exceptions import InvalidStatus

from app.settings import PREFIX, Settings
from tests.cluster.conftest import HOST, ROOT, TOKEN, Address, Fleet, settle
from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S
from tests.nats_server import BINARY, NatsServer

DEPLOY = ROOT / "deploy"
PASSWORD = "p0123456789abcdef"
REQUIRED = os.environ.get("SIGHTLINE_REQUIRE_NGINX") == "1"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ENOUGH = 150
# What one address can take, in the template and in the tests: smaller, so that a slow machine gets there.
BOUNDS = {
    "limit_conn sightline_connections 200;": "limit_conn sightline_connections 30;",
    "zone=sightline_strangers:10m rate=50r/s;": "zone=sightline_strangers:10m rate=1r/s;",
    "zone=sightline_strangers burst=200 nodelay;": "zone=sightline_strangers burst=30 nodelay;",
}
MOST_CONNECTIONS = 30


def settings_of(path: Path) -> dict[str, str]:
    """The `SIGHTLINE_*` lines of an environment file, without the prefix."""
    found = re.findall(rf"^{PREFIX}(\w+)=(.*)$", path.read_text(), re.M)
    return dict(found)


@pytest.fixture
def nats(tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> NatsServer:
    """The server of `deploy/nats.conf`."""
    (port,) = free_ports(1)
    monkeypatch.setenv("NATS_LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("NATS_NAME", "n1")
    monkeypatch.setenv("NATS_STORE", str(tmp_path / "store"))
    for user in ("GATEWAY", "PUBLISHER", "TOKENS", "OPERATOR"):
        monkeypatch.setenv(f"NATS_{user}_PASSWORD", PASSWORD)
    server = NatsServer(None, port, "--config", str(DEPLOY / "nats.conf")).ready()
    server.url = f"nats://gateway:{PASSWORD}@127.0.0.1:{port}"
    fleet.servers.append(server)
    return server


class Proxy(Address):
    """nginx with the committed configuration, its names in capitals filled in."""

    def __init__(self, folder: Path, certificate: Path, ports: list[int]) -> None:
        tls = ssl.create_default_context(cafile=str(certificate / "fullchain.pem"))
        port, self.plain_port = free_ports(2)
        self.folder = folder
        super().__init__(port, f"{HOST}:{port}", tls)
        compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
        names = compose["services"]["proxy"]["environment"]
        gateways = names["GATEWAYS"]
        for number, gateway_port in enumerate(ports, 1):
            gateways = gateways.replace(f"gateway-{number}:3000", f"127.0.0.1:{gateway_port}")
        filled = {
            **names,
            "HTTPS_PORT": f"127.0.0.1:{port}",
            "HTTP_PORT": f"127.0.0.1:{self.plain_port}",
            "LOGS": str(folder),
            "CERTIFICATES": str(certificate),
            "GATEWAYS": gateways,
        }
        text = (DEPLOY / "nginx.conf.template").read_text()
        for name, value in filled.items():
            text = text.replace(f"${{{name}}}", value)
        for committed, smaller in BOUNDS.items():
            assert committed in text
            text = text.replace(committed, smaller)
        (folder / "site.conf").write_text(text)
        # What surrounds the site in any nginx, for a user other than root.
        (folder / "nginx.conf").write_text(
            string.Template(
                "$user pid $here/nginx.pid; daemon off; error_log $here/start.log;"
                "events {} http { include $here/site.conf;"
                "client_body_temp_path $here/b; proxy_temp_path $here/p; fastcgi_temp_path $here/f;"
                "uwsgi_temp_path $here/u; scgi_temp_path $here/s; }"
            ).substitute(here=folder, user="user root;" if os.getuid() == 0 else "")
        )
        self.process = subprocess.Popen([str(NGINX), "-c", str(folder / "nginx.conf")])

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
async def proxy(
    fleet: Fleet, tmp_path: Path, nats: NatsServer, certificate: Path
) -> AsyncIterator[Proxy]:
    """Three gateways of `deploy/gateway.env` behind nginx."""
    if NGINX is None:
        message = "no proxy: install nginx to run these tests"
        pytest.fail(message) if REQUIRED else pytest.skip(message)
    await fleet.start(3, nats.url, **settings_of(DEPLOY / "gateway.env"))
    folder = tmp_path / "nginx"
    folder.mkdir()
    proxy = Proxy(folder, certificate, [gateway.port for gateway in fleet.gateways])
    async with asyncio.timeout(WATCHDOG_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.02)
    yield proxy
    proxy.end()


async def test_a_rolling_restart_behind_the_proxy_loses_nothing(fleet: Fleet, proxy: Proxy) -> None:
    clients = await fleet.follow([proxy], 8)
    load = fleet.publish([proxy])
    await load.reaches(ENOUGH)
    for gateway in fleet.gateways:
        await gateway.restart()
        await load.reaches(ENOUGH)
    await settle(load, clients)
    for client in clients:
        assert not client.gaps
        assert not client.left
    assert any(1012 in client.closes for client in clients)
    for gateway in fleet.gateways:
        assert "client_connected" in gateway.log()
    assert all("shutting down" in why for why in load.refused)
    assert load.unanswered == 0


async def test_the_proxy_hands_on_what_the_gateway_decides_on(proxy: Proxy) -> None:
    origin = f"https://{HOST}"
    async with proxy.socket(additional_headers={"X-Session-Token": TOKEN, "Origin": origin}) as it:
        assert json.loads(await it.recv())["type"] == "connected"
    for headers, status in (
        ({"X-Session-Token": TOKEN, "Host": "rebound.example"}, 403),
        ({"X-Session-Token": TOKEN, "Origin": "https://evil.example"}, 403),
        ({"X-Session-Token": "wrong"}, 401),
    ):
        async with httpx.AsyncClient(verify=proxy.tls, trust_env=False) as http:
            answer = await http.get(f"{proxy.base}/api/session", headers={"Host": HOST} | headers)
        assert answer.status_code == status
    with pytest.raises(InvalidStatus) as refused:
        async with proxy.socket(additional_headers={}):
            pass
    assert refused.value.response.status_code == 401
    big = [{"type": "load.tick", "data": {"n": n, "filler": "x" * 200_000}} for n in range(19)]
    async with proxy.http() as http:
        assert (await http.post("/api/events", json=big)).status_code == 201


async def test_a_browser_that_logged_in_stays_at_the_gateway_that_knows_it(proxy: Proxy) -> None:
    async with proxy.http() as http:
        tickets = [(await http.post("/api/tickets")).json()["ticket"] for _ in range(4)]
    headers = {"Host": proxy.host, "Origin": f"https://{HOST}"}
    async with httpx.AsyncClient(
        base_url=proxy.base, verify=proxy.tls, trust_env=False, headers=headers
    ) as browser:
        for ticket in tickets:  # by load they would be at both gateways
            done = await browser.post("/api/login", json={"ticket": ticket})
            assert done.status_code == 204
        cookie = done.headers["set-cookie"]
        assert "Secure" in cookie
        name_and_value, key = cookie.partition(";")[0], done.headers["x-browser-key"]
        for _ in range(6):
            answer = await browser.get(
                "/api/session", headers={"Cookie": name_and_value, "X-Browser-Key": key}
            )
            assert answer.status_code == 200
    for _ in range(6):  # the browser's client offers its protocol, and no token
        async with proxy.socket(
            additional_headers={"Cookie": name_and_value, "Origin": f"https://{HOST}"},
            subprotocols=["events.v1", f"key.{key}"],
        ) as socket:
            assert json.loads(await socket.recv())["type"] == "connected"


async def test_server_sent_events_pass_the_proxy_as_they_come(proxy: Proxy) -> None:
    async with proxy.http() as http, http.stream("GET", "/api/events/stream") as stream:
        lines = stream.aiter_lines()
        async with asyncio.timeout(WATCHDOG_S):
            async for line in lines:
                if '"connected"' in line:
                    break
            async with proxy.http() as publisher:
                await publisher.post("/api/events", json={"type": "load.tick", "data": {"n": 1}})
            async for line in lines:
                if "load.tick" in line:
                    return
    raise AssertionError("the stream ended")


async def test_the_proxy_leads_to_tls_and_tells_neither_its_version_nor_what_was_asked(
    proxy: Proxy,
) -> None:
    plain = f"http://127.0.0.1:{proxy.plain_port}"
    async with httpx.AsyncClient(trust_env=False, headers={"Host": HOST}) as http:
        moved = await http.get(f"{plain}/api/events?q=secret-words")
    assert (moved.status_code, moved.headers["location"]) == (
        301,
        f"https://{HOST}/api/events?q=secret-words",
    )
    async with proxy.http() as http:
        answers = [
            await http.get("/api/events?q=secret-words"),
            await http.get(
                "/api/stream/none?browser_key=secret-words", headers={"Host": "x.example"}
            ),
        ]
    assert [answer.status_code for answer in answers] == [400, 403]  # no journal, a foreign host
    for answer in answers:
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert {answer.headers["server"] for answer in (moved, *answers)} == {"nginx"}
    logged = "".join(path.read_text() for path in proxy.folder.glob("*.log"))
    assert "GET /api/events" in logged
    for secret in ("secret-words", TOKEN):
        assert secret not in logged


async def test_the_proxy_bounds_what_one_address_can_take(proxy: Proxy) -> None:
    request = f"GET /api/session HTTP/1.1\r\nHost: {proxy.host}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", proxy.port, ssl=proxy.tls, server_hostname=HOST
    )
    async with asyncio.timeout(60):  # a stranger, faster than the bound
        writer.write(request * 100)
        while b"HTTP/1.1 429" not in await reader.readuntil(b"\n"):
            pass
    writer.close()
    async with proxy.http() as http:  # whoever has a token counts elsewhere
        assert (await http.get("/api/session")).status_code == 200
    async with AsyncExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            await stack.enter_async_context(proxy.socket(max_queue=None))
        with pytest.raises(InvalidStatus) as refused:
            await proxy.socket()
        assert refused.value.response.status_code == 429


def test_the_settings_of_the_deployment_are_settings() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    given = settings_of(DEPLOY / "gateway.env")
    for name in ("gateway-1", "gateway-2", "gateway-3"):
        environment: dict[str, Any] = compose["services"][name]["environment"]
        given |= {key.removeprefix(PREFIX): str(value) for key, value in environment.items()}
    asked = "${NATS_GATEWAY_PASSWORD:?as in nats-secret.env}"
    given["NATS_URL"] = given["NATS_URL"].replace(asked, "p1")
    settings = Settings.from_environ({PREFIX + name: value for name, value in given.items()})
    assert settings.nats_url == "nats://gateway:p1@nats:4222"
    assert settings.allowed_hosts == (HOST,)
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            ours = source in compose["volumes"] or source == "./certificates"
            assert ours or (DEPLOY / source).is_file()


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units with programs that are here in place of those that a deployment installs."""
    found = []
    for unit in sorted(DEPLOY.glob("*.service")):
        text = unit.read_text().replace("/usr/local/bin/nats-server", str(BINARY))
        text = text.replace("/opt/sightline/bin/sightline", str(BINARY.parent / "sightline"))
        copy = tmp_path / unit.name.replace("@.", "@3001.")
        copy.write_text(text)
        found.append(copy)
    return found


def test_systemd_finds_nothing_wrong_with_the_units(units: list[Path]) -> None:
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("no systemd-analyze")
    done = subprocess.run([analyze, "verify", *map(str, units)], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "sightline" in line or "nats" in line]
    assert (len(units), ours) == (2, [])
