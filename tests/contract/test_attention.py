"""The watchers of agents over each backend: one alarm, however many gateways find it."""

import asyncio

from app.attention.watcher import AttentionWatcher
from tests.contract.conftest import MakeRig, Rig
from tests.kit.waiting import until
from tests.support import FakeClock

ERROR = ("agent.error", {"session_id": "s", "error": "rate_limit"})


def watcher_of(rig: Rig, clock: FakeClock) -> AttentionWatcher:
    return AttentionWatcher(rig.bus, rig.publisher, clock, None)


async def test_three_gateways_publish_one_alarm_for_one_failure_and_one_silence(
    make_rig: MakeRig, log_url: str | None
) -> None:
    count = 1 if log_url is None else 3
    rigs = [await make_rig(log_url) for _ in range(count)]
    clocks = [FakeClock(rig.bus.clock.monotonic()) for rig in rigs]
    watchers = [watcher_of(rig, clock) for rig, clock in zip(rigs, clocks, strict=True)]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(watcher.run()) for watcher in watchers]
        await until(lambda: all(watcher.idle for watcher in watchers))
        await rigs[0].publisher.publish(*ERROR)
        await until(
            lambda: all(rig.bus.head == 2 and w.idle for rig, w in zip(rigs, watchers, strict=True))
        )
        await rigs[-1].publisher.publish("agent.turn_started", {"session_id": "s"})
        await until(
            lambda: all(rig.bus.head == 3 and w.idle for rig, w in zip(rigs, watchers, strict=True))
        )
        for clock in clocks:
            clock.advance(601)
        await until(lambda: all(rig.bus.head == 4 for rig in rigs))
        await until(lambda: all(watcher.idle for watcher in watchers))
        await rigs[0].publish(1)  # after all that the watchers published
        await until(lambda: all(rig.bus.head >= 5 for rig in rigs))
        for task in running:
            task.cancel()
    events = [rigs[0].bus.find(number) for number in range(1, rigs[0].bus.head + 1)]
    found = [(event.type, event.data.get("reason")) for event in events if event is not None]
    assert found == [
        ("agent.error", None),
        ("agent.attention_needed", "failed"),
        ("agent.turn_started", None),
        ("agent.attention_needed", "silent"),
        ("plugin.up", None),
    ]


async def test_a_flood_is_followed_without_holding_up_the_loop_and_a_loss_is_survived(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig(None)
    watcher = watcher_of(rig, FakeClock())
    running = asyncio.create_task(watcher.run())
    await until(lambda: watcher.idle)
    for number in range(10_050):  # more than its queue holds; nothing else runs meanwhile
        rig.publisher.emit("agent.turn_started", {"session_id": f"s{number % 3}"})
    rig.publisher.emit(*ERROR)
    await until(lambda: watcher.idle and rig.bus.head == 10_052)
    assert [watcher.watch.state(id_) for id_ in ("s", "s0")] == ["failed", "working"]
    rig.bus.begin("another", 0)
    rig.publisher.emit(*ERROR)
    rig.publisher.emit("agent.turn_started", {"session_id": "s"})
    await until(lambda: watcher.idle and rig.bus.head == 2)
    assert watcher.watch.state("s") == "working"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert rig.bus.groups.inside == set()
