"""From a link to a cookie, over a real server."""

import asyncio
import json
import logging
import re
from http.cookies import SimpleCookie

import pytest

from app.auth.browsers import LIFETIME_S
from app.auth.credentials import KEY_HEADER
from app.auth.tokens import TICKET_LIFETIME_S
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN, Answer, dial, request, rest
from tests.kit.login import logged_in, new_ticket
from tests.kit.messages import receive
from tests.support import FakeClock


async def test_a_ticket_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(
    gateway: Gateway,
) -> None:
    async with gateway.http(headers={}) as http:
        ticket = await new_ticket(gateway)
        answer = await http.post("/api/login", json={"ticket": ticket})
    assert (answer.status_code, answer.content) == (204, b"")
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie.key == f"sightline_{gateway.port}"
    assert cookie["httponly"] is True
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
    assert int(cookie["max-age"]) == LIFETIME_S == 43200
    assert len(cookie.value) > 40
    key = answer.headers["x-browser-key"]
    assert len(key) > 40
    assert len({cookie.value, key, ticket, TOKEN}) == 4


async def test_the_session_says_how_one_is_authenticated(gateway: Gateway) -> None:
    async with logged_in(gateway) as browser, gateway.http() as script:
        assert (await browser.get("/api/session")).json()["authenticated_by"] == "cookie"
        assert (await script.get("/api/session")).json()["authenticated_by"] == "token"


async def test_a_cookie_opens_the_socket_and_publishes(gateway: Gateway) -> None:
    async with logged_in(gateway) as browser:
        cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
        headers = [("Cookie", cookie), ("Origin", f"http://127.0.0.1:{gateway.port}")]
        offered = ["events.v1", f"key.{browser.headers[KEY_HEADER]}"]
        async with gateway.connect(token=None, headers=headers, subprotocols=offered) as client:
            assert client.subprotocol == "events.v1"
            assert (await receive(client))["type"] == "connected"
            event = {"type": "chat.message_sent", "data": {"role": "user", "content": "x"}}
            assert (await browser.post("/api/events", json=event)).status_code == 201
            assert (await receive(client))["type"] == "chat.message_sent"


async def test_of_many_log_ins_that_race_with_one_ticket_one_succeeds(gateway: Gateway) -> None:
    body = {"ticket": await new_ticket(gateway)}
    async with gateway.http(headers={}) as http:
        answers = await asyncio.gather(*(http.post("/api/login", json=body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [204, *[401] * 19]


@pytest.mark.parametrize("ticket", ["", "unknown", "x" * 4000, "\u00fc", TOKEN])
async def test_a_ticket_that_is_not_good_is_a_401_that_says_how_to_get_another(
    gateway: Gateway, ticket: str
) -> None:
    async with gateway.http(headers={}) as http:
        answer = await http.post("/api/login", json={"ticket": ticket})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]
    assert "set-cookie" not in answer.headers
    assert "sightline login" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 4000, "application/json", 400),
        (b'{"ticket":1}', "application/json", 400),
        (b'{"ticket":"\xff"}', "application/json", 400),
        (b'{"ticket":"\\ud800"}', "application/json", 400),
        (b'{"other":"x"}', "application/json", 400),
        (b'{"ticket":"x"}', "text/plain", 415),
        (b"ticket=x", "application/x-www-form-urlencoded", 415),
        (b'{"ticket":"' + b"x" * 5000 + b'"}', "application/json", 413),
    ],
)
async def test_a_log_in_that_is_no_json_ticket_is_refused(
    gateway: Gateway, body: bytes, content_type: str, status: int
) -> None:
    async with gateway.http(headers={"Content-Type": content_type}) as http:
        answer = await http.post("/api/login", content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"type", "code", "message"}


async def test_tickets_and_sessions_end_by_the_monotonic_clock(start: Start) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock)
    old = await new_ticket(gateway)
    async with logged_in(gateway) as browser:
        clock.advance(TICKET_LIFETIME_S)
        assert (await browser.post("/api/login", json={"ticket": old})).status_code == 401
        clock.advance(LIFETIME_S - TICKET_LIFETIME_S - 1)
        assert (await browser.get("/api/session")).status_code == 200
        clock.advance(1)
        answer = await browser.get("/api/session")
    assert answer.status_code == 401
    assert "sightline login" in answer.json()["message"]


@pytest.mark.slow
async def test_a_restart_logs_nobody_out_but_another_session_token_does(start: Start) -> None:
    first = await start()
    async with logged_in(first) as browser:
        (cookie,) = browser.cookies.values()
        key = browser.headers[KEY_HEADER]
    await first.stop()
    for token, status in ((TOKEN, 200), ("another-token", 401)):
        second = await start(session_token=token)
        headers = {"Cookie": f"sightline_{second.port}={cookie}", KEY_HEADER: key}
        async with second.http(headers=headers) as http:
            assert (await http.get("/api/session")).status_code == status
        await second.stop()


