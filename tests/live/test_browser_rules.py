"""The access rules as a table: every way to ask, on every route, against what must happen."""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from litestar.routes import HTTPRoute

from app.auth.credentials import KEY_HEADER
from app.plugin import plugin_of
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN, UPGRADE, Connection, dial
from tests.kit.waiting import until

Header = tuple[bytes, bytes]
CONFIGURED = "https://console.example"
EVIL = "http://evil.example"

# The status of each route for an accepted request, with the body below where there is one.
LET_IN = {
    ("POST", "/api/events"): 415,
    ("GET", "/api/events"): 400,
    ("GET", "/api/events/stream"): 400,
    ("GET", "/api/session"): 200,
    ("GET", "/api/sessions"): 200,
    ("GET", "/api/catalog"): 200,
    ("GET", "/api/openapi.json"): 200,
    ("GET", "/api/asyncapi.json"): 200,
    ("POST", "/api/tickets"): 201,
    ("GET", "/ws"): 426,
    ("UPGRADE", "/ws"): 101,
}
TARGETS = {
    ("GET", "/api/events"): "/api/events?limit=0",
    ("GET", "/api/events/stream"): "/api/events/stream?types=,",
}
TOKEN_ONLY = {("POST", "/api/tickets"), ("POST", "/api/token")}
FORM = b"a=b"
OPEN = {
    ("POST", "/api/login"): 415,
    ("POST", "/api/challenge"): 400,
    ("GET", "/login"): 200,
    ("GET", "/"): 200,
    ("GET", "/static/{name:str}"): 404,
    ("GET", "/static/{folder:str}/{name:str}"): 404,
    ("GET", "/client/{name:str}"): 404,
}
ORIGINS: dict[str, tuple[str, ...]] = {
    "no origin": (),
    "own": ("http://{host}",),
    "configured": (CONFIGURED,),
    "evil": (EVIL,),
    "null": ("null",),
    "prefix": ("http://{host}.evil.example",),
    "suffix": ("http://evil.{host}",),
    "https": ("https://{host}",),
    "empty": ("",),
    "own twice": ("http://{host}", "http://{host}"),
    "own and evil": ("http://{host}", EVIL),
}
GOOD_ORIGINS = ("no origin", "own", "configured")
SITES = (None, "same-origin", "none", "same-site", "cross-site", "")
TOKEN_HEADER = "X-Session-Token"
CREDENTIALS: dict[str, tuple[tuple[str, str], ...]] = {
    "nothing": (),
    "token": ((TOKEN_HEADER, TOKEN),),
    "bearer": (("Authorization", f"bearer {TOKEN}"),),
    "subprotocol": (("Sec-WebSocket-Protocol", f"events.v1, token.{TOKEN}"),),
    "wrong": ((TOKEN_HEADER, "wrong"),),
    "no scheme": (("Authorization", TOKEN),),
    "basic": (("Authorization", f"Basic {TOKEN}"),),
    "token and basic": ((TOKEN_HEADER, TOKEN), ("Authorization", "Basic eDp5")),
    "blanks around": ((TOKEN_HEADER, f" {TOKEN} \t"),),
    "empty": ((TOKEN_HEADER, ""),),
    "non-ascii": ((TOKEN_HEADER, "\xe9\xff"),),
    "twice": ((TOKEN_HEADER, TOKEN), (TOKEN_HEADER, TOKEN)),
    "right and wrong": ((TOKEN_HEADER, TOKEN), (TOKEN_HEADER, "wrong")),
    "disagreeing": ((TOKEN_HEADER, TOKEN), ("Authorization", "Bearer wrong")),
    "cookie alone": (("Cookie", "other=1; {cookie}"),),
    "cookie and key": (("Cookie", "other=1; {cookie}"), (KEY_HEADER, "{key}")),
    "key alone": ((KEY_HEADER, "{key}"),),
    "cookie and wrong key": (("Cookie", "{cookie}"), (KEY_HEADER, "wrong")),
    "cookie, key and basic": (
        *(("Cookie", "{cookie}"), (KEY_HEADER, "{key}")),
        ("Authorization", "Basic eDp5"),
    ),
    "cookie and key as subprotocol": (
        *(("Cookie", "{cookie}"), ("Sec-WebSocket-Protocol", "events.v1, key.{key}")),
    ),
    "cookie and token": (("Cookie", "{cookie}"), (TOKEN_HEADER, TOKEN)),
    "cookie and wrong token": (("Cookie", "{cookie}"), (TOKEN_HEADER, "wrong")),
    "cookie and empty token": (("Cookie", "{cookie}"), ("Authorization", "Bearer ")),
    "stale cookie": (("Cookie", "{name}=stale"), (KEY_HEADER, "{key}")),
    "good and stale cookie": (("Cookie", "{name}=stale; {cookie}"), (KEY_HEADER, "{key}")),
    "cookie of another port": (("Cookie", "sightline_1={value}"), (KEY_HEADER, "{key}")),
    "token as cookie": (("Cookie", "{name}=" + TOKEN), (KEY_HEADER, "{key}")),
}
GOOD_TOKENS = (
    *("token", "bearer", "subprotocol", "blanks around", "cookie and token", "token and basic"),
)
GOOD_LOG_INS = ("cookie and key", "cookie, key and basic", "cookie and key as subprotocol")


