"""JWT bearer tokens over real sockets, with keys from a file and from an address."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.auth import key_set
from app.auth.key_set import AGAIN_S
from tests.kit.event_stream import ask
from tests.kit.gateway import Gateway, Start
from tests.kit.http import Connection, dial, request
from tests.kit.issuer import FOR_S, SETTINGS, claims, jwk_of, jwks, rsa_key, signed
from tests.kit.messages import close_code, receive
from tests.kit.waiting import until
from tests.support import FakeClock

EVENT = {"type": "deploy.done", "data": {}, "metadata": {"publisher": "session"}}
SCOPES = "sightline:read sightline:publish"
KEYS = jwks(jwk_of(rsa_key(), "one"))
Answer = Callable[[asyncio.StreamWriter], Any]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def keys(tmp_path: Path) -> str:
    (tmp_path / "jwks.json").write_bytes(KEYS)
    return str(tmp_path / "jwks.json")


class KeyServer:
    """Answers requests for keys as the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: bytes | None = KEYS  # None: nothing, and the connection stays open
        self.head = "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if self.answer is None:
            await reader.read()  # until the other side gives up
        else:
            writer.write(self.head.format(len(self.answer)).encode() + self.answer)
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/jwks"
        yield server


async def status_of(gateway: Gateway, token: str) -> tuple[int, str]:
    async with gateway.http(headers=bearer(token)) as http:
        answer = await http.get("/api/session")
    return answer.status_code, answer.text


async def test_a_publisher_by_jwt_is_held_signed_and_nobody_else(start: Start, keys: str) -> None:
    gateway = await start(jwt_jwks=keys, extra_namespaces=("deploy",), **SETTINGS)
    now = gateway.bus.clock.wall()
    held = {"scope": SCOPES, "sightline_publish": ["deploy.*"], "sightline_read": ["deploy.*"]}
    token = signed(claims(now, subject="session", **held))
    async with gateway.http(headers=bearer(token)) as http, gateway.http() as owner:
        assert (await http.post("/api/events", json=EVENT)).status_code == 201
        outside = await http.post("/api/events", json={"type": "git.pushed", "data": {}})
        assert outside.status_code == 403
        assert "the user 'jwt:session' may publish: deploy.*" in outside.json()["message"]
        for path in ("/api/tickets", "/api/token"):
            assert (await http.post(path)).status_code == 401
        assert (await http.post("/api/logout")).status_code == 400
        assert (await http.get("/api/sessions")).status_code == 403
        session = (await http.get("/api/session")).json()
        assert session["authenticated_by"] == "jwt"
        assert session["identity"]["name"] == "jwt:session"
        assert (await owner.post("/api/events", json=EVENT)).status_code == 201
        found = (await http.get("/api/events")).json()["events"]
        assert [event["metadata"]["publisher"] for event in found] == ["jwt:session", "session"]
        audit = (await owner.get("/api/events?types=system.audit")).json()["events"]
    assert {"action": "token_used", "identity": "jwt:session"} in [one["data"] for one in audit]
    async with gateway.connect(
        token=None, subprotocols=["events.v1", f"token.{token}"]
    ) as by_protocol:
        assert (await receive(by_protocol))["types"] == ["deploy.*"]
    both = {**bearer(token), "X-Session-Token": token}
    async with gateway.http(headers=both) as http:
        assert (await http.get("/api/session")).status_code == 200
    other = {**bearer(token), "X-Session-Token": signed(claims(now, subject="bob", **held))}
    async with gateway.http(headers=other) as http:
        assert (await http.get("/api/session")).status_code == 401
    without = signed(claims(now))
    async with gateway.http(headers=bearer(without)) as http:
        refused = await http.get("/api/events")
        assert refused.status_code == 403
        assert "for the scope sightline:read" in refused.json()["message"]


