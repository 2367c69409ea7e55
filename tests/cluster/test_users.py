"""The configuration of docs/users.md in a real nginx: a small server says who is logged in."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.cluster.conftest import HOST, ROOT, TOKEN, Address, Fleet, GatewayProcess
from tests.kit.login import CHROMIUM
from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S
from tests.snippets import snippets

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ORIGIN = f"http://{HOST}"
PAGE = {"Cookie": "_oauth2_proxy=of-alice", "Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
LOG_IN = "http://127.0.0.1:4180"  # in the document


class LogInServer:
    """Answers as oauth2-proxy does: 202 with the user of the cookie, or 401."""

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked += 1
        user = re.search(r"_oauth2_proxy=of-(\w+)", head)
        lines = ["HTTP/1.1 401 Unauthorized"]
        if head.startswith("GET /oauth2/sign_in"):
            lines = ["HTTP/1.1 200 OK"]
        elif user is not None:
            lines = ["HTTP/1.1 202 Accepted", f"X-Auth-Request-Email: {user[1]}@example.org"]
        writer.write(
            "\r\n".join([*lines, "Content-Length: 0", "Connection: close", "", ""]).encode()
        )
        await writer.drain()
        writer.close()


class Nginx(Address):
    """nginx with the committed template, without TLS, and the lines of the document."""

    def __init__(self, folder: Path, gateway: int, log_in: int) -> None:
        (port,) = free_ports(1)
        super().__init__(port, HOST)
        self.folder = folder
        text = (ROOT / "deploy" / "nginx.conf.template").read_text()
        _, beside, inside, _ = snippets("docs/users.md", "sh nginx nginx sh")
        assert LOG_IN in beside
        maps, server = text.partition("\nserver {")[0], text.rpartition("\nserver {")[2]
        server = re.sub(r"(?m)^    (ssl_|add_header).*\n", "", server).replace(" ssl;", ";")
        server = server.replace("    location / {\n", f"{beside}\nlocation / {{\n{inside}")
        text = f"{maps}\nserver {{{server}".replace(LOG_IN, f"http://127.0.0.1:{log_in}")
        names = {
            "GATEWAYS": f"server 127.0.0.1:{gateway} max_fails=0;",
            "HTTPS_PORT": f"127.0.0.1:{port}",
            "SERVER_NAME": HOST,
            "LOGS": str(folder),
        }
        for name, value in names.items():
            text = text.replace(f"${{{name}}}", value)
        (folder / "site.conf").write_text(text)
        (folder / "nginx.conf").write_text(
            f"{'user root;' if os.getuid() == 0 else ''} pid {folder}/nginx.pid; daemon off;"
            f" error_log {folder}/start.log; events {{}} http {{ include {folder}/site.conf;"
            + " ".join(
                f"{kind}_temp_path {folder}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + "}"
        )
        self.process = subprocess.Popen([str(NGINX), "-c", str(folder / "nginx.conf")])

    def page(self, **headers: str) -> httpx.AsyncClient:
        """A browser, without a token."""
        return httpx.AsyncClient(
            base_url=self.base, trust_env=False, headers={"Host": HOST, **headers}
        )

    async def ready(self) -> "Nginx":
        async with asyncio.timeout(WATCHDOG_S), self.http() as http:
            while True:
                assert self.process.poll() is None, (self.folder / "start.log").read_text()
                with suppress(httpx.HTTPError):
                    if (await http.get("/api/session")).status_code == 200:
                        return self
                await asyncio.sleep(0.05)


@pytest.fixture
async def log_in() -> AsyncIterator[tuple[LogInServer, int]]:
    server = LogInServer()
    async with await asyncio.start_server(server.answer, "127.0.0.1", 0) as listening:
        yield server, listening.sockets[0].getsockname()[1]


@pytest.fixture
async def nginx(
    fleet: Fleet, tmp_path: Path, log_in: tuple[LogInServer, int]
) -> AsyncIterator[Nginx]:
    if NGINX is None:
        pytest.skip("no nginx")
    gateway = GatewayProcess(
        tmp_path / "gateway",
        "",
        ALLOWED_HOSTS=HOST,
        TRUSTED_USER_HEADER="X-Forwarded-User",
        TRUSTED_PROXIES="127.0.0.1",
        TRUSTED_USERS="alice@example.org=read:load.* alice@example.org=publish",
    )
    fleet.gateways.append(gateway)
    await gateway.start()
    await gateway.ready()
    folder = tmp_path / "nginx"
    folder.mkdir()
    proxy = Nginx(folder, gateway.port, log_in[1])
    try:
        yield await proxy.ready()
    finally:
        proxy.process.terminate()
        proxy.process.wait()


async def test_a_user_of_the_proxy_has_the_console_and_its_rights_and_no_page_of_others_has(
    nginx: Nginx, log_in: tuple[LogInServer, int]
) -> None:
    tick = {"type": "load.tick", "data": {"n": 1}}
    async with nginx.page(**PAGE, **{"X-Forwarded-User": "root@example.org"}) as page:
        assert "log-out" in (await page.get("/")).text
        session = (await page.get("/api/session")).json()
        assert session["identity"]["name"] == "user:alice@example.org"  # whatever the client says
        async with (
            nginx.socket(additional_headers=PAGE) as socket,
            page.stream("GET", "/api/events/stream") as stream,
        ):
            assert json.loads(await socket.recv())["types"] == ["load.*"]
            lines = stream.aiter_lines()
            while '"connected"' not in await anext(lines):
                pass
            assert (await page.post("/api/events", json=tick)).status_code == 201
            event = json.loads(await socket.recv())
            assert event["metadata"]["publisher"] == "user:alice@example.org"
            while "load.tick" not in await anext(lines):
                pass
        history = (await page.get("/api/events")).json()["events"]
        assert {event["type"] for event in history} == {"load.tick"}
        assert (await page.get("/api/sessions")).status_code == 403
    for foreign, status in (
        ({**PAGE, "Origin": "https://evil.example"}, 403),
        ({**PAGE, "Sec-Fetch-Site": "cross-site"}, 401),
        ({"Cookie": PAGE["Cookie"]}, 401),  # a form without `Origin`
    ):
        async with nginx.page(**foreign) as page:
            assert (await page.post("/api/events", json=tick)).status_code == status
        with pytest.raises(InvalidStatus) as refused:
            async with nginx.socket(additional_headers=foreign):
                pass
        assert refused.value.response.status_code == status


async def test_without_a_log_in_a_page_leads_to_it_and_a_token_goes_past_it(
    nginx: Nginx, log_in: tuple[LogInServer, int]
) -> None:
    async with nginx.page(**{"X-Forwarded-User": "alice@example.org"}) as page:
        moved = await page.get("/")
        assert moved.status_code == 302
        assert moved.headers["location"].endswith("/oauth2/sign_in?rd=/")
        assert (await page.get("/oauth2/sign_in")).status_code == 200
        assert (await page.get("/api/session")).status_code == 401
        assert (await page.get("/oauth2/auth")).status_code == 404
    asked = log_in[0].asked
    async with nginx.http() as http:
        forged = {"X-Forwarded-User": "alice@example.org"}
        session = await http.get("/api/session", headers=forged)
        assert session.json()["identity"]["name"] == "session"
        wrong = {"X-Session-Token": "wrong", **forged}
        assert (await http.get("/api/session", headers=wrong)).status_code == 401
    async with nginx.socket(
        additional_headers={}, subprotocols=["events.v1", f"token.{TOKEN}"]
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "connected"
    assert log_in[0].asked == asked
    async with nginx.page(Cookie="_oauth2_proxy=of-mallory") as page:
        assert (await page.get("/api/session")).status_code == 403


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
async def test_the_console_is_live_in_a_browser_that_the_proxy_has_logged_in(nginx: Nginx) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as started, asyncio.timeout(WATCHDOG_S):
        browser = await started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        context = await browser.new_context()
        await context.add_cookies(
            [{"name": "_oauth2_proxy", "value": "of-alice", "url": nginx.base}]
        )
        page = await context.new_page()
        await page.goto(nginx.base)
        await playwright.expect(page.get_by_test_id("state-text")).to_have_text("Live")
        async with nginx.http() as http:
            tick = {"type": "load.tick", "data": {"n": 7}}
            assert (await http.post("/api/events", json=tick)).status_code == 201
        await playwright.expect(page.get_by_role("article").first).to_be_visible()
        await page.get_by_test_id("log-out").click()
        await playwright.expect(page.get_by_test_id("log-out")).to_have_text("Log out at the proxy")
        await browser.close()