def is_let_in(origin: str, site: str | None, credential: str, route: tuple[str, str]) -> bool:
    """The rule of the protocol page, in its own words."""
    method, path = route
    if credential not in GOOD_LOG_INS:
        return credential in GOOD_TOKENS
    if route in TOKEN_ONLY:
        return False
    if method == "GET" and path != "/ws":
        return site in (None, "same-origin", "none")
    return origin != "no origin"


@dataclass
class Client:
    """A client that sends, on one connection, what libraries would not send."""

    gateway: Gateway
    cookie: str
    key: str
    connection: Connection

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.gateway.port}"

    def headers(self, origin: str, site: str | None, credential: str) -> Iterator[tuple[str, str]]:
        name, _, value = self.cookie.partition("=")
        fill = {"host": self.host, "cookie": self.cookie, "name": name, "value": value}
        fill["key"] = self.key
        yield from (("Origin", text.format(**fill)) for text in ORIGINS[origin])
        if site is not None:
            yield "Sec-Fetch-Site", site
        yield from ((key, text.format(**fill)) for key, text in CREDENTIALS[credential])

    async def ask(
        self,
        method: str,
        target: str,
        headers: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...] = (),
        *,
        host: str | None = None,
    ) -> tuple[int, str, bytes]:
        """Status, head and body."""
        given = [("Host", host or self.host), *headers]
        if method == "POST":
            given += [("Content-Length", str(len(FORM)))]
            given += [("Content-Type", "application/x-www-form-urlencoded")]
        body = FORM if method == "POST" else b""
        lines = [f"{method} {target} HTTP/1.1", *(f"{key}: {value}" for key, value in given)]
        sent = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        answer = await self.connection.ask(sent)
        return answer.status, answer.head, answer.body

    async def upgrade(self, headers: Iterator[tuple[str, str]]) -> tuple[int, str, bytes]:
        raw, answer = await self.gateway.open_raw(
            *((key.encode(), value.encode("latin-1")) for key, value in headers)
        )
        raw.close()
        return answer.status, "", answer.body


@pytest.fixture
async def client(start: Start) -> Client:
    gateway = await start(
        allowed_origins=(CONFIGURED,),
        allowed_hosts=("gateway.example", "named.example:9000"),
        max_clients=10_000,
    )
    async with gateway.http() as http:
        ticket = (await http.post("/api/tickets")).json()["ticket"]
        answer = await http.post("/api/login", json={"ticket": ticket})
    cookie = answer.headers["set-cookie"].partition(";")[0]
    connection = Connection(await dial(gateway))
    return Client(gateway, cookie, answer.headers[KEY_HEADER], connection)


def is_refusal(body: bytes, code: str) -> bool:
    error = json.loads(body)
    return set(error) == {"type", "code", "message"} and error["code"] == code


def routes_of(gateway: Gateway) -> set[tuple[str, str]]:
    routes = {
        (str(method), route.path)
        for route in plugin_of(gateway.app).gateway.app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method != "OPTIONS"
    }
    return (routes | {("UPGRADE", "/ws")}) - {("GET", "/api/health")}


@pytest.mark.slow
async def test_every_credential_from_every_page_on_every_route(client: Client) -> None:
    guarded = routes_of(client.gateway) - OPEN.keys()
    assert guarded >= LET_IN.keys()
    wrong = []
    for route, origin, site, credential in itertools.product(
        sorted(guarded), ORIGINS, SITES, CREDENTIALS
    ):
        method, path = route
        if origin not in GOOD_ORIGINS:
            expected, code = 403, "forbidden"
        elif is_let_in(origin, site, credential, route):
            if route not in LET_IN:
                continue  # it may not end by itself; its own tests let somebody in
            expected, code = LET_IN[route], None
        else:
            expected, code = 401, "unauthorized"
        if method == "UPGRADE" and site not in (None, "cross-site"):
            continue  # a connection each: two are enough to see that it plays no part
        headers = client.headers(origin, site, credential)
        if method == "UPGRADE":
            status, _, body = await client.upgrade(headers)
        else:
            target = TARGETS.get(route, path)
            status, _, body = await client.ask(method, target, headers)
        # A refusal of OTLP is a protobuf `Status`: see test_otlp.py.
        is_otlp = path.startswith("/v1/") and origin in GOOD_ORIGINS
        if status != expected or (code and not is_otlp and not is_refusal(body, code)):
            wrong.append((route, origin, site, credential, status, expected))
    assert not wrong
    await until(lambda: client.gateway.registry.taken == 0)


