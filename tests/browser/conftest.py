"""Debian's Chromium, kept off the network, in front of a real gateway process."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.browser.gateway import Gateway

REQUIRED = os.environ.get("SIGHTLINE_REQUIRE_BROWSER") == "1"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OFFLINE = [
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--metrics-recording-only",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
expect.set_options(timeout=30_000)  # a busy machine is no failure


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "no browser: install Debian's chromium to run these tests"
        pytest.fail(message) if REQUIRED else pytest.skip(message)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        yield launched
        launched.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    one = Gateway(tmp_path / "workspace")
    one.start()
    yield one
    one.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    one = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    yield one
    one.close()


@pytest.fixture
def open_page(context: BrowserContext) -> Iterator[Callable[[], Page]]:
    """Open a page that may throw nothing, break no rule of its policy, and ask no other host."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # A gateway that is down, restarting or refusing is not the page's fault.
        if message.type == "error" and not message.text.startswith(("WebSocket", "Failed to load")):
            complaints.append(message.text)

    def watch(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            complaints.append(f"asked {request.url}")

    def open_one() -> Page:
        one = context.new_page()
        one.on("pageerror", lambda error: complaints.append(f"threw {error}"))
        one.on("console", listen)
        one.on("request", watch)
        return one

    yield open_one
    assert complaints == []


@pytest.fixture
def page(open_page: Callable[[], Page], gateway: Gateway) -> Page:
    """The console, logged in and live."""
    one = open_page()
    log_in(one, gateway)
    return one


def log_in(page: Page, gateway: Gateway) -> None:
    page.goto(gateway.link)
    page.wait_for_url(f"{gateway.origin}/")
    expect_state(page, "live")
    expect(page.get_by_role("feed")).to_have_attribute(
        "aria-busy", "false"
    )  # the past has been read
    expect(page.get_by_test_id("agents")).to_have_attribute("aria-busy", "false")


def expect_state(page: Page, name: str, timeout_ms: float = 20_000) -> None:
    state = page.get_by_test_id("state")
    expect(state).to_have_attribute("data-state", name, timeout=timeout_ms)
