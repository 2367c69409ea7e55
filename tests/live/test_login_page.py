"""The login page in a real browser, under its own policy."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from app.state import write_private
from tests.kit.gateway import Gateway
from tests.kit.login import ENTER_MS, link, needs_browser
from tests.kit.processes import litestar, said_by
from tests.kit.waiting import until

CHROMIUM = shutil.which("chromium")
pytestmark = needs_browser
SOCKET = """url => new Promise(resolve => {
  const key = localStorage.getItem("sightline.browser_key");
  const socket = new WebSocket(url, ["events.v1", `key.${key}`]);
  socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
  socket.onerror = () => resolve("refused");
})"""


async def test_a_link_leads_to_the_console_and_leaves_nothing_in_address_or_scripts(
    gateway: Gateway, page: Any
) -> None:
    home = f"http://127.0.0.1:{gateway.port}/"
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.goto(used := link(gateway))
    await page.wait_for_url(home, timeout=ENTER_MS)
    assert all(url.startswith(home) and "#" not in url for url in requests)
    assert await page.evaluate("document.cookie") == ""
    assert await page.evaluate(SOCKET, f"ws://127.0.0.1:{gateway.port}/ws") == "connected"
    await page.goto("about:blank")
    await page.goto(used)  # spent, but the cookie is good
    await page.wait_for_url(home, timeout=ENTER_MS)
    await page.context.clear_cookies()
    await page.goto(used)
    await page.get_by_text("this link was used before").wait_for()
    await page.wait_for_url(f"{home}login", timeout=ENTER_MS)
    await page.goto(home)
    await page.get_by_text("sightline login").first.wait_for()


async def test_a_page_of_another_port_gets_neither_data_nor_socket_with_the_cookie(
    gateway: Gateway, page: Any
) -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = f'<a href="http://127.0.0.1:{gateway.port}/">in</a>'.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    home = f"http://127.0.0.1:{gateway.port}/"
    await page.goto(link(gateway))
    await page.wait_for_url(home, timeout=ENTER_MS)
    await page.goto("about:blank")
    await until(lambda: gateway.registry.taken == 0)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as evil:
        await page.goto(f"http://127.0.0.1:{evil.sockets[0].getsockname()[1]}/")
        fetched = "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
        assert await page.evaluate(fetched, f"{home}api/session") == "refused"
        assert await page.evaluate(SOCKET, f"ws://127.0.0.1:{gateway.port}/ws") == "refused"
        assert gateway.registry.taken == 0
        await page.click("a")  # but its link leads in
        await page.wait_for_url(home, timeout=ENTER_MS)
        await page.wait_for_function("!document.body.textContent.includes('sightline login')")
    # The browser has sent the cookie to the other port. Its server can say what a browser cannot.
    stolen = next(line for line in heads[0].split("\r\n") if line.lower().startswith("cookie:"))
    assert f"sightline_{gateway.port}=" in stolen
    headers = {"Cookie": stolen.partition(": ")[2], "Origin": home.rstrip("/")}
    event = {"type": "chat.message_sent", "data": {"role": "user", "content": "forged"}}
    async with gateway.http(headers=headers) as thief:
        for method, path in (
            ("POST", "/api/events"),
            ("POST", "/api/tickets"),
            ("GET", "/api/events"),
            ("GET", "/api/events/stream"),
            ("GET", "/api/sessions"),
            ("DELETE", "/api/sessions"),
        ):
            assert (await thief.request(method, path, json=event)).status_code == 401, path
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert (await gateway.refusal(*raw)).status == 401
    assert gateway.bus.head == 0


async def test_the_console_logs_out_and_its_kept_secrets_open_nothing(
    gateway: Gateway, page: Any
) -> None:
    home = f"http://127.0.0.1:{gateway.port}/"
    await page.goto(link(gateway))
    await page.wait_for_url(home, timeout=ENTER_MS)
    await until(lambda: gateway.registry.taken == 1, ENTER_MS / 1000)
    key = await page.evaluate("localStorage.getItem('sightline.browser_key')")
    (cookie,) = await page.context.cookies()
    other = await page.context.new_page()
    await other.goto(home)
    await until(lambda: gateway.registry.taken == 2, ENTER_MS / 1000)
    await page.get_by_test_id("log-out").click()
    await page.wait_for_url(f"{home}login", timeout=ENTER_MS)
    await until(lambda: gateway.registry.taken == 0)
    await other.get_by_text("Refused").first.wait_for(timeout=ENTER_MS)
    kept = await page.evaluate("Object.keys(localStorage)")
    assert set(kept) <= {"sightline.left"}  # the position where this browser left: no secret
    assert await page.context.cookies() == []
    headers = {"Cookie": f"{cookie['name']}={cookie['value']}", "X-Browser-Key": key}
    async with gateway.http(headers=headers) as http:
        assert (await http.get("/api/session")).status_code == 401


async def test_litestar_login_opens_a_page_that_leads_into_the_console(
    gateway: Gateway, page: Any, tmp_path: Path
) -> None:
    write_private(gateway.settings.state_dir / "gateway.url", f"http://127.0.0.1:{gateway.port}")
    opened = tmp_path / "opened"
    (browser := tmp_path / "browser").write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o700)
    state = {"SIGHTLINE_STATE_DIR": str(gateway.settings.state_dir)}
    await said_by(await litestar(tmp_path, "login", "--open", BROWSER=str(browser), **state))
    address = opened.read_text().strip()
    assert address.startswith("file://")
    await page.goto(address)
    await page.wait_for_url(f"http://127.0.0.1:{gateway.port}/", timeout=ENTER_MS)
    await until(lambda: gateway.registry.taken == 1, ENTER_MS / 1000)
    assert not list(gateway.settings.state_dir.glob("login-*.html"))