@pytest.mark.slow
async def test_open_routes_ask_for_an_allowed_host_and_origin_alone(client: Client) -> None:
    assert routes_of(client.gateway) >= OPEN.keys()
    for (route, status), origin, credential in itertools.product(
        OPEN.items(), ORIGINS, CREDENTIALS
    ):
        method, path = route
        target = path.replace("{name:str}", "nothing.js")
        got = await client.ask(method, target, client.headers(origin, None, credential))
        assert got[0] == (status if origin in GOOD_ORIGINS else 403), (route, origin, credential)


async def test_an_upgrade_from_a_foreign_origin_is_a_403_that_names_the_setting(
    client: Client,
) -> None:
    for origin in ORIGINS:
        status, _, body = await client.upgrade(client.headers(origin, None, "token"))
        assert status == (101 if origin in GOOD_ORIGINS else 403), origin
        assert status == 101 or b"SIGHTLINE_ALLOWED_ORIGINS" in body


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("LOCALHOST:65535", True),
        ("[::1]:3000", True),
        ("gateway.example", True),
        ("gateway.example:8443", True),
        ("named.example:9000", True),
        ("named.example", False),
        ("named.example:9001", False),
        ("named.example:9000:9001", False),
        ("gateway.example:x", False),
        ("gateway.example:", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:3000", False),
        ("127.0.0.2", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("2130706433", False),
        ("127.0.0.1:x", False),
        ("127.0.0.1:", False),
        ("user@127.0.0.1", False),
        ("notgateway.example", False),
        ("localhost.", False),
    ],
)
async def test_a_host_is_judged_before_anything_else(
    client: Client, host: str, allowed: bool
) -> None:
    for method, path in sorted(LET_IN.keys() | OPEN.keys()):
        if method == "UPGRADE":
            continue
        forwarded = (("X-Forwarded-Host", "127.0.0.1"), ("Forwarded", "host=127.0.0.1"))
        status, _, body = await client.ask(method, path, forwarded, host=host)
        assert (status != 403) == allowed, (method, path)
        assert allowed or is_refusal(body, "forbidden")
        assert allowed or b"SIGHTLINE_ALLOWED_HOSTS" in body
    assert (await client.ask("GET", "/api/health", host=host))[0] == 200
    answer = await client.gateway.refusal(host=host.encode())
    assert answer.status == (401 if allowed else 403)
    raw = (TOKEN_HEADER.encode(), TOKEN.encode())
    assert allowed or (await client.gateway.refusal(raw, host=host.encode())).status == 403


async def test_the_own_origin_is_http_and_the_host_as_it_was_sent(client: Client) -> None:
    port, token = client.gateway.port, (TOKEN_HEADER, TOKEN)
    for host, origin, status in (
        (f"LocalHost:{port}", f"http://LocalHost:{port}", 200),
        (f"LocalHost:{port}", f"http://localhost:{port}", 200),
        (f"localhost:{port}", f"http://127.0.0.1:{port}", 403),
        (f"localhost:{port}", f"http://LOCALHOST:{port}", 403),
        (f"localhost:{port}", f"HTTP://localhost:{port}", 403),
        (f"localhost:{port}", "http://localhost", 403),
        ("localhost", f"http://localhost:{port}", 403),
        ("[::1]:1", "http://[::1]:1", 200),
        ("gateway.example", "http://gateway.example", 200),
        ("gateway.example", "https://gateway.example", 403),
    ):
        headers = (token, ("Origin", origin))
        got = await client.ask("GET", "/api/session", headers, host=host)
        assert got[0] == status, (host, origin)


async def test_a_foreign_forwarded_host_counts_for_nothing(client: Client) -> None:
    forwarded = (("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https"))
    headers = (*forwarded, (TOKEN_HEADER, TOKEN))
    assert (await client.ask("GET", "/api/session", headers))[0] == 200


async def test_an_absolute_target_names_the_host(client: Client) -> None:
    token = (TOKEN_HEADER, TOKEN)
    for target, status in (
        ("http://evil.example/api/session", 403),
        ("http://evil.example", 403),
        (f"http://{client.host}@evil.example/api/session", 403),
        (f"http://{client.host}/api/session", 200),
        ("http://[::1]:3000/api/session", 200),
    ):
        assert (await client.ask("GET", target, (token,)))[0] == status
    own = await client.ask(
        "GET", f"http://{client.host}/api/session", (token,), host="evil.example"
    )
    assert own[0] == 200  # as RFC 9112 wants it: `Host` is ignored
    raw = (TOKEN_HEADER.encode(), TOKEN.encode())
    answer = await client.gateway.refusal(raw, path="http://evil.example/ws")
    assert answer.status == 403


