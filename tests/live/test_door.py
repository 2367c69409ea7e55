"""Access over real sockets: which requests are accepted, and how the others are refused."""

import asyncio
import json
import statistics

import pytest

from tests.kit.gateway import Gateway, Start
from tests.kit.http import GOOD, TOKEN
from tests.kit.messages import receive
from tests.kit.waiting import until


async def test_connected_comes_first_and_in_under_100_ms(gateway: Gateway) -> None:
    took = []
    loop = asyncio.get_running_loop()
    for _ in range(5):
        began = loop.time()
        async with gateway.connect() as client:
            message = await receive(client)
            took.append(loop.time() - began)
        assert message["type"] == "connected"
        assert message["protocol"] == "events.v1"
        assert message["types"] == ["*"]
        assert (message["resumed"], message["replayed"]) == (False, 0)
        assert (message["epoch"], message["sequence_number"]) == (gateway.bus.epoch, 0)
        assert message["heartbeat_interval_s"] == 20
        assert message["limits"] == {
            "max_clients": 10,
            "queue_size": 1000,
            "replay_limit": 100,
            "replay_window_s": 30,
            "max_message_bytes": 65536,
            "max_event_bytes": 262144,
        }
    assert statistics.median(took) < 0.1


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"X-Session-Token", b"wrong-wrong-wrong-wrong"),),
        ((b"X-Session-Token", "ключ-ключ-ключ".encode()),),
        ((b"X-Session-Token", b"\xff\xfe"),),
        (GOOD, GOOD),
        (GOOD, (b"Authorization", b"Bearer wrong-wrong-wrong")),
        ((b"Authorization", b"Bearer \xe9"),),
        ((b"Sec-WebSocket-Protocol", b"events.v1, token.wrong-wrong-wrong"),),
    ],
    ids=["missing", "wrong", "utf8", "bytes", "twice", "contradicted", "bearer", "subprotocol"],
)
async def test_without_one_good_credential_the_upgrade_is_a_401_that_says_why(
    gateway: Gateway, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    answer = await gateway.refusal(*headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.error["code"] == "unauthorized"
    assert "token" in answer.error["message"]
    assert gateway.registry.taken == 0


async def test_no_token_right_or_wrong_gets_into_the_log(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start(log_level="debug")
    wrong = "mistyped-secret-0123456789"
    await gateway.refusal((b"X-Session-Token", wrong.encode()))
    await gateway.refusal((b"Authorization", b"Bearer " + wrong.encode()))
    await gateway.refusal((b"Sec-WebSocket-Protocol", b"events.v1, token." + wrong.encode()))
    await gateway.refusal(path=f"/ws?token={wrong}")
    offer = (b"Sec-WebSocket-Protocol", f"events.v1, token.{TOKEN}".encode())
    for good in (GOOD, offer):  # bare sockets: a client library's own debug log would show it
        raw, answer = await gateway.open_raw(good)
        assert answer.status == 101
        raw.close()
    await gateway.stop()
    out, err = capfd.readouterr()
    assert "refused" in err
    assert TOKEN not in out + err
    assert wrong not in out + err


async def test_a_bearer_token_lets_in(gateway: Gateway) -> None:
    async with gateway.connect(
        token=None, headers=[("Authorization", f"Bearer {TOKEN}")]
    ) as client:
        assert (await receive(client))["type"] == "connected"
        assert client.subprotocol is None


async def test_a_token_as_subprotocol_lets_in_and_the_server_answers_events_v1_alone(
    gateway: Gateway,
) -> None:
    offer = (b"Sec-WebSocket-Protocol", f"events.v1, token.{TOKEN}".encode())
    _, answer = await gateway.open_raw(offer)
    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] == "events.v1"


async def test_refusals_come_in_the_order_403_404_401_400(gateway: Gateway) -> None:
    malformed = "?types=Bad"
    foreign = await gateway.refusal(path=f"/nowhere{malformed}", host=b"evil.example")
    unknown = await gateway.refusal(path=f"/nowhere{malformed}")
    stranger = await gateway.refusal(path=f"/ws{malformed}")
    known = await gateway.refusal(GOOD, path=f"/ws{malformed}")
    answers = (foreign, unknown, stranger, known)
    assert [answer.status for answer in answers] == [403, 404, 401, 400]
    codes = [answer.error["code"] for answer in answers]
    assert codes == ["forbidden", "not_found", "unauthorized", "invalid_pattern"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("types=git.*,,chat.*", ()),
        ("types=Git.*", ()),
        ("types=a.b.c", ()),
        ("types=" + ",".join(f"n.t{i}" for i in range(257)), ()),
        ("types=*&types=git.*", ()),
        ("client_id=", ()),
        ("client_id=a%20b", ()),
        ("client_id=" + "a" * 65, ()),
        ("client_id=a", ((b"X-Client-Id", b"b"),)),
        ("last_sequence_number=-1", ()),
        ("last_sequence_number=1.5", ()),
        ("last_sequence_number=", ()),
        ("last_sequence_number=9007199254740992", ()),
        ("last_sequence_number=1", ((b"X-Last-Sequence", b"2"),)),
        ("epoch=e", ()),
        ("epoch=%20&last_sequence_number=1", ()),
    ],
)
async def test_a_malformed_upgrade_is_a_400_and_takes_no_place(
    gateway: Gateway, query: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    answer = await gateway.refusal(GOOD, *headers, path=f"/ws?{query}")
    assert answer.status == 400
    assert answer.error["message"]
    assert gateway.registry.taken == gateway.bus.subscriptions == 0


async def test_the_same_value_twice_and_unknown_parameters_are_fine(gateway: Gateway) -> None:
    query = "?client_id=a&client_id=a&last_sequence_number=0&colour=red"
    headers = [("X-Client-Id", "a"), ("X-Last-Sequence", "0")]
    async with gateway.connect(query, headers=headers) as client:
        connected = await receive(client)
    assert connected["client_id"] == "a"
    assert connected["resumed"] is True


async def test_the_eleventh_is_a_503_with_retry_after_and_gets_the_first_free_place(
    gateway: Gateway,
) -> None:
    clients = [await gateway.connect() for _ in range(10)]
    answer = await gateway.refusal(GOOD)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "10" in answer.error["message"]
    await clients[0].close()
    await until(lambda: gateway.registry.taken == 9)
    async with gateway.connect() as client:
        assert (await receive(client))["type"] == "connected"
    for client in clients:
        await client.close()


async def test_a_plain_get_of_ws_is_a_426_but_only_with_a_good_credential(
    gateway: Gateway,
) -> None:
    async with gateway.http() as http:
        good = await http.get("/ws")
        bad = await http.get("/ws", headers={"X-Session-Token": "wrong-wrong-wrong-wrong"})
    assert good.status_code == 426
    assert good.headers["upgrade"] == "websocket"
    assert set(good.json()) == {"type", "code", "message"}
    assert bad.status_code == 401


async def test_a_plain_get_of_ws_is_refused_in_the_order_of_an_upgrade(start: Start) -> None:
    gateway = await start(max_clients=1)
    async with gateway.http() as http, gateway.connect("?client_id=me") as client:
        await receive(client)
        statuses = [
            (await http.get(f"/ws?{query}")).status_code
            for query in ("types=Bad", "last_sequence_number=x", "client_id=other", "client_id=me")
        ]
        assert statuses == [400, 400, 503, 426]
        gateway.app.state.begin_drain()
        assert (await http.get("/ws?client_id=me")).status_code == 503


async def test_http_refuses_in_the_same_order_and_shape(gateway: Gateway) -> None:
    async with gateway.http(headers={}) as http:
        foreign = await http.get("/nowhere", headers={"Host": "evil.example"})
        unknown = await http.get("/nowhere")
        stranger = await http.get("/api/events?limit=0")
        known = await http.get("/api/events?limit=0", headers={"X-Session-Token": TOKEN})
    answers = (foreign, unknown, stranger, known)
    assert [answer.status_code for answer in answers] == [403, 404, 401, 400]
    assert all(set(answer.json()) == {"type", "code", "message"} for answer in answers)
    assert stranger.headers["www-authenticate"] == "Bearer"


async def test_a_stock_uvicorn_protocol_works_too_and_is_logged_once(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start(ws="websockets-sansio")
    assert (await gateway.refusal()).status == 401
    for number in (1, 2):
        async with gateway.connect() as client:
            await receive(client)
            await gateway.publish()
            assert (await receive(client))["sequence_number"] == number
            await client.send('{"type":"ping","id":1}')
            assert (await receive(client))["id"] == 1
    await until(lambda: gateway.registry.taken == gateway.bus.subscriptions == 0)
    assert capfd.readouterr().err.count("not configured by `litestar run`") == 1


async def test_a_wrong_method_is_a_401_without_a_credential_and_a_405_with_one(
    gateway: Gateway,
) -> None:
    async with gateway.http(headers={}) as http:
        assert (await http.delete("/api/events")).status_code == 401
    async with gateway.http() as http:
        answer = await http.delete("/api/events")
        assert answer.status_code == 405
        allowed = set(answer.headers["allow"].split(", "))
        assert allowed == {"GET", "POST", "OPTIONS"}
        assert all(method in answer.json()["message"] for method in allowed)
        assert set((await http.post("/ws")).headers["allow"].split(", ")) == {"GET", "OPTIONS"}


async def test_an_upgrade_of_a_path_that_is_no_websocket_is_a_404(gateway: Gateway) -> None:
    assert (await gateway.refusal(path="/api/events")).status == 404


async def test_a_refused_upgrade_is_logged_with_its_reason_and_peer(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    raw, answer = await gateway.open_raw(path="/ws?types=a%0Ab")
    assert answer.status == 401
    host, port = raw.getsockname()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (refused,) = [line for line in lines if line["event"] == "refused"]
    assert (refused["status"], refused["reason"]) == (401, "UnauthorizedError")
    assert (refused["peer"], refused["path"]) == (f"{host}:{port}", "/ws")


ROUTES = ["/ws", "/api/events", "/api/catalog", "/api/session"]


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_refuses_strangers_and_foreign_hosts_and_origins(
    gateway: Gateway, path: str
) -> None:
    async with gateway.http() as http:
        for method in ("GET", "POST"):
            for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
                answer = await http.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            answer = await http.request(method, path, headers={"X-Session-Token": "wrong"})
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_while_shutting_down_publishing_and_connecting_are_a_503_with_retry_after(
    gateway: Gateway,
) -> None:
    event = {"type": "chat.message_sent", "data": {"role": "user", "content": "x"}}
    gateway.app.state.begin_drain()
    async with gateway.http() as http:
        published = await http.post("/api/events", json=event)
    upgrade = await gateway.refusal(GOOD)
    for answer in (published, upgrade):
        status = answer.status if answer is upgrade else answer.status_code
        assert status == 503
        assert int(answer.headers["retry-after"]) > 0
