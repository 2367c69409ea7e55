"""Litestar's own `ChannelsPlugin` on the gateway's bus, inside a running application."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.channels import ChannelsPlugin, Subscriber
from structlog.testing import capture_logs

from app.channels.litestar_backend import SightlineChannelsBackend
from app.errors import (
    InvalidDataError,
    InvalidPatternError,
    UnavailableError,
    UnknownEventTypeError,
)
from app.plugin import SightlinePlugin
from app.settings import Settings
from tests.kit.waiting import WATCHDOG_S, until
from tests.support import FakeClock

STARTED = {"workflow_id": "w1", "workflow_name": "nightly"}
COMMIT = {"commit_hash": "9f1c2ab", "message": "m", "author": "Ada", "files_changed": 1}


class Host:
    """An application with both plugins."""

    def __init__(self, folder: Path, channels: list[str] | None, **settings: Any) -> None:
        self.clock = FakeClock()
        self.sightline = SightlinePlugin(
            Settings(state_dir=folder / "state", workspace=None, **settings), clock=self.clock
        )
        self.backend = SightlineChannelsBackend(self.sightline)
        self.channels = ChannelsPlugin(
            self.backend, channels=channels, arbitrary_channels_allowed=channels is None
        )
        # In the order that is the less convenient one.
        self.app = Litestar(plugins=[self.channels, self.sightline])

    async def publish(self, type_: str, data: dict[str, object]) -> None:
        await self.sightline.publisher.publish(type_, data)


@asynccontextmanager
async def running(
    folder: Path, channels: list[str] | None = None, **settings: Any
) -> AsyncIterator[Host]:
    host = Host(folder, channels, **settings)
    before = asyncio.all_tasks()
    async with asyncio.timeout(WATCHDOG_S):
        async with host.app.lifespan():
            yield host
    assert host.sightline.bus.subscriptions == 0
    assert asyncio.all_tasks() == before


async def taken(subscriber: Subscriber, count: int) -> list[dict[str, Any]]:
    """So many messages, and no more than these."""
    await until(lambda: subscriber.qsize >= count)
    events = subscriber.iter_events()
    messages = [json.loads(await anext(events)) for _ in range(count)]
    await events.aclose()
    assert subscriber.qsize == 0
    return messages


async def test_what_is_published_to_a_channel_is_an_event_in_the_stream(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        async with host.sightline.bus.subscribe("workflow.*") as subscription:
            await host.channels.wait_published(STARTED, "workflow.started")
            event = await anext(subscription)
        assert (event.type, event.sequence_number, event.data) == ("workflow.started", 1, STARTED)


async def test_a_subscriber_gets_the_whole_event_whoever_published_it(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        async with host.channels.start_subscription("workflow.started") as subscriber:
            await host.publish("git.commit_created", COMMIT)
            await host.publish("workflow.started", STARTED)
            host.channels.publish(json.dumps(STARTED), "workflow.started")
            messages = await taken(subscriber, 2)
        assert [message["sequence_number"] for message in messages] == [2, 3]
        assert [message["data"] for message in messages] == [STARTED, STARTED]
        assert set(messages[0]) == {"type", "timestamp", "sequence_number", "data", "metadata"}


async def test_a_channel_may_be_a_pattern_and_each_has_its_own_copy(tmp_path: Path) -> None:
    async with (
        running(tmp_path, ["workflow.*", "*", "git.commit_created"]) as host,
        host.channels.start_subscription(["workflow.*", "*"]) as both,
        host.channels.start_subscription("git.commit_created") as git,
    ):
        await host.publish("workflow.started", STARTED)
        await host.publish("git.commit_created", COMMIT)
        assert [m["sequence_number"] for m in await taken(both, 3)] == [1, 1, 2]
        assert [m["sequence_number"] for m in await taken(git, 1)] == [2]


async def test_nothing_comes_to_a_channel_that_was_left(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        async with host.channels.start_subscription("git.*") as stays:
            async with host.channels.start_subscription("workflow.*") as leaves:
                pass
            await host.publish("workflow.started", STARTED)
            await host.publish("git.commit_created", COMMIT)
            assert [m["sequence_number"] for m in await taken(stays, 1)] == [2]
            left = [json.loads(item) async for item in leaves.iter_events()]
        assert left == []


async def test_history_is_the_newest_retained_events_of_the_channel_oldest_first(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as host:
        for _ in range(3):
            await host.publish("workflow.started", STARTED)
            await host.publish("git.commit_created", COMMIT)
        async with host.channels.start_subscription("git.*", history=2) as subscriber:
            assert [m["sequence_number"] for m in await taken(subscriber, 2)] == [4, 6]
        assert len(await host.backend.get_history("*")) == 6
        assert len(await host.backend.get_history("*", 100)) == 6
        assert await host.backend.get_history("*", 0) == []
        assert await host.backend.get_history("chat.*") == []


async def test_a_second_subscriber_of_a_channel_gets_what_is_under_way_once(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        emit = host.sightline.publisher.emit
        emit("workflow.started", STARTED)
        async with host.channels.start_subscription("workflow.*", history=100) as first:
            emit("workflow.started", STARTED)
            async with host.channels.start_subscription("workflow.*", history=100) as second:
                emit("workflow.started", STARTED)
                for subscriber in (first, second):
                    messages = await taken(subscriber, 3)
                    assert [m["sequence_number"] for m in messages] == [1, 2, 3]


@pytest.mark.parametrize("made_again", [True, False])
async def test_channels_go_on_where_numbers_begin_again(tmp_path: Path, made_again: bool) -> None:
    async with running(tmp_path) as host:
        for _ in range(3):
            await host.publish("workflow.started", STARTED)
        async with host.channels.start_subscription("workflow.*") as subscriber:
            bus = host.sightline.bus
            bus.begin("another-epoch" if made_again else bus.epoch, 0)
            await host.publish("workflow.started", STARTED)
            gap, event = await taken(subscriber, 2)
        assert (gap["reason"], event["sequence_number"]) == ("epoch_changed", 1)


@pytest.mark.parametrize("other", ["git.*", "workflow.*"])
async def test_at_the_seam_of_history_and_live_nothing_falls_or_doubles(
    tmp_path: Path, other: str
) -> None:
    async with running(tmp_path) as host:
        async with host.channels.start_subscription(other):
            publisher = host.sightline.publisher
            for _ in range(3):
                publisher.emit("workflow.started", STARTED)  # in one turn with what follows
                publisher.emit("git.commit_created", COMMIT)
            async with host.channels.start_subscription("workflow.*", history=100) as subscriber:
                publisher.emit("workflow.started", STARTED)
                numbers = [m["sequence_number"] for m in await taken(subscriber, 4)]
        assert numbers == [1, 3, 5, 7]


async def test_history_forgets_what_the_gateway_retains_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, replay_max_events=2) as host:
        for _ in range(5):
            await host.publish("workflow.started", STARTED)
        await until(lambda: not host.sightline.bus.queued)
        kept = [json.loads(item) for item in await host.backend.get_history("workflow.*")]
        assert [message["sequence_number"] for message in kept] == [4, 5]
        host.clock.advance(31)
        assert await host.backend.get_history("workflow.*") == []


@pytest.mark.parametrize(
    ("channel", "payload", "error", "said"),
    [
        ("workflow.begun", STARTED, UnknownEventTypeError, "unknown event type 'workflow.begun'"),
        ("workflow.*", STARTED, UnknownEventTypeError, "unknown event type 'workflow.*'"),
        ("workflow.started", {"workflow_id": 1}, InvalidDataError, "workflow_id"),
        ("workflow.started", [STARTED], InvalidDataError, "not a JSON object: Expected `object`"),
        ("workflow.started", "hello", InvalidDataError, "not a JSON object"),
        ("workflow.started", b"\xff", InvalidDataError, "not a JSON object"),
    ],
)
async def test_what_is_no_event_is_refused_with_the_reason_and_uses_up_no_number(
    tmp_path: Path, channel: str, payload: Any, error: type[Exception], said: str
) -> None:
    async with running(tmp_path) as host:
        with pytest.raises(error) as refused:
            await host.channels.wait_published(payload, channel)
        assert said in str(refused.value)
        with pytest.raises(error):
            await host.channels.wait_published(payload, ["workflow.started", channel])
        assert host.sightline.bus.head == 0


async def test_a_refused_publish_in_the_background_is_logged_and_the_next_one_goes_out(
    tmp_path: Path,
) -> None:
    with capture_logs() as logs:
        async with running(tmp_path) as host:
            host.channels.publish(["no object"], "workflow.started")
            host.channels.publish(STARTED, "workflow.started")
            await until(lambda: host.sightline.bus.head == 1)
    (reported,) = (log for log in logs if log["event"] == "channel_publish_refused")
    assert reported["channels"] == ("workflow.started",)
    assert "not a JSON object" in reported["reason"]


async def test_an_end_with_publishes_under_way_neither_hangs_nor_leaks(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        await host.channels.subscribe("workflow.*")  # and never left
        for _ in range(200):
            host.channels.publish(STARTED, "workflow.started")
        host.sightline.gateway.begin_drain()
        with pytest.raises(UnavailableError):
            await host.channels.wait_published(STARTED, "workflow.started")


async def test_a_burst_reaches_a_subscriber_whole(tmp_path: Path) -> None:
    async with running(tmp_path, queue_size=100) as host:
        async with host.channels.start_subscription("workflow.*") as subscriber:
            for _ in range(2000):
                host.channels.publish(STARTED, "workflow.started")
            numbers = [m["sequence_number"] for m in await taken(subscriber, 2000)]
        assert numbers == list(range(1, 2001))


async def test_events_that_overrun_the_bounded_queue_are_a_gap(tmp_path: Path) -> None:
    async with running(tmp_path, queue_size=10) as host:
        async with host.channels.start_subscription("workflow.*") as subscriber:
            for _ in range(30):  # in one turn of the loop
                host.sightline.publisher.emit("workflow.started", STARTED)
            gap, *rest = await taken(subscriber, 11)
        assert gap == {
            "type": "gap",
            "from_sequence_number": 1,
            "to_sequence_number": 20,
            "dropped": 20,
            "reason": "slow_consumer",
        }
        assert [message["sequence_number"] for message in rest] == list(range(21, 31))


async def test_a_channel_that_is_no_pattern_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as host:
        with pytest.raises(InvalidPatternError, match="'chat' is malformed"):
            await host.channels.subscribe("chat")
    with pytest.raises(ExceptionGroup) as refused:
        async with running(tmp_path, ["chat"]):
            pass
    assert refused.group_contains(InvalidPatternError, match="'chat' is malformed")


async def test_it_starts_again_with_its_application(tmp_path: Path) -> None:
    host = Host(tmp_path, ["workflow.*"])
    for number in (1, 2):  # a clean restart continues the epoch
        async with (
            host.app.lifespan(),
            host.channels.start_subscription("workflow.*") as subscriber,
        ):
            await host.publish("workflow.started", STARTED)
            assert [m["sequence_number"] for m in await taken(subscriber, 1)] == [number]


async def test_before_the_start_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="have not started"):
        await Host(tmp_path, None).backend.get_history("*")
