"""Named tokens over real sockets: what lies outside of a token's patterns never reaches it."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from litestar import get
from websockets.asyncio.client import ClientConnection

from app.auth.access import AUDIT, Access
from app.auth.audit import FIRST
from app.auth.credentials import KEY_HEADER
from app.auth.named import revoke, rotate
from app.auth.publishing import HeldPublisher
from app.auth.token_file import editing
from app.channels.filters import EventFilter
from app.errors import UnauthorizedError
from tests.kit import issuer
from tests.kit.event_stream import Reader, ask
from tests.kit.gateway import Gateway, Start, url
from tests.kit.http import TOKEN, Connection, dial, request
from tests.kit.issuer import claims, jwk_of, jwks, rsa_key, signed
from tests.kit.messages import close_code, receive
from tests.kit.tokens import add_token
from tests.kit.waiting import WATCHDOG_S, until

ENDED = 4401
TYPES = ("alpha.one", "alpha.two", "beta.one", "beta.two", "gamma.two", "system.error")
BOUNDS = (["*"], ["alpha.*"], ["*.two", "beta.one"], ["beta.two"], ["alpha.*", "*.one", "system.*"])
ASKED = ("*", "alpha.*,beta.*", "*.two,gamma.one", "alpha.one", "*.one,*.two")
NAMESPACES = ("alpha", "beta", "gamma")
KINDS = ["token", "user", "jwt"]  # of a caller


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """The path of the issuer's keys."""
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(jwk_of(rsa_key(), "one")))
    return str(path)


def marker(type_: str) -> str:
    """A word that stands in events of this type alone."""
    return "mark" + type_.replace(".", "x")


def data_of(type_: str) -> dict[str, str]:
    return {"message": f"{marker(type_)} shared"} if type_ != AUDIT else {"action": marker(type_)}


async def publish(gateway: Gateway, rounds: int = 2) -> None:
    for _ in range(rounds):
        for type_ in (*TYPES, AUDIT):
            await gateway.publisher.publish(
                type_, data_of(type_), durable=gateway.journal is not None
            )


async def token(gateway: Gateway, name: str, *scopes: str, **fields: Any) -> str:
    """A new token that the gateway knows."""
    secret = await asyncio.to_thread(add_token, gateway.settings.state_dir, name, *scopes, **fields)
    await gateway.app.state.keyring.token_store.refresh()
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def read_until(client: ClientConnection, number: int) -> list[str]:
    """All messages up to the answer of a ping that is sent once the head is `number`."""
    texts: list[str] = []
    async with asyncio.timeout(WATCHDOG_S):
        await client.send(json.dumps({"type": "unsubscribe", "types": ["no.such"], "id": number}))
        while True:
            texts.append(str(await client.recv()))
            message = json.loads(texts[-1])
            if message.get("id") == number:
                return texts


async def read_stream(reader: Reader, last: int) -> list[str]:
    """The messages of a stream, to the event of this number; the first one alone if it is 0."""
    texts = [json.dumps((await reader.block())[1])]
    async with asyncio.timeout(WATCHDOG_S):
        while last and json.loads(texts[-1]).get("sequence_number", 0) < last:
            texts.append(json.dumps((await reader.block())[1]))
    return texts


Caller = dict[str, str]  # the headers of one that may read


