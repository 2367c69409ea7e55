"""Named tokens that three gateways share on NATS: what ends, ends at each of them."""

import asyncio
import json

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.cluster.conftest import Fleet, GatewayProcess, admitted, holds, sightline_token

ENDED = 4401


def run(url: str, *words: str) -> str:
    done = sightline_token(url, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def token(url: str, words: str) -> str:
    return await asyncio.to_thread(run, url, *words.split())


class Holder:
    """A WebSocket and an event stream of one token at one gateway."""

    def __init__(self, gateway: GatewayProcess, secret: str) -> None:
        self._gateway = gateway
        self._headers = {"X-Session-Token": secret}
        self.events: list[str] = []
        self.open = asyncio.Event()
        self.stream_open = asyncio.Event()
        self.socket = asyncio.create_task(self._hold())
        self.stream = asyncio.create_task(self._hold_stream())

    async def _hold(self) -> int | None:
        async with self._gateway.socket(additional_headers=self._headers) as socket:
            try:
                while True:
                    self.events.append(json.loads(await socket.recv())["type"])
                    self.open.set()
            except ConnectionClosed:
                return socket.close_code

    async def _hold_stream(self) -> str:
        text = ""
        async with (
            self._gateway.http(timeout=None) as http,
            http.stream("GET", "/api/events/stream", headers=self._headers) as answer,
        ):
            async for piece in answer.aiter_text():
                text += piece
                self.stream_open.set()
        return text

    async def started(self) -> "Holder":
        await self.open.wait()
        await self.stream_open.wait()
        return self

    async def ended(self) -> int | None:
        """The close code, once both have ended."""
        await self.stream
        return await self.socket


async def refused_everywhere(gateways: list[GatewayProcess], secret: str) -> None:
    for gateway in gateways:
        async with gateway.http() as http:
            answer = await http.get("/api/session", headers={"X-Session-Token": secret})
        assert answer.status_code == 401
        with pytest.raises(InvalidStatus):
            await gateway.socket(additional_headers={"X-Session-Token": secret})


async def test_a_token_that_is_revoked_or_rotated_ends_at_every_gateway(fleet: Fleet) -> None:
    url = fleet.nats().url
    gateways = await fleet.start(3, url, TOKENS="nats")
    dash = await token(url, "create --name dash --scope read")
    kept = await token(url, "create --name kept --scope read")
    await admitted(gateways, kept)
    holders = [await Holder(gateway, dash).started() for gateway in gateways]
    others = [await Holder(gateway, kept).started() for gateway in gateways]
    async with asyncio.timeout(60):
        await token(url, "revoke dash")
        assert [await holder.ended() for holder in holders] == [ENDED] * 3
        await refused_everywhere(gateways, dash)
        assert not any(other.socket.done() or other.stream.done() for other in others)
        new = await token(url, "rotate kept")
        assert [await other.ended() for other in others] == [ENDED] * 3
    await refused_everywhere(gateways, kept)
    await admitted(gateways, new)


async def test_while_nats_is_away_tokens_go_on_and_expire_and_afterwards_a_revoked_one_ends(
    fleet: Fleet,
) -> None:
    server = fleet.nats()
    url = server.url
    gateways = await fleet.start(2, url, TOKENS="nats")
    dash = await token(url, "create --name dash --scope read")
    await admitted(gateways, dash)
    staying = [await Holder(gateway, dash).started() for gateway in gateways]
    brief = await token(url, "create --name brief --scope read --expires 30s")
    await admitted(gateways, brief)
    expiring = [await Holder(gateway, brief).started() for gateway in gateways]
    server.kill()
    async with asyncio.timeout(60):
        assert [await holder.ended() for holder in expiring] == [ENDED] * 2
        await holds(lambda: all("tokens_unreadable" in gateway.log() for gateway in gateways))
    assert not any(it.socket.done() or it.stream.done() for it in staying)
    await admitted(gateways, dash)
    server.start()
    server.ready()
    async with asyncio.timeout(60):
        await token(url, "revoke dash")
        assert [await holder.ended() for holder in staying] == [ENDED] * 2


async def test_the_gateways_sign_alike_with_the_tokens_name(fleet: Fleet) -> None:
    url = fleet.nats().url
    first, second = await fleet.start(2, url, TOKENS="nats")
    ci = await token(url, "create --name ci --scope publish --types load.*")
    await admitted([first, second], ci)
    async with first.socket("?types=load.*") as socket, asyncio.timeout(40):
        await socket.recv()
        for gateway, secret in ((first, ci), (second, ci), (second, None)):
            async with gateway.http() as http:
                headers = {} if secret is None else {"X-Session-Token": secret}
                body = {"type": "load.tick", "data": {"n": 1}, "metadata": {"publisher": "me"}}
                answer = await http.post("/api/events", json=body, headers=headers)
                assert answer.status_code == 201
        signed = [json.loads(await socket.recv())["metadata"]["publisher"] for _ in range(3)]
        async with second.http() as http:
            body = {"type": "git.commit_created", "data": {}}
            answer = await http.post("/api/events", json=body, headers={"X-Session-Token": ci})
    assert signed == ["ci", "ci", "session"]
    assert answer.status_code == httpx.codes.FORBIDDEN
