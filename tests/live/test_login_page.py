"""The login page in a real browser, under its own policy."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.live.conftest import Gateway

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
ENTER_MS = 10_000
SOCKET = """url => new Promise(resolve => {
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
  socket.onerror = () => resolve("refused");
})"""


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        yield await (await browser.new_context()).new_page()
        await browser.close()


def link(gateway: Gateway) -> str:
    ticket = gateway.app.state.keyring.tickets.issue()
    return f"http://127.0.0.1:{gateway.port}/login#{ticket}"


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
    assert page.url == f"{home}login"
    await page.goto(home)
    await page.get_by_text("litestar login").first.wait_for()


async def test_a_page_of_another_port_gets_neither_data_nor_socket_with_the_cookie(
    gateway: Gateway, page: Any
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = f'<a href="http://127.0.0.1:{gateway.port}/">in</a>'.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    home = f"http://127.0.0.1:{gateway.port}/"
    await page.goto(link(gateway))
    await page.wait_for_url(home, timeout=ENTER_MS)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as evil:
        await page.goto(f"http://127.0.0.1:{evil.sockets[0].getsockname()[1]}/")
        fetched = "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
        assert await page.evaluate(fetched, f"{home}api/session") == "refused"
        assert await page.evaluate(SOCKET, f"ws://127.0.0.1:{gateway.port}/ws") == "refused"
        assert gateway.registry.taken == 0
        await page.click("a")  # but its link leads in
        await page.wait_for_url(home, timeout=ENTER_MS)
        await page.wait_for_function("!document.body.textContent.includes('litestar login')")