async def everything(gateway: Gateway, caller: Caller, asked: str, access: Access) -> list[str]:
    """All that a caller gets by any route that reads, while events are published."""
    query = f"types={asked}"
    headers = list(caller.items())
    async with (
        gateway.connect(f"?{query}&last_sequence_number=0", token=None, headers=headers) as recent,
        gateway.connect(f"?{query}", token=None, headers=headers) as live,
        gateway.http(headers=caller) as http,
    ):
        clients = [recent, live]
        if gateway.journal is not None:
            past = f"?{query}&history=1&last_sequence_number=0"
            clients.append(await gateway.connect(past, token=None, headers=headers))
        position = (b"Last-Event-ID", f"{gateway.bus.epoch}:0".encode())
        raw = [(key.encode(), value.encode()) for key, value in caller.items() if key != "Origin"]
        stream = await ask(gateway, *raw, position, query=f"?{query}")
        assert (await stream.head()).status == 200
        subscribe = json.dumps({"type": "subscribe", "types": [*asked.split(","), "gamma.two"]})
        for client in clients:
            await client.send(subscribe)
        await publish(gateway, rounds=1)
        head = gateway.bus.head
        texts = [text for one in clients for text in await read_until(one, head)]
        held = access.held(EventFilter(asked.split(",")))
        found = [
            e.sequence_number
            for e in map(gateway.bus.find, range(1, head + 1))
            if e and held.matches(e.type)
        ]
        texts += await read_stream(stream, max(found, default=0))
        for more in ("", "&order=desc", "&q=shared", "&after=0", "&since=1h"):
            answer = await http.get(f"/api/events?{query}{more}&limit=1000")
            assert answer.status_code in (200, 400)
            texts.append(answer.text)
        for path in ("/api/session", "/metrics", "/api/sessions", "/nowhere", "/api/openapi.json"):
            answer = await http.get(path)
            assert (answer.status_code == 403) == (path in ("/metrics", "/api/sessions"))
            texts += [] if path.endswith(".json") else [answer.text]
        for type_ in (*TYPES, AUDIT):
            if gateway.journal is not None:
                page = (await http.get(f"/api/events?q={marker(type_)}&limit=1")).json()
                assert bool(page["matches"]) == bool(page["events"]) == access.may_read(type_)
        for client in clients:
            await client.close()
        stream.raw.close()
    return texts


@pytest.mark.parametrize(
    ("journal", "bounds", "filters", "kinds"),
    [
        pytest.param("auto", BOUNDS[2:3], 1, ["token"], id="one"),
        pytest.param("auto", BOUNDS[2:3], 1, ["user"], id="user"),
        pytest.param("auto", BOUNDS[2:3], 1, ["jwt"], id="jwt"),
        pytest.param("auto", BOUNDS, 2, KINDS, id="journal", marks=pytest.mark.slow),
        pytest.param("", BOUNDS, 2, KINDS, id="memory", marks=pytest.mark.slow),
    ],
)
async def test_no_event_outside_of_a_tokens_patterns_reaches_it_by_any_route(
    start: Start, keys: str, journal: str, bounds: list[list[str]], filters: int, kinds: list[str]
) -> None:
    """Each bound and filter is tried by a drawn kind of caller: users of a proxy and by JWT too."""
    gateway = await start(
        extra_namespaces=NAMESPACES,
        journal=journal,
        replay_limit=1000,
        max_clients=20,
        trusted_user_header="X-Forwarded-User",
        trusted_proxies=("127.0.0.1",),
        trusted_users=tuple(f"reader{n}=read:{','.join(bound)}" for n, bound in enumerate(bounds)),
        jwt_jwks=keys,
        **issuer.SETTINGS,
    )
    await publish(gateway)
    chance = random.Random(19)
    for number, bound in enumerate(bounds):
        secret = await token(gateway, f"reader{number}", "read", read=tuple(bound))
        user = {"X-Forwarded-User": f"reader{number}", "Origin": url(gateway)}
        said = {"scope": "sightline:read", "sightline_read": bound}
        by_jwt = bearer(signed(claims(time.time(), **said)))
        callers: dict[str, Caller] = {"token": bearer(secret), "user": user, "jwt": by_jwt}
        access = Access("reader", ("read",), bound)
        for asked in chance.sample(ASKED, filters):
            asked_for = EventFilter(asked.split(","))
            caller = callers[chance.choice(kinds)]
            whole = "\n".join(await everything(gateway, caller, asked, access))
            for type_ in (*TYPES, AUDIT):
                if access.may_read(type_):
                    assert not asked_for.matches(type_) or marker(type_) in whole
                else:
                    assert marker(type_) not in whole, (bound, asked, type_)
                    assert f'"{type_}"' not in whole, (bound, asked, type_)


