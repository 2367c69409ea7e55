"""Revocation: the end of a login or of the session token closes at once what either opened."""

import asyncio
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from app.auth import browsers
from app.auth.browsers import LIFETIME_S
from app.auth.credentials import KEY_HEADER, Credential
from app.channels.backend import MemoryBackend
from app.errors import UnauthorizedError
from app.events import Position
from app.ws.registry import ConnectionRegistry
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN
from tests.kit.login import logged_in
from tests.kit.messages import close_code, receive
from tests.kit.waiting import WATCHDOG_S, until
from tests.support import FakeClock

ENDED = 4401


def as_page(gateway: Gateway, browser: httpx.AsyncClient) -> dict[str, Any]:
    """The options of a WebSocket that the logged-in page opens."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return {
        "token": None,
        "headers": [("Cookie", cookie), ("Origin", f"http://127.0.0.1:{gateway.port}")],
        "subprotocols": ["events.v1", f"key.{browser.headers[KEY_HEADER]}"],
    }


async def open_socket(gateway: Gateway, browser: httpx.AsyncClient) -> ClientConnection:
    client = await gateway.connect(**as_page(gateway, browser))
    assert (await receive(client))["type"] == "connected"
    return client


async def read_stream(browser: httpx.AsyncClient, begun: asyncio.Event) -> str:
    """The whole of a stream, as soon as the gateway ends it."""
    text = ""
    async with browser.stream("GET", "/api/events/stream") as answer:
        assert answer.status_code == 200
        async for part in answer.aiter_text():
            text += part
            begun.set()
    return text


async def test_logging_out_closes_the_browsers_sockets_and_streams_and_no_other(
    gateway: Gateway,
) -> None:
    async with logged_in(gateway) as browser, logged_in(gateway) as other:
        socket, others = await open_socket(gateway, browser), await open_socket(gateway, other)
        script = await gateway.connect()
        await receive(script)
        stream = asyncio.create_task(read_stream(browser, begun := asyncio.Event()))
        await asyncio.wait_for(begun.wait(), WATCHDOG_S)
        answer = await browser.post("/api/logout")
        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert await close_code(socket) == ENDED
        assert '"connected"' in await asyncio.wait_for(stream, WATCHDOG_S)
        await until(lambda: gateway.registry.taken == 2)
        await gateway.publish()
        for client in (others, script):
            assert (await receive(client))["type"] == "chat.message_sent"
            await client.close()
        assert (await other.get("/api/session")).status_code == 200


async def test_a_cookie_that_was_kept_is_worth_nothing_after_the_log_out_also_after_a_restart(
    start: Start,
) -> None:
    first = await start()
    async with logged_in(first) as browser:
        (cookie,), key = browser.cookies.values(), browser.headers[KEY_HEADER]
        await browser.post("/api/logout")
    await first.stop()
    for gateway in (await start(),):
        headers = {"Cookie": f"sightline_{gateway.port}={cookie}", KEY_HEADER: key}
        async with gateway.http(headers=headers) as http:
            assert (await http.get("/api/session")).status_code == 401


async def test_the_logged_in_browsers_are_listed_and_ended_one_by_one_or_all(
    gateway: Gateway,
) -> None:
    async with logged_in(gateway) as one, logged_in(gateway) as two, gateway.http() as script:
        socket, other = await open_socket(gateway, one), await open_socket(gateway, two)
        listed = (await one.get("/api/sessions")).json()["sessions"]
        assert [session["current"] for session in listed] == [True, False]
        assert [session["connections"] for session in listed] == [1, 1]
        assert all(0 < session["expires_in_s"] <= LIFETIME_S for session in listed)
        assert listed[0]["user_agent"].startswith("python-httpx")
        for secret in (*one.cookies.values(), one.headers[KEY_HEADER], TOKEN):
            assert secret not in str(listed)
        assert (await two.delete(f"/api/sessions/{listed[0]['id']}")).status_code == 204
        assert await close_code(socket) == ENDED
        assert (await two.delete(f"/api/sessions/{listed[0]['id']}")).status_code == 404
        assert (await one.get("/api/session")).status_code == 401
        assert [s["current"] for s in (await script.get("/api/sessions")).json()["sessions"]] == [
            False
        ]
        assert (await script.delete("/api/sessions")).status_code == 204
        assert await close_code(other) == ENDED
        assert (await script.get("/api/sessions")).json() == {"sessions": []}


async def test_a_session_token_cannot_log_out(gateway: Gateway) -> None:
    async with gateway.http() as script:
        answer = await script.post("/api/logout")
    assert answer.status_code == 400
    assert "sightline token --rotate" in answer.json()["message"]


async def test_a_browser_that_is_pushed_out_loses_its_socket(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsers, "MOST", 2)
    async with logged_in(gateway) as oldest:
        socket = await open_socket(gateway, oldest)
        async with logged_in(gateway), logged_in(gateway):
            assert await close_code(socket) == ENDED
            assert (await oldest.get("/api/session")).status_code == 401


async def test_a_log_in_that_expires_loses_its_sockets_and_streams(start: Start) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    async with logged_in(gateway) as browser:
        socket = await open_socket(gateway, browser)
        stream = asyncio.create_task(read_stream(browser, begun := asyncio.Event()))
        await asyncio.wait_for(begun.wait(), WATCHDOG_S)
        clock.advance(LIFETIME_S - 1)
        assert (await browser.get("/api/session")).status_code == 200
        assert gateway.registry.taken == 2
        clock.advance(1)
        assert await close_code(socket) == ENDED
        await asyncio.wait_for(stream, WATCHDOG_S)
        await until(lambda: gateway.registry.taken == 0)


async def test_a_new_session_token_closes_all_that_came_in_by_the_old_one(gateway: Gateway) -> None:
    async with logged_in(gateway) as browser, gateway.http() as script:
        page, client = await open_socket(gateway, browser), await gateway.connect()
        await receive(client)
        stream = asyncio.create_task(read_stream(script, begun := asyncio.Event()))
        await asyncio.wait_for(begun.wait(), WATCHDOG_S)
        ticket = (await script.post("/api/tickets")).json()["ticket"]
        assert (await script.post("/api/token")).status_code == 204
        assert await close_code(client) == await close_code(page) == ENDED
        await asyncio.wait_for(stream, WATCHDOG_S)
        for who in (script, browser):
            assert (await who.get("/api/session")).status_code == 401
        assert (await browser.post("/api/login", json={"ticket": ticket})).status_code == 401
    token = (gateway.settings.state_dir / "session.token").read_text().strip()
    assert token != TOKEN
    async with gateway.connect(token=token) as client:
        assert (await receive(client))["type"] == "connected"


async def test_a_credential_that_ends_while_its_upgrade_waits_gets_no_place(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: MemoryBackend, position: Position) -> None:
        waiting.set()
        await go_on.wait()

    monkeypatch.setattr(MemoryBackend, "catch_up", slow)
    async with logged_in(gateway) as browser, gateway.http() as script:
        options = as_page(gateway, browser)
        key = options.pop("subprotocols")[1]
        headers = [(name.encode(), value.encode()) for name, value in options["headers"]]
        headers.append((b"Sec-WebSocket-Protocol", f"events.v1, {key}".encode()))
        path = f"/ws?last_sequence_number=0&epoch={gateway.bus.epoch}"
        asking = asyncio.create_task(gateway.refusal(*headers, path=path))
        await asyncio.wait_for(waiting.wait(), WATCHDOG_S)
        await script.delete("/api/sessions")
        go_on.set()
        assert (await asking).status == 401
    assert gateway.registry.taken == 0


def test_a_place_whose_connection_is_still_being_made_learns_that_it_was_closed() -> None:
    registry, credential = ConnectionRegistry(2), Credential("cookie", "a")
    place, other = registry.reserve("one", credential), registry.reserve(
        "two", Credential("cookie")
    )
    registry.end(credential)
    registry.close_all(1012, "later")
    assert (place.closed_with or (0,))[0] == ENDED
    assert (other.closed_with or (0,))[0] == 1012
    credential.ended = True
    with pytest.raises(UnauthorizedError, match="has ended"):
        registry.reserve("three", credential)
    assert registry.taken == 2
