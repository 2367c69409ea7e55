"""A hub and a leaf of NATS with JetStream domains of their own: one publish, one stream, one number."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import nats
import pytest
from nats.errors import NoRespondersError

from app.channels.nats import backend as module, domains
from app.channels.nats.bucket import BucketValue
from app.errors import SettingsError
from app.settings import Settings
from tests.contract.conftest import MakeRig
from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S, until
from tests.nats_server import NatsServer

SUBJECTS = ["sightline.events.*.*"]


class Servers(NamedTuple):
    hub: NatsServer
    leaf: NatsServer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("domains")
    (port,) = free_ports(1)
    texts = {
        "hub": f'leafnodes {{ host: "127.0.0.1", port: {port} }}',
        "leaf": f'leafnodes {{ remotes: [{{ url: "nats-leaf://127.0.0.1:{port}" }}] }}',
    }
    for name, text in texts.items():
        store = f'jetstream {{ domain: {name}, store_dir: "{folder / name}" }}'
        (folder / f"{name}.conf").write_text(f"server_name: {name}\n{store}\n{text}\n")
    servers = Servers(
        *(NatsServer(None, None, "-c", str(folder / f"{name}.conf")) for name in texts)
    )
    for server in servers:
        server.ready()
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
async def servers(running: Servers) -> AsyncIterator[Servers]:
    """Both, linked, without streams."""
    yield running
    for server in running:
        client = await nats.connect(server.url)
        for found in await client.jetstream().streams_info():
            await client.jetstream().delete_stream(found.config.name)
        await client.close()


@pytest.fixture(autouse=True)
async def _are_linked(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "PROBE_S", 0.3)
    monkeypatch.setattr(module, "START_WAIT_S", 8)
    client = await nats.connect(servers.leaf.url)
    async with asyncio.timeout(WATCHDOG_S):
        while True:
            try:
                await client.request("$JS.hub.API.INFO", b"", timeout=1)
                break
            except (NoRespondersError, TimeoutError):  # the leaf is still connecting
                await client.flush()
    await client.close()


async def make_stream(server: NatsServer, name: str) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name=name, subjects=SUBJECTS)
    await client.close()


async def streams(server: NatsServer) -> list[str]:
    client = await nats.connect(server.url)
    found = [info.config.name or "" for info in await client.jetstream().streams_info()]
    await client.close()
    return found


async def test_with_the_domain_set_gateways_at_hub_and_leaf_share_one_stream(
    servers: Servers, make_rig: MakeRig, stream_name: str
) -> None:
    at_leaf = await make_rig(servers.leaf.url, nats_domain="hub")
    at_hub = await make_rig(servers.hub.url, nats_domain="hub")
    assert at_leaf.bus.epoch == at_hub.bus.epoch
    await asyncio.gather(at_leaf.publish(100), at_hub.publish(100))
    await until(lambda: at_leaf.bus.head == at_hub.bus.head == 200)
    assert (await streams(servers.hub), await streams(servers.leaf)) == ([stream_name], [])
    assert (at_leaf.restarts, at_hub.restarts) == ([], [])


async def test_a_second_stream_in_another_domain_is_not_made(
    servers: Servers, make_rig: MakeRig
) -> None:
    one = await make_rig(servers.hub.url)
    with pytest.raises(SettingsError, match=r"kept by 2 streams .*SIGHTLINE_NATS_DOMAIN"):
        await make_rig(servers.leaf.url)
    assert await streams(servers.leaf) == []
    assert await one.publish(3) == [1, 2, 3]


@pytest.mark.parametrize("domain", [None, "hub"])
async def test_an_account_in_which_two_streams_take_the_events_is_refused(
    servers: Servers, make_rig: MakeRig, stream_name: str, domain: str | None
) -> None:
    for server in servers:
        await make_stream(server, stream_name)
    with pytest.raises(SettingsError) as caught:
        await make_rig(servers.leaf.url, nats_domain=domain)
    said = str(caught.value)
    assert f"kept by 2 streams ('{stream_name}', '{stream_name}')" in said
    assert "delete the stream in each other one" in said
    client = await nats.connect(servers.hub.url)
    info = await client.jetstream().stream_info(stream_name)
    assert info.state.messages == 0  # looking has left nothing behind
    await client.close()


async def test_the_answer_of_a_stream_created_later_is_never_used_as_a_number(
    servers: Servers, make_rig: MakeRig
) -> None:
    rig = await make_rig(servers.leaf.url, nats_domain="hub")
    await rig.publish(2)
    await make_stream(servers.leaf, "late")  # nearer than ours, so it answers first
    assert await rig.publish(3) == [3, 4, 5]
    assert rig.restarts == []


async def test_a_domain_that_is_not_there_is_said(
    servers: Servers, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_WAIT_S", 1)
    with pytest.raises(SettingsError, match=r"domain 'nowhere' answers: correct SIGHTLINE_NATS_D"):
        await make_rig(servers.leaf.url, nats_domain="nowhere")
    assert await streams(servers.leaf) == []


async def test_tokens_are_in_the_bucket_of_the_domain_for_both_sides(
    servers: Servers, stream_name: str
) -> None:
    values = [
        BucketValue(
            Settings(
                tokens="nats", nats_url=server.url, nats_domain="hub", nats_stream=stream_name
            ),
            "tokens",
            "tokens",
        )
        for server in (servers.leaf, servers.hub)
    ]
    at_leaf, at_hub = values
    try:
        assert await at_leaf.write(b"one", 0)
        first = await at_hub.read()
        assert first is not None
        assert first.body == b"one"
        assert not await at_hub.write(b"two", 0)
        assert await at_hub.write(b"two", first.revision)
        newest = await at_leaf.read()
        assert newest is not None
        assert newest.body == b"two"
    finally:
        for value in values:
            await value.close()
    assert await streams(servers.hub) == [f"KV_{stream_name}_tokens"]
    assert await streams(servers.leaf) == []