async def test_a_cookie_alone_opens_nothing_but_the_page_without_data(gateway: Gateway) -> None:
    async with logged_in(gateway) as browser:
        key = browser.headers.pop(KEY_HEADER)
        assert "sightline login" not in (await browser.get("/")).text
        event = {"type": "chat.message_sent", "data": {"role": "user", "content": "x"}}
        for method, path in (
            ("GET", "/api/session"),
            ("GET", "/api/events"),
            ("GET", "/api/events/stream"),
            ("GET", "/api/catalog"),
            ("GET", "/api/sessions"),
            ("GET", "/ws"),
            ("POST", "/api/events"),
            ("POST", "/api/tickets"),
            ("POST", "/api/token"),
            ("POST", "/api/logout"),
            ("DELETE", "/api/sessions"),
        ):
            answer = await browser.request(method, path, json=event)
            assert answer.status_code == 401, (method, path)
        posted = await browser.post(f"/api/events?browser_key={key}", json=event)
        assert posted.status_code == 401  # in the address it counts on GET alone
        assert (await browser.get(f"/api/session?browser_key={key}")).status_code == 200
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items()).encode()
        origin = f"http://127.0.0.1:{gateway.port}".encode()
        for path in ("/ws", f"/ws?browser_key={key}"):
            headers = ((b"Cookie", cookie), (b"Origin", origin))
            assert (await gateway.refusal(*headers, path=path)).status == 401
    assert gateway.bus.head == 0


async def test_a_ticket_and_a_new_token_are_had_with_the_session_token_alone(
    gateway: Gateway,
) -> None:
    async with logged_in(gateway) as browser:
        assert (await browser.get("/api/session")).status_code == 200
        for path in ("/api/tickets", "/api/token"):
            answer = await browser.post(path)
            assert answer.status_code == 401
            assert "session token" in answer.json()["message"]


async def test_the_authorization_header_of_a_proxy_is_ignored(gateway: Gateway) -> None:
    basic = {"Authorization": "Basic dXNlcjpwYXNz"}
    async with logged_in(gateway) as browser, gateway.http(headers=basic) as stranger:
        assert (await browser.get("/api/session", headers=basic)).status_code == 200
        assert (await stranger.get("/api/session")).status_code == 401


async def test_the_root_is_the_console_with_a_cookie_and_says_how_to_log_in_without(
    gateway: Gateway,
) -> None:
    async with logged_in(gateway) as browser, gateway.http(headers={}) as stranger:
        console, door = await browser.get("/"), await stranger.get("/")
        login = await stranger.get("/login")
        cross_site = await browser.get("/", headers={"Sec-Fetch-Site": "cross-site"})
        assert console.status_code == door.status_code == 200
        assert "sightline login" not in console.text
        assert "sightline login" in door.text
        assert cross_site.text == login.text == door.text


async def test_pages_and_their_files_come_with_strict_rules_and_are_asked_for_anew(
    gateway: Gateway,
) -> None:
    async with gateway.http(headers={}) as http:
        for path, media_type in (
            ("/", "text/html"),
            ("/login", "text/html"),
            ("/static/login.js", "text/javascript"),
            ("/static/login.css", "text/css"),
        ):
            answer = await http.get(path)
            assert answer.headers["content-type"].startswith(media_type)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cache-control"] == "no-cache"
            etag = {"If-None-Match": answer.headers["etag"]}
            again = await http.get(path, headers=etag)
            assert (again.status_code, again.content) == (304, b"")
            if media_type == "text/html":  # no outside request, nothing that the policy stops
                assert not re.search(r'(src|href)="(?!static/|client/|data:|#)', answer.text)
                assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", answer.text)


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "index.html",
        "..%2fsettings.py",
        "%2e%2e%2fsettings.py",
        "..%5c..%5csettings.py",
        "%2fetc%2fpasswd",
        "x%00.js",
        "%ff.js",
        "a" * 5000,
        "..",
        "",
    ],
)
async def test_no_name_leads_out_of_the_static_folder(gateway: Gateway, name: str) -> None:
    for folder in ("static", "client"):
        sent = request(b"Connection: close", path=f"/{folder}/{name}".encode())
        answer = Answer(await rest(await dial(gateway, sent)))
        assert (answer.status, answer.error["code"]) == (404, "not_found")


async def test_no_ticket_cookie_or_token_gets_into_the_log(
    start: Start, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start(log_level="debug")
    for own_client in ("httpx", "httpcore"):
        monkeypatch.setattr(logging.getLogger(own_client), "propagate", False)
    ticket, spent = await new_ticket(gateway), await new_ticket(gateway)
    wrong = "mistyped-secret-0123456789"
    async with gateway.http(headers={}) as http:
        for each in (ticket, ticket, wrong):
            await http.post("/api/login", json={"ticket": each})
        (cookie,) = http.cookies.values()
        await http.get("/api/session")
        await http.get(f"/api/session?browser_key={wrong}")
        await http.get(f"/login?ticket={wrong}")
        await http.post("/api/login", content=json.dumps({"ticket": spent})[:-2])
        name = f"sightline_{gateway.port}"
        await http.get("/api/session", headers={"Cookie": f"{name}={wrong}"})
    origin = f"http://127.0.0.1:{gateway.port}".encode()
    for value in (cookie, wrong):
        cookies = (b"Cookie", f"{name}={value}".encode())
        raw, _ = await gateway.open_raw(cookies, (b"Origin", origin))
        raw.close()
    await gateway.stop()
    out, err = capfd.readouterr()
    assert "refused" in err
    for secret in (ticket, spent, wrong, cookie, TOKEN):
        assert secret not in out + err
