"""All identities beside each other at one gateway: named tokens, a console by header, a publisher by JWT."""

import asyncio
import json
import time
from pathlib import Path

from app.auth.named import revoke, rotate
from app.auth.token_file import editing
from tests.kit import issuer
from tests.kit.gateway import Gateway, Start, url
from tests.kit.issuer import claims, jwk_of, jwks, rsa_key, signed
from tests.kit.messages import close_code, receive
from tests.kit.tokens import add_token


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def publish(gateway: Gateway, caller: dict[str, str], type_: str) -> int:
    """The status of a publish."""
    async with gateway.http(headers=caller) as http:
        body = {"type": type_, "data": {}, "metadata": {"publisher": "somebody"}}
        return (await http.post("/api/events", json=body)).status_code


async def test_tokens_a_console_by_header_and_a_publisher_by_jwt_with_revocation_and_rotation(
    start: Start, tmp_path: Path
) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_bytes(jwks(jwk_of(rsa_key(), "one")))
    gateway = await start(
        extra_namespaces=("build", "deploy"),
        trusted_user_header="X-Forwarded-User",
        trusted_proxies=("127.0.0.1",),
        trusted_users=("ada=admin", "*=read:build.*"),
        jwt_jwks=str(keys),
        **issuer.SETTINGS,
    )
    folder, refresh = gateway.settings.state_dir, gateway.app.state.keyring.token_store.refresh
    ci = await asyncio.to_thread(add_token, folder, "ci", "read", "publish", read=("build.*",))
    dash = await asyncio.to_thread(add_token, folder, "dash", "read", read=("deploy.*",))
    await refresh()
    said = {"scope": "sightline:publish", "sightline_publish": ["deploy.*"]}
    robot = bearer(signed(claims(time.time(), subject="robot", **said)))
    page = {"X-Forwarded-User": "bob", "Origin": url(gateway)}
    owner = {"X-Forwarded-User": "ada", "Origin": url(gateway)}

    async with gateway.http(headers=page) as http:
        assert "log-out" in (await http.get("/")).text
    readers = {
        "ci": await gateway.connect(token=ci),
        "dash": await gateway.connect(token=dash),
        "console": await gateway.connect(token=None, headers=list(page.items())),
        "owner": await gateway.connect(
            "?types=build.*,deploy.*", token=None, headers=list(owner.items())
        ),
    }
    shown = {name: (await receive(client))["types"] for name, client in readers.items()}
    assert shown == {
        "ci": ["build.*"],
        "dash": ["deploy.*"],
        "console": ["build.*"],
        "owner": ["build.*", "deploy.*"],
    }

    assert await publish(gateway, robot, "deploy.done") == 201
    assert await publish(gateway, bearer(ci), "build.done") == 201
    for caller, type_ in (
        (robot, "build.done"),
        (bearer(dash), "deploy.done"),
        (page, "build.done"),
    ):
        assert await publish(gateway, caller, type_) == 403
    expected = [("deploy.done", "jwt:robot"), ("build.done", "ci")]

    async def got(name: str, count: int) -> list[tuple[str, str]]:
        events = [await receive(readers[name]) for _ in range(count)]
        return [(event["type"], event["metadata"]["publisher"]) for event in events]

    assert await got("owner", 2) == expected
    assert await got("dash", 1) == expected[:1]
    assert await got("ci", 1) == await got("console", 1) == expected[1:]

    with editing(folder) as (tokens, write):
        write(revoke(tokens, "dash"))
    await refresh()
    assert await close_code(readers["dash"]) == 4401
    with editing(folder) as (tokens, write):
        changed, new = rotate(tokens, "ci", time.time(), None)
        write(changed)
    await refresh()
    assert await close_code(readers["ci"]) == 4401
    assert await publish(gateway, bearer(ci), "build.done") == 401
    assert await publish(gateway, bearer(dash), "build.done") == 401
    assert await publish(gateway, bearer(new), "build.done") == 201
    assert await publish(gateway, robot, "deploy.done") == 201  # nobody else has noticed
    assert await got("console", 1) == [("build.done", "ci")]
    assert await got("owner", 2) == [("build.done", "ci"), ("deploy.done", "jwt:robot")]

    async with gateway.http(headers=owner) as http:
        found = (await http.get("/api/events?types=system.audit")).json()["events"]
    actions = [(event["data"]["action"], event["data"].get("identity")) for event in found]
    for action in (
        ("token_made", "ci"),
        ("user_seen", "user:bob"),
        ("user_seen", "user:ada"),
        ("token_used", "jwt:robot"),
        ("refused", "jwt:robot"),
        ("refused", "user:bob"),
        ("token_revoked", "dash"),
        ("token_rotated", "ci"),
    ):
        assert action in actions
    everything = json.dumps(found)
    for secret in (ci, new, dash, robot["Authorization"].removeprefix("Bearer ")):
        assert secret not in everything
    for name in ("console", "owner"):
        await readers[name].close()
