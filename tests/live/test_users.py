"""Users whom a proxy names, over real sockets: the test is the proxy, at 127.0.0.1."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.auth.trusted_users import LIFETIME_S
from tests.kit.event_stream import ask
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN
from tests.kit.messages import close_code, receive
from tests.kit.processes import litestar_run
from tests.kit.waiting import until
from tests.support import FakeClock

HEADER = "X-Forwarded-User"
EVENT = {"type": "deploy.done", "data": {}, "metadata": {"publisher": "user:alice"}}
USERS = ("alice=admin", "bob=read:deploy.*", "bob=publish:deploy.*", "eve=publish:git.*")
SETTINGS: dict[str, Any] = {
    "trusted_user_header": HEADER,
    "trusted_proxies": ("127.0.0.1",),
    "trusted_users": USERS,
    "extra_namespaces": ("deploy",),
}


def page(gateway: Gateway, user: str, **more: str) -> dict[str, str]:
    """What the proxy passes on for a page of the gateway."""
    return {HEADER: user, "Origin": f"http://127.0.0.1:{gateway.port}", **more}


async def test_the_console_works_without_a_log_in_and_all_routes_hold_the_user(
    start: Start,
) -> None:
    gateway = await start(**SETTINGS)
    async with gateway.http(headers=page(gateway, "bob")) as http:
        assert "log-out" in (await http.get("/")).text
        session = (await http.get("/api/session")).json()
        assert session["authenticated_by"] == "user"
        assert session["identity"] == {
            "name": "user:bob",
            "scopes": ["publish", "read"],
            "read": ["deploy.*"],
            "publish": ["deploy.*"],
        }
        async with gateway.connect(token=None, headers=list(page(gateway, "bob").items())) as live:
            assert (await receive(live))["types"] == ["deploy.*"]
            assert (await http.post("/api/events", json=EVENT)).status_code == 201
            event = await receive(live)
        assert event["metadata"] == {"publisher": "user:bob"}
        stream = await ask(gateway, (HEADER.encode(), b"bob"))
        assert (await stream.head()).status == 200
        assert (await stream.block())[1]["types"] == ["deploy.*"]
        stream.raw.close()
        types = {event["type"] for event in (await http.get("/api/events")).json()["events"]}
        assert types == {"deploy.done"}  # and no `system.audit`
        outside = await http.post("/api/events", json={"type": "git.pushed", "data": {}})
        assert outside.status_code == 403
        assert "the user 'user:bob' may publish: deploy.*" in outside.json()["message"]
        assert (await http.get("/api/sessions")).status_code == 403
        refused = await http.post("/api/tickets")
        assert refused.status_code == 401
        out = await http.post("/api/logout")
        assert out.status_code == 400
        assert "log out at the proxy" in out.json()["message"]
    for user, status in (("eve", 403), ("mallory", 403), ("", 401), ("alice, bob", 401)):
        async with gateway.http(headers=page(gateway, user)) as http:
            assert (await http.get("/api/events")).status_code == status
            assert "log-out" not in (await http.get("/")).text or user == "eve"
    for user, status in (("mallory", 403), ("eve", 405)):
        async with gateway.http(headers=page(gateway, user)) as http:
            assert (await http.put("/api/events")).status_code == status
    async with gateway.http(headers=page(gateway, "alice")) as http:
        assert (await http.get("/api/sessions")).status_code == 200
        audit = (await http.get("/api/events?types=system.audit")).json()["events"]
    assert {"action": "user_seen", "identity": "user:bob"} in [event["data"] for event in audit]


async def test_a_foreign_page_or_peer_opens_nothing_with_the_header(start: Start) -> None:
    gateway = await start(**SETTINGS, allowed_origins=("https://other.example",))
    named = {HEADER: "alice"}
    foreign: list[dict[str, str]] = [
        named,  # a form or a script of another program: no `Origin`
        {**named, "Origin": "https://other.example"},
        page(gateway, "alice", **{"Sec-Fetch-Site": "cross-site"}),
        page(gateway, "alice", **{"Sec-Fetch-Site": "same-site"}),
    ]
    for headers in foreign:
        async with gateway.http(headers=headers) as http:
            assert (await http.post("/api/events", json=EVENT)).status_code == 401
            assert (await http.delete("/api/sessions")).status_code == 401
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        assert (await gateway.refusal(*raw)).status == 401
    async with gateway.http() as owner:
        assert (await owner.get("/api/events?types=deploy.*")).json()["events"] == []


async def test_the_header_of_any_other_peer_is_refused_also_beside_a_token(start: Start) -> None:
    gateway = await start(**{**SETTINGS, "trusted_proxies": ("10.0.0.0/8", "unix")})
    for headers in (page(gateway, "alice"), page(gateway, "alice", **{"X-Session-Token": TOKEN})):
        async with gateway.http(headers=headers) as http:
            answer = await http.get("/api/session")
            assert answer.status_code == 401
            assert "this request comes from 127.0.0.1" in answer.json()["message"]
            assert "log-out" not in (await http.get("/")).text
    async with gateway.http() as http:
        assert (await http.get("/api/session")).json()["authenticated_by"] == "token"


async def test_a_connection_of_a_user_is_closed_after_an_hour_to_ask_the_proxy_again(
    start: Start,
) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock, **SETTINGS)
    owner = await gateway.connect()
    live = await gateway.connect(token=None, headers=list(page(gateway, "bob").items()))
    stream = await ask(gateway, (HEADER.encode(), b"bob"))
    await stream.head()
    clock.advance(LIFETIME_S)
    assert await close_code(live) == 1012  # clients resume; they do not give up, as after a 4401
    await stream.end()
    await until(lambda: gateway.registry.taken == 1)
    await owner.close()
    await until(lambda: gateway.registry.taken == 0)


@pytest.mark.slow
async def test_a_proxy_at_a_unix_socket_is_believed_where_the_settings_say_unix(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gateway.sock"
    settings = {"TRUSTED_USER_HEADER": HEADER, "TRUSTED_USERS": "bob=read:deploy.*"}
    for proxies, status in (("unix", 200), ("127.0.0.1", 401)):
        environ = {**settings, "TRUSTED_PROXIES": proxies}
        async with litestar_run(
            tmp_path,
            words=("--uds", str(path)),
            env={f"SIGHTLINE_{name}": value for name, value in environ.items()},
        ) as run:
            await run.says("running on")
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport, headers={HEADER: "bob"}) as http:
                answer = await http.get("http://localhost/api/session")
            assert answer.status_code == status
            name = "user:bob" if status == 200 else "from unix"
            assert name in answer.text


@pytest.mark.slow
async def test_a_header_without_trusted_proxies_ends_the_start_in_one_line(tmp_path: Path) -> None:
    async with litestar_run(tmp_path, env={"SIGHTLINE_TRUSTED_USER_HEADER": HEADER}) as run:
        assert await run.ended(20) != 0
    assert "SIGHTLINE_TRUSTED_USER_HEADER needs SIGHTLINE_TRUSTED_PROXIES" in run.said
    assert "Traceback" not in run.said
