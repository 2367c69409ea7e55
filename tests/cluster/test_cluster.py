"""Many gateways on one stream, and what goes wrong around them: the sum is exact every time."""

import nats

from tests.cluster.conftest import Fleet, Proxy, holds, settle
from tests.nats_server import nats_cluster

ENOUGH = 150  # acknowledged publishes between two things that happen


async def test_three_gateways_give_all_clients_one_order(fleet: Fleet) -> None:
    gateways = await fleet.start(3, fleet.nats().url)
    clients = await fleet.follow(gateways, 9)
    load = fleet.publish(gateways)
    await load.reaches(3 * ENOUGH)
    await settle(load, clients)
    assert load.refused == []
    assert all(not client.gaps and not client.left for client in clients)


async def test_the_clients_of_a_killed_gateway_resume_on_the_others(fleet: Fleet) -> None:
    gateways = await fleet.start(3, fleet.nats().url)
    clients = await fleet.follow(gateways)
    load = fleet.publish(gateways)
    await load.reaches(ENOUGH)
    victim = clients[0].gateway
    assert victim is not None
    await victim.kill()
    await load.reaches(ENOUGH)
    (fresh,) = await fleet.start(1, fleet.servers[0].url)
    gateways[gateways.index(victim)] = fresh
    await load.reaches(ENOUGH)
    await settle(load, clients)
    assert all(not client.gaps and not client.left for client in clients)


async def test_nats_killed_and_started_again_loses_nothing(fleet: Fleet) -> None:
    server = fleet.nats()
    gateways = await fleet.start(2, server.url)
    clients = await fleet.follow(gateways)
    load = fleet.publish(gateways)
    await load.reaches(ENOUGH)
    server.kill()
    await holds(lambda: all(client.notices == ["backend_away"] for client in clients))
    assert not (await gateways[0].session())["backend"]["connected"]
    server.start()
    await holds(lambda: all(c.notices == ["backend_away", "backend_back"] for c in clients))
    await load.reaches(ENOUGH)
    await settle(load, clients)
    assert all(not c.gaps and not c.left and not c.closes[:-1] for c in clients)


async def test_a_frozen_nats_is_waited_for_and_clients_stay(fleet: Fleet) -> None:
    server = fleet.nats()
    gateways = await fleet.start(2, server.url, NATS_PUBLISH_WAIT_S="2")
    clients = await fleet.follow(gateways)
    load = fleet.publish(gateways)
    await load.reaches(ENOUGH)
    server.freeze()
    await holds(lambda: load.refused and all(c.notices == ["backend_away"] for c in clients))
    assert all("published" in why for why in load.refused)
    server.thaw()
    await load.reaches(ENOUGH)
    await settle(load, clients)
    assert all(client.notices[:2] == ["backend_away", "backend_back"] for client in clients)
    assert all(not c.gaps and not c.left and not c.closes[:-1] for c in clients)


async def test_a_stream_made_again_is_another_epoch_for_everybody(fleet: Fleet) -> None:
    server = fleet.nats()
    gateways = await fleet.start(2, server.url)
    clients = await fleet.follow(gateways)
    load = fleet.publish(gateways)
    await load.reaches(ENOUGH)
    old = clients[0].epoch
    administrator = await nats.connect(server.url)
    await administrator.jetstream().delete_stream("sightline")
    await administrator.close()
    await holds(lambda: all(client.epoch != old for client in clients))
    await load.reaches(ENOUGH)
    await settle(load, clients)
    for client in clients:
        assert client.left == [old]
        assert 1012 in client.closes


async def test_a_cluster_whose_leader_is_killed_loses_nothing_that_was_acknowledged(
    fleet: Fleet,
) -> None:
    fleet.servers = nats_cluster(fleet.folder)
    for server in fleet.servers:
        server.ready()
    urls = ",".join(server.url for server in fleet.servers)
    gateways = await fleet.start(2, urls, NATS_REPLICAS="3")
    clients = await fleet.follow(gateways)
    load = fleet.publish(gateways)
    await load.reaches(ENOUGH)
    administrator = await nats.connect([server.url for server in fleet.servers])
    leader = (await administrator.jetstream().stream_info("sightline")).cluster.leader
    await administrator.close()
    fleet.servers[int(leader.removeprefix("n"))].kill()
    await load.reaches(ENOUGH, 90)
    await settle(load, clients)
    assert all(not client.gaps and not client.left for client in clients)


async def test_a_gateway_cut_off_from_nats_keeps_its_clients_and_catches_up(fleet: Fleet) -> None:
    server = fleet.nats()
    async with Proxy(server.port) as proxy:
        (near,) = await fleet.start(1, server.url)
        (cut_off,) = await fleet.start(1, f"nats://127.0.0.1:{proxy.port}")
        clients = [*await fleet.follow([near], 3), *await fleet.follow([cut_off], 3)]
        load = fleet.publish([near])
        await load.reaches(ENOUGH)
        proxy.cut()
        await holds(lambda: all(c.notices == ["backend_away"] for c in clients[3:]))
        await load.reaches(ENOUGH)
        proxy.mend()
        await holds(lambda: all("backend_back" in c.notices for c in clients[3:]))
        await load.reaches(ENOUGH)
        await settle(load, clients)
        assert all(not client.notices for client in clients[:3])
        assert all(not c.gaps and not c.left and not c.closes[:-1] for c in clients)


async def test_a_frozen_gateway_holds_up_nobody_and_catches_up(fleet: Fleet) -> None:
    server = fleet.nats()
    fast, slow = await fleet.start(2, server.url)
    clients = [*await fleet.follow([fast], 3), *await fleet.follow([slow], 3)]
    load = fleet.publish([fast])
    await load.reaches(ENOUGH)
    slow.freeze()
    await load.reaches(4 * ENOUGH)
    assert clients[0].position > clients[3].position
    slow.thaw()
    await load.reaches(ENOUGH)
    await settle(load, clients)
    assert all(not client.gaps and not client.left for client in clients)


async def test_clients_that_were_away_too_long_hear_exactly_what_they_lost(fleet: Fleet) -> None:
    server = fleet.nats()
    stays, goes = await fleet.start(2, server.url, REPLAY_LIMIT="50")
    home = [goes]
    clients = [*await fleet.follow([stays], 2), *await fleet.follow(home, 4)]
    load = fleet.publish([stays])
    await load.reaches(ENOUGH)
    await goes.kill()
    await load.reaches(2 * ENOUGH)
    home[0] = stays
    await load.reaches(ENOUGH)
    await settle(load, clients)
    for client in clients[2:]:
        ((_, first, last, dropped),) = client.gaps
        assert first is not None
        assert last is not None
        assert dropped == last - first + 1 >= ENOUGH
    assert not any(client.gaps for client in clients[:2])