async def test_at_its_expiry_a_token_ends_what_it_opened_with_4401(start: Start, keys: str) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock, jwt_jwks=keys, extra_namespaces=("deploy",), **SETTINGS)
    token = signed(claims(clock.wall(), scope=SCOPES))
    later = signed(claims(clock.wall() + 60, scope=SCOPES))
    client = await gateway.connect(token=token)
    stays = await gateway.connect(token=later)
    await receive(stays)
    stream = await ask(gateway, (b"Authorization", f"Bearer {token}".encode()))
    await stream.head()
    body = b'{"type":"deploy.done","data":{}}'
    head = request(
        b"Authorization: Bearer " + token.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        method=b"POST",
        path=b"/api/events",
    )
    begun = Connection(await dial(gateway, head + body[:9]))
    await until(lambda: len(gateway.server.server_state.tasks) == 4)  # the post is there too
    clock.advance(FOR_S)
    assert await close_code(client) == 4401
    await stream.end()
    await until(lambda: gateway.registry.taken == 1)
    answer = await begun.ask(body[9:])
    assert answer.status == 401
    assert "has ended since this request began" in answer.body.decode()
    status, text = await status_of(gateway, token)
    assert status == 401
    assert "it has expired" in text
    assert (await status_of(gateway, later))[0] == 200
    clock.advance(60)
    assert await close_code(stays) == 4401


async def test_keys_are_had_from_an_address_and_again_when_the_issuer_rotates_them(
    start: Start, server: KeyServer
) -> None:
    clock = FakeClock()
    gateway = await start(clock=clock, jwt_jwks=server.url, **SETTINGS)
    await until(lambda: gateway.app.state.keyring.bearers._keys._keys is not None)
    token = signed(claims(clock.wall(), scope=SCOPES))
    assert (await status_of(gateway, token))[0] == 200
    assert server.asked == 1
    rotated = rsa_key(which=1)
    new = signed(claims(clock.wall(), scope=SCOPES), rotated, kid="two")
    server.answer = jwks(jwk_of(rsa_key(), "one"), jwk_of(rotated, "two"))
    assert (await status_of(gateway, new))[0] == 503
    assert server.asked == 1  # just read: a stranger cannot make it ask
    clock.advance(AGAIN_S)
    await until(lambda: server.asked == 2)
    await until(lambda: len(gateway.app.state.keyring.bearers._keys._keys) == 2)
    assert (await status_of(gateway, new))[0] == 200


@pytest.mark.parametrize(
    ("answer", "head", "why"),
    [
        (None, "", "no answer within"),
        (b"x" * (key_set.MOST_BYTES + 1), "HTTP/1.1 200 OK\r\n\r\n", "it is over 262144 bytes"),
        (KEYS, "HTTP/1.1 302 Found\r\nLocation: /jwks\r\n\r\n", "the answer was 302"),
        (KEYS, "HTTP/1.1 500 Sorry\r\n\r\n", "the answer was 500"),
        (b"<html>", "HTTP/1.1 200 OK\r\n\r\n", "it is no JWKS"),
        (b"", "what is no HTTP", "RemoteProtocolError"),
    ],
    ids=["silent", "big", "redirect", "failing", "html", "no-http"],
)
async def test_keys_that_cannot_be_had_are_a_503_and_nothing_else_waits_for_them(
    start: Start,
    server: KeyServer,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    head: str,
    why: str,
) -> None:
    if answer is None:
        monkeypatch.setattr(key_set, "FETCH_S", 0.2)
    server.answer, server.head = answer, head
    gateway = await start(jwt_jwks=server.url, **SETTINGS)
    token = signed(claims(gateway.bus.clock.wall(), scope=SCOPES))
    await until(lambda: server.asked == 1)
    async with gateway.http() as owner:  # while the keys are asked for, too
        assert (await owner.get("/api/session")).status_code == 200
    await until(lambda: gateway.app.state.keyring.bearers._keys._fault.startswith(why))
    status, text = await status_of(gateway, token)
    assert status == 503
    assert why in text
    refusal = await gateway.refusal((b"Authorization", f"Bearer {token}".encode()))
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "5")
    assert server.asked == 1  # however often a token asks
    async with gateway.http() as owner:
        assert (await owner.get("/api/health")).status_code == 200
        assert (await owner.get("/api/session")).status_code == 200