async def test_two_hosts_are_refused(client: Client) -> None:
    headers = (("Host", client.host), (TOKEN_HEADER, TOKEN))
    assert (await client.ask("GET", "/api/session", headers))[0] == 403


async def test_a_token_of_a_megabyte_is_refused_and_one_in_the_query_counts_for_nothing(
    client: Client,
) -> None:
    async with client.gateway.http(headers={TOKEN_HEADER: "x" * 1_000_000}) as http:
        assert 400 <= (await http.get("/api/session")).status_code < 500
    query = f"token={TOKEN}&session_token={TOKEN}&X-Session-Token={TOKEN}"
    assert (await client.ask("GET", f"/api/session?{query}"))[0] == 401
    answer = await client.gateway.refusal(path=f"/ws?{query}")
    assert answer.status == 401


@pytest.mark.parametrize("unsound", ["no key", "short key", "two keys", "version", "origins"])
async def test_a_malformed_handshake_is_refused_in_our_shape_and_order(
    client: Client, unsound: str
) -> None:
    upgrade = [(key.decode(), value.decode()) for key, value in UPGRADE]
    if unsound == "no key":
        upgrade = [pair for pair in upgrade if pair[0] != "Sec-WebSocket-Key"]
    extra = {
        "short key": ("Sec-WebSocket-Key", "AAAA"),
        "two keys": ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        "version": ("Sec-WebSocket-Version", "12"),
        "origins": ("Origin", f"http://{client.host}"),
    }.get(unsound)
    if unsound in ("short key", "version"):
        upgrade = [pair for pair in upgrade if pair[0] != extra[0]]
    if unsound == "origins":
        extra = (extra, extra)
    extra = () if extra is None else extra if isinstance(extra[0], tuple) else (extra,)
    token = (TOKEN_HEADER, TOKEN)
    statuses = []
    for path, headers in (("/nowhere", ()), ("/ws", ()), ("/ws", (token,))):
        connection = Connection(await dial(client.gateway))
        one = Client(client.gateway, client.cookie, client.key, connection)
        status, _, body = await one.ask("GET", path, (*upgrade, *extra, *headers))
        assert set(json.loads(body)) == {"type", "code", "message"}
        statuses.append(status)
    last = 426 if unsound == "version" else 400
    assert statuses == ([403] * 3 if unsound == "origins" else [404, 401, last])


async def test_a_preflight_is_answered_for_a_configured_origin_alone(client: Client) -> None:
    wanted = (
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type,x-session-token"),
    )

    async def ask(origin: str, path: str = "/api/events") -> tuple[int, str]:
        status, head, _ = await client.ask("OPTIONS", path, (("Origin", origin), *wanted))
        return status, head

    status, head = await ask(CONFIGURED)
    assert status == 204
    assert f"access-control-allow-origin: {CONFIGURED}" in head
    assert "access-control-allow-credentials" not in head
    assert "vary: origin" in head
    (methods,) = re.findall(r"access-control-allow-methods: (.*)\r", head)
    assert set(methods.split(", ")) == {"get", "post"}
    (headers,) = re.findall(r"access-control-allow-headers: (.*)\r", head)
    asked = {"authorization", "content-type", "idempotency-key", "last-event-id", TOKEN_HEADER}
    assert set(headers.split(", ")) == {name.lower() for name in asked}

    status, head = await ask(EVIL)
    assert (status, "access-control" in head) == (403, False)
    assert (await ask(CONFIGURED, "/nowhere"))[0] == 404
    status, head = await ask(f"http://{client.host}")
    assert (status, "access-control" in head) == (204, False)
    no_preflight = await client.ask("OPTIONS", "/api/events", (("Origin", CONFIGURED),))
    assert no_preflight[0] == 401


async def test_the_page_of_a_configured_origin_may_read_answers_and_refusals(
    client: Client,
) -> None:
    origin = ("Origin", CONFIGURED)
    for path, headers, status in (
        ("/api/session", ((TOKEN_HEADER, TOKEN),), 200),
        ("/api/session", (), 401),
        ("/api/health", (), 200),
        ("/nowhere", (), 404),
    ):
        got, head, _ = await client.ask("GET", path, (origin, *headers))
        assert got == status
        if path != "/api/health":
            assert head.count(f"access-control-allow-origin: {CONFIGURED}\r\n") == 1
    for foreign in (EVIL, "null", f"http://{client.host}"):
        _, head, _ = await client.ask("GET", "/api/session", (("Origin", foreign),))
        assert "access-control" not in head
