"""Logging a browser in."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.auth.credentials import KEY_HEADER
from app.auth.tokens import TICKET_LIFETIME_S
from tests.kit.gateway import Gateway

CHROMIUM = shutil.which("chromium")
ENTER_MS = 30_000  # a busy machine is no failure
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]


async def new_ticket(gateway: Gateway) -> str:
    """A ticket for one login."""
    async with gateway.http() as http:
        answer = await http.post("/api/tickets")
    assert answer.status_code == 201
    assert set(answer.json()) == {"ticket", "expires_in_s"}
    assert answer.json()["expires_in_s"] == TICKET_LIFETIME_S == 300
    ticket: str = answer.json()["ticket"]
    return ticket


@asynccontextmanager
async def logged_in(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client as a browser that has logged in."""
    origin = f"http://127.0.0.1:{gateway.port}"
    async with gateway.http(headers={"Origin": origin}) as browser:
        answer = await browser.post("/api/login", json={"ticket": await new_ticket(gateway)})
        assert answer.status_code == 204
        browser.headers[KEY_HEADER] = answer.headers[KEY_HEADER]
        yield browser


def link(gateway: Gateway) -> str:
    """A link that logs a browser in, once."""
    ticket = gateway.app.state.keyring.tickets.issue()
    return f"http://127.0.0.1:{gateway.port}/login#{ticket}"