@pytest.mark.parametrize("cookie", [False, True], ids=["token", "browser"])
async def test_two_tokens_side_by_side_and_the_pages_they_log_in(
    gateway_of_three: Gateway, cookie: bool
) -> None:
    gateway = gateway_of_three
    secret = await token(gateway, "dash", "read", read=("alpha.*",))
    headers = bearer(secret)
    if cookie:
        headers = await page_headers(gateway, secret)
    async with gateway.http(headers=headers) as http:
        await publish(gateway, 1)
        session = (await http.get("/api/session")).json()
        page = (await http.get("/api/events")).json()
        assert [event["type"] for event in page["events"]] == ["alpha.one", "alpha.two"]
        assert session["identity"] == {
            "name": "dash",
            "scopes": ["read"],
            "read": ["alpha.*"],
            "publish": [],
        }
        assert session["authenticated_by"] == ("cookie" if cookie else "token")
        assert (await http.post("/api/events", json=EVENT)).status_code == 403
        assert (await http.post("/v1/logs", json={})).status_code == 403
        assert (await http.post("/api/hooks/codex", json={})).status_code == 403
        assert (await http.delete("/api/sessions")).status_code == 403
        assert (await http.post("/api/token")).status_code == (401 if cookie else 403)


EVENT = {"type": "alpha.one", "data": {}, "metadata": {"publisher": "somebody", "agent": "a"}}


async def page_headers(gateway: Gateway, secret: str) -> dict[str, str]:
    """The headers of a page that a ticket of the token has logged in."""
    origin = {"Origin": f"http://127.0.0.1:{gateway.port}"}
    async with gateway.http(headers=bearer(secret)) as http:
        ticket = (await http.post("/api/tickets")).json()["ticket"]
        answer = await http.post("/api/login", json={"ticket": ticket}, headers=origin)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return {**origin, "Cookie": cookie, KEY_HEADER: answer.headers[KEY_HEADER]}


@pytest.fixture
async def gateway_of_three(start: Start) -> Gateway:
    return await start(extra_namespaces=NAMESPACES)


async def test_a_publisher_is_held_to_its_patterns_and_signed_whatever_it_says(
    gateway_of_three: Gateway,
) -> None:
    gateway = gateway_of_three
    async with gateway.http() as owner:
        assert (await owner.post("/api/events", json=EVENT)).status_code == 201
        secret = await token(gateway, "ci", "publish", publish=("alpha.*",))
        assert (await owner.post("/api/events", json=EVENT)).status_code == 201
        async with gateway.http(headers=bearer(secret)) as http:
            cloud = {"content-type": "application/cloudevents+json"}
            outside = {"type": "beta.one", "data": {}}
            event = {"specversion": "1.0", "id": "1", "source": "s", **outside}
            for answer in (
                await http.post("/api/events", json=outside),
                await http.post("/api/events", json=[EVENT, outside]),
                await http.post("/api/events", content=json.dumps(event), headers=cloud),
            ):
                assert answer.status_code == 403
                assert "'beta.one'" in answer.json()["message"]
                assert "alpha.*" in answer.json()["message"]
            refused = await http.post("/api/events", json={"type": AUDIT, "data": {"action": "x"}})
            assert refused.status_code == 403
            for answer in (
                await http.post("/api/events", json=EVENT),
                await http.post(
                    "/api/events",
                    content=json.dumps({**event, "type": "org.example.alpha.two"}),
                    headers=cloud,
                ),
            ):
                assert answer.status_code == 201
            for path in ("/api/events", "/api/events/stream", "/ws"):
                assert (await http.get(path)).status_code == 403
            assert (await http.post("/api/tickets")).status_code == 403
        answer = await gateway.refusal((b"Authorization", f"Bearer {secret}".encode()))
        assert answer.status == 403
        assert "needs read" in answer.error["message"]
        events = (await owner.get("/api/events?types=alpha.*")).json()["events"]
    publishers = [event["metadata"].get("publisher") for event in events]
    assert publishers == ["somebody", "session", "ci", "ci"]
    assert events[2]["metadata"]["agent"] == "a"


