"""No cache may keep what was meant for somebody with a credential, and none may guess its type."""

import pytest

from tests.kit.event_stream import ask
from tests.kit.gateway import Gateway
from tests.kit.http import GOOD, TOKEN, TOKEN_LINE, Answer, dial, request, rest

PUBLIC = ("/", "/login", "/static/", "/client/")  # pages and scripts, without a secret


def paths(gateway: Gateway) -> list[str]:
    (plugin,) = [p for p in gateway.app.plugins if hasattr(p, "gateway")]
    found = [route.path for route in plugin.gateway.app.routes]
    assert len(found) > 12
    return [path for path in found if not path.startswith(PUBLIC[2:]) and path not in PUBLIC]


def is_private(headers: dict[str, str]) -> bool:
    directives = headers.get("cache-control", "").split(", ")
    return "no-store" in directives and headers.get("x-content-type-options") == "nosniff"


@pytest.mark.slow
async def test_every_answer_behind_a_credential_is_private_also_its_refusals(
    gateway: Gateway,
) -> None:
    await gateway.publish(3)
    endless = ("/api/events/stream", "/api/agui/{thread_id:str}")
    private = [path for path in paths(gateway) if path not in endless]
    async with gateway.http(headers={}) as http:
        for path in [*private, "/nowhere", "/static/nothing.js", "/api/events?limit=0"]:
            for headers in ({}, {"X-Session-Token": TOKEN}, {"Host": "evil.example"}):
                for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
                    answer = await http.request(method, path, headers=headers)
                    assert is_private(answer.headers), (method, path, answer.status_code)


async def test_a_stream_is_private_and_is_not_to_be_transformed(gateway: Gateway) -> None:
    head = await (await ask(gateway, GOOD)).head()
    assert is_private(head.headers)
    assert head.headers["cache-control"] == "no-store, no-transform"
    assert is_private((await (await ask(gateway)).head()).headers)


async def test_refused_upgrades_are_private(gateway: Gateway) -> None:
    for answer in (
        await gateway.refusal(),
        await gateway.refusal(GOOD, path="/ws?types=Bad"),
        await gateway.refusal(GOOD, path="/nowhere"),
        await gateway.refusal(GOOD, host=b"evil.example"),
    ):
        assert is_private(answer.headers)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        request(TOKEN_LINE, b"X-Big: " + b"a" * 10_000),
        request(TOKEN_LINE, b"Transfer-Encoding: gzip, chunked"),
    ],
)
async def test_what_is_refused_before_the_application_is_private(
    gateway: Gateway, sent: bytes
) -> None:
    assert is_private(Answer(await rest(await dial(gateway, sent))).headers)


async def test_pages_are_asked_for_again_each_time(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for path in ("/", "/login", "/static/login.js", "/client/sightline.js"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert "no-cache" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
