"""Gateways on real sockets, with settings of the test's own."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from app.events import Clock
from app.server.websocket import SightlineWebSocketProtocol
from app.settings import Settings
from app.state import write_private
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN
from tests.kit.login import CHROMIUM

# uvicorn looks ten times a second whether it is to end: too seldom for hundreds of short servers.
HURRIED = SimpleNamespace(**{**vars(asyncio), "sleep": lambda delay: asyncio.sleep(delay / 20)})


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start a gateway with settings of the test's own."""
    monkeypatch.setattr(uvicorn.server, "asyncio", HURRIED)
    running: list[Gateway] = []

    async def start_one(
        ws: Any = SightlineWebSocketProtocol,
        clock: Clock | None = None,
        tls: Path | None = None,
        **settings: Any,
    ) -> Gateway:
        defaults: dict[str, Any] = {
            "session_token": TOKEN,
            "state_dir": tmp_path / "state",
            "workspace": None,
            "heartbeat_interval_s": 20.0,
            "log_format": "json",
        }
        gateway = Gateway(Settings(**{**defaults, **settings}), ws, clock, tls)
        running.append(gateway)
        await gateway.start()
        return gateway

    yield start_one
    for gateway in running:
        await gateway.end()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cert.pem` and `key.pem`."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("needs openssl for a certificate")
    folder = tmp_path_factory.mktemp("tls")
    make = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run([openssl, *make.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    return await start()


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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder in which the client finds what `name` puts there."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SIGHTLINE_URL", "SIGHTLINE_SESSION_TOKEN", "SIGHTLINE_STATE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / ".sightline").mkdir()
    write_private(tmp_path / ".sightline" / "session.token", TOKEN)
    return tmp_path