async def test_a_token_that_is_revoked_or_rotated_ends_what_it_opened_with_4401(
    gateway_of_three: Gateway,
) -> None:
    gateway, folder = gateway_of_three, gateway_of_three.settings.state_dir
    refresh = gateway.app.state.keyring.token_store.refresh
    for name, edit in (
        ("one", lambda tokens: revoke(tokens, "one")),
        ("two", lambda tokens: rotate(tokens, "two", 0.0, None)[0]),
    ):
        secret = await token(gateway, name, "read")
        page = await page_headers(gateway, secret)
        other = await gateway.connect()
        client = await gateway.connect(token=secret)
        browser = await gateway.connect(token=None, headers=list(page.items()))
        stream = await ask(gateway, (b"X-Session-Token", secret.encode()))
        await stream.head()
        await stream.block()
        with editing(folder) as (tokens, write):
            write(edit(tokens))
        await refresh()
        assert await close_code(client) == ENDED
        assert await close_code(browser) == ENDED
        await stream.end()
        await until(lambda: gateway.registry.taken == 1)
        for headers in (bearer(secret), page):
            async with gateway.http(headers=headers) as http:
                assert (await http.get("/api/session")).status_code == 401
        await receive(other)
        await other.close()
        await until(lambda: gateway.registry.taken == 0)


LOG = {
    "attributes": [
        {"key": key, "value": {"stringValue": value}}
        for key, value in (("event.name", "user_prompt"), ("session.id", "s1"), ("prompt", "go"))
    ]
}
LOGS = [{"scope": {"name": "com.anthropic.claude_code.events"}, "logRecords": [LOG]}]
HOOK = {"hook_event_name": "SessionStart", "session_id": "s1", "source": "startup"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/events", EVENT),
        ("/api/hooks/claude-code", HOOK),
        ("/v1/logs", {"resourceLogs": [{"scopeLogs": LOGS}]}),
    ],
)
async def test_a_request_that_a_token_began_before_its_end_publishes_nothing(
    gateway_of_three: Gateway, path: str, body: dict[str, Any]
) -> None:
    gateway, keyring = gateway_of_three, gateway_of_three.app.state.keyring
    secret = await token(gateway, "ci", "publish")
    sent = json.dumps(body).encode()
    head = request(
        b"Authorization: Bearer " + secret.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(sent),
        method=b"POST",
        path=path.encode(),
    )
    connection = Connection(await dial(gateway, head + sent[:9]))
    await until(lambda: keyring._used)  # the request has passed the guard
    with editing(gateway.settings.state_dir) as (tokens, write):
        write(revoke(tokens, "ci"))
    await keyring.token_store.refresh()
    answer = await connection.ask(sent[9:])
    assert answer.status == 401
    assert "has ended" in answer.body.decode()
    async with gateway.http() as owner:
        events = (await owner.get("/api/events")).json()["events"]
    assert {event["type"] for event in events} == {AUDIT}


async def test_what_the_session_token_began_ends_with_it_and_so_do_hooks(gateway: Gateway) -> None:
    keyring = gateway.app.state.keyring
    old = [
        HeldPublisher(gateway.publisher, credential, signs=False)
        for credential in (keyring.token_credential, keyring.hook_credential)
    ]
    event = ("chat.message_sent", {"role": "user", "content": "x"}, {})
    for publisher in old:
        await publisher.publish_all([event])
    keyring.rotate()
    for publisher in old:
        with pytest.raises(UnauthorizedError):
            await publisher.publish(*event)
        with pytest.raises(UnauthorizedError):
            await publisher.publish_all([event])
        with pytest.raises(UnauthorizedError):
            publisher.emit(*event)
    assert gateway.bus.head == len(old)
    await HeldPublisher(gateway.publisher, keyring.hook_credential, signs=False).publish(*event)


async def test_the_gateway_sees_a_new_file_by_itself_and_ids_of_clients_are_each_tokens_own(
    gateway_of_three: Gateway,
) -> None:
    gateway, folder = gateway_of_three, gateway_of_three.settings.state_dir
    secret = await asyncio.to_thread(add_token, folder, "dash", "read")
    keyring = gateway.app.state.keyring
    await until(lambda: keyring.named.find(secret.encode()))
    async with (
        gateway.connect("?client_id=me&types=chat.*") as mine,
        gateway.connect("?client_id=me&types=chat.*", token=secret) as theirs,
    ):
        for client in (mine, theirs):
            assert (await receive(client))["client_id"] == "me"
        await gateway.publish()
        for client in (mine, theirs):
            assert (await receive(client))["type"] == "chat.message_sent"


async def test_a_route_that_declares_no_scope_is_for_admins(gateway_of_three: Gateway) -> None:
    @get("/later")
    async def later() -> str:
        return "for admins"

    gateway = gateway_of_three
    gateway.app.register(later)
    every = await token(gateway, "every", "read", "publish")
    root = await token(gateway, "root", "admin")
    for secret, status in ((every, 403), (root, 200), (TOKEN, 200)):
        async with gateway.http(headers={"X-Session-Token": secret}) as http:
            answer = await http.get("/later")
            assert answer.status_code == status, answer.text


async def test_the_audit_says_who_did_what_without_a_secret_and_only_admins_read_it(
    gateway_of_three: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, folder = gateway_of_three, gateway_of_three.settings.state_dir
    await page_headers(gateway, TOKEN)
    assert gateway.bus.head == 0  # without named tokens, everything is as it was
    secret = await token(gateway, "dash", "read")
    async with gateway.http(headers=bearer(secret)) as http:
        await http.get("/api/session")
        await http.get("/api/events")
        await http.post("/api/events", json=EVENT)
        for number in range(FIRST + 5):
            wrong = {"X-Session-Token": f"wrong-secret-{number}"}
            await http.get(f"/api/session?browser_key={secret}", headers=wrong)
    async with gateway.http(headers={"X-Session-Token": "wrong-secret"}) as stranger:
        await stranger.get("/api/events")
    page = await page_headers(gateway, secret)
    with editing(folder) as (tokens, write):
        write(rotate(tokens, "dash", 0.0, None)[0])
    await gateway.app.state.keyring.token_store.refresh()
    with editing(folder) as (tokens, write):
        write(revoke(tokens, "dash"))
    await gateway.app.state.keyring.token_store.refresh()
    root = await token(gateway, "root", "admin")
    async with gateway.http(headers=bearer(root)) as http:
        answer = await http.get("/api/events?types=system.*")
    found = [(e["data"]["action"], e["data"].get("identity")) for e in answer.json()["events"]]
    refused = [one for one in found if one[0] == "refused"]
    assert refused == [("refused", "dash"), *[("refused", None)] * (FIRST - 1)]
    assert [one for one in found if one[0] != "refused"] == [
        ("token_made", "dash"),
        ("token_used", "dash"),
        ("ticket_made", "dash"),
        ("logged_in", "dash"),
        ("token_rotated", "dash"),
        ("token_revoked", "dash"),
        ("token_made", "root"),
        ("token_used", "root"),
    ]
    written = answer.text + "\n".join(str(record.msg) for record in caplog.records)
    assert "'action': 'ticket_made', 'identity': 'session'" in written.replace('"', "'")
    for one in (secret, root, TOKEN, "wrong-secret", page["Cookie"].partition("=")[2]):
        assert one not in written
