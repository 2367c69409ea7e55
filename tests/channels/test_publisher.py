"""The publisher: encode and check first, number second, never stop the work that it reports."""

import asyncio
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import pytest

from app.catalog.registry import Catalog
from app.catalog.types import WorkflowStarted
from app.channels import loop_calls as module
from app.channels.backend import MemoryBackend
from app.channels.bus import Contents, EventBus
from app.channels.check import EVENT_BYTES, TURN_BYTES
from app.channels.encoding import encode
from app.channels.publisher import YIELD_EVERY, EventPublisher
from app.errors import (
    EventTooLargeError,
    InvalidDataError,
    PublishError,
    UnavailableError,
    UnknownEventTypeError,
)
from app.events import Event
from tests.kit.waiting import WATCHDOG_S
from tests.support import FakeClock, brief, make_bus

STARTED = WorkflowStarted(workflow_id="w", workflow_name="n")


class Holder(msgspec.Struct):
    value: object


@pytest.fixture
def bus() -> EventBus:
    return make_bus(FakeClock(), queue_size=10_000)


@pytest.fixture
def publisher(bus: EventBus) -> EventPublisher:
    return EventPublisher(MemoryBackend(bus), Catalog(["plugin"]), bus.clock, 1000)


async def test_a_published_event_is_numbered_and_in_every_queue(
    bus: EventBus, publisher: EventPublisher
) -> None:
    subscription = bus.subscribe()
    event = await publisher.publish("plugin.up", {"a": "é"}, {"source": "s"})
    assert subscription.take() is event
    assert (event.sequence_number, event.data, event.metadata) == (1, {"a": "é"}, {"source": "s"})


async def test_a_struct_is_published_under_its_type(publisher: EventPublisher) -> None:
    event = await publisher.publish(STARTED)
    assert (event.type, event.metadata) == ("workflow.started", {})
    assert event.data == {"workflow_id": "w", "workflow_name": "n"}


async def test_data_is_copied_at_the_publish(publisher: EventPublisher) -> None:
    data = {"a": [1]}
    event = await publisher.publish("plugin.up", data)
    data["a"].append(2)
    assert event.data == {"a": [1]}


async def test_no_data_is_an_empty_object(publisher: EventPublisher) -> None:
    assert (await publisher.publish("plugin.up")).data == {}


CYCLE: dict[str, object] = {}
CYCLE["me"] = CYCLE
DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, b"x", bytearray(b"x"), "\ud800", object(), CYCLE, DEEP],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_refused_in_dicts_and_structs(value: object) -> None:
    for payload in ({"v": value}, Holder(value)):
        with pytest.raises(InvalidDataError, match=r"^data cannot be encoded as JSON") as caught:
            encode("data", payload)
        assert len(str(caught.value)) < 400


def test_a_set_is_refused_in_a_dict_and_a_list_in_a_struct() -> None:
    with pytest.raises(InvalidDataError):
        encode("data", {"v": {1}})
    assert encode("data", Holder({1})) == (b'{"value":[1]}', {"value": [1]})


def test_a_struct_that_is_no_object_is_refused() -> None:
    class Row(msgspec.Struct, array_like=True):
        a: int

    with pytest.raises(InvalidDataError, match="expected an object, got list"):
        encode("data", Row(1))


def test_a_date_in_a_struct_is_text() -> None:
    encoded, _ = encode("data", Holder(datetime(2026, 1, 2, tzinfo=UTC)))
    assert encoded == b'{"value":"2026-01-02T00:00:00Z"}'


@pytest.mark.parametrize(
    "value",
    ["é\n\x7f\u2028</", 0, -1, 2**70, True, None, 1.5, -0.0, [1, {"a": [None]}], {"a": {"b": 2}}],
)
def test_what_is_encoded_is_what_a_reader_decodes_and_the_catalog_checks(value: object) -> None:
    encoded, fields = encode("data", {"v": value})
    assert json.loads(encoded) == fields == {"v": value}


def test_keys_become_text_as_the_standard_library_has_it() -> None:
    encoded, fields = encode("data", {1: "a"})  # type: ignore[dict-item]
    assert (encoded, fields) == (b'{"1":"a"}', {"1": "a"})


@pytest.mark.parametrize(
    ("type_", "data", "metadata", "error"),
    [
        ("workflow.startd", {}, {}, UnknownEventTypeError),
        ("workflow.started", {}, {}, InvalidDataError),
        ("plugin.up", {"a": math.nan}, {}, InvalidDataError),
        ("plugin.up", {}, {"a": b"x"}, InvalidDataError),
        ("plugin.up", {"a": "x" * 1000}, {}, EventTooLargeError),
        ("plugin.up", {"a": "x" * 500}, {"b": "x" * 500}, EventTooLargeError),
    ],
)
async def test_a_refused_event_uses_up_no_number(
    bus: EventBus,
    publisher: EventPublisher,
    type_: str,
    data: Mapping[str, object],
    metadata: Mapping[str, object],
    error: type[PublishError],
) -> None:
    with pytest.raises(error):
        await publisher.publish(type_, data, metadata)
    assert bus.head == 0
    assert (await publisher.publish("plugin.up")).sequence_number == 1


async def test_the_size_is_checked_to_the_byte(publisher: EventPublisher) -> None:
    fits = {"a": "x" * (1000 - len('{"a":""}') - len("{}"))}
    await publisher.publish("plugin.up", fits)
    with pytest.raises(EventTooLargeError, match="1001 bytes, over the 1000"):
        await publisher.publish("plugin.up", {"a": fits["a"] + "x"})


async def test_a_batch_is_published_in_order_or_not_at_all(
    bus: EventBus, publisher: EventPublisher
) -> None:
    good: tuple[str, Mapping[str, object], Mapping[str, object]] = ("plugin.up", {}, {})
    with pytest.raises(UnknownEventTypeError):
        await publisher.publish_all([good, ("nobody.knows", {}, {})])
    assert bus.head == 0
    assert [brief(event) for event in await publisher.publish_all([good, good])] == [1, 2]
    assert await publisher.publish_all([]) == []


def test_emit_never_raises_and_counts_its_failures(
    bus: EventBus, publisher: EventPublisher
) -> None:
    publisher.emit("nobody.knows")
    publisher.emit("plugin.up", {"a": object()})
    publisher.emit("plugin.up")
    assert (publisher.emit_failures, bus.head) == (2, 1)


async def test_a_publisher_without_a_pause_lets_the_loop_turn(publisher: EventPublisher) -> None:
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    for _ in range(YIELD_EVERY - 1):
        await publisher.publish("plugin.up")
    assert turns == []
    await publisher.publish("plugin.up")
    assert turns == [1]


async def test_arrays_without_a_pause_let_the_loop_turn_too(publisher: EventPublisher) -> None:
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    half = [("plugin.up", {}, {})] * (YIELD_EVERY // 2)
    await publisher.publish_all(half)
    assert turns == []
    await publisher.publish_all(half)
    assert turns == [1]


async def test_a_closed_publisher_refuses_everything(
    bus: EventBus, publisher: EventPublisher
) -> None:
    publisher.close()
    with pytest.raises(UnavailableError):
        await publisher.publish("plugin.up")
    with pytest.raises(UnavailableError):
        await publisher.publish_all([])
    with pytest.raises(UnavailableError):
        publisher.publish_from_thread("plugin.up")
    publisher.emit("plugin.up")
    assert (bus.head, publisher.emit_failures) == (0, 1)


def test_a_publish_from_a_thread_before_the_start_is_refused(publisher: EventPublisher) -> None:
    with pytest.raises(UnavailableError, match="has not started"):
        publisher.publish_from_thread("plugin.up")


async def test_another_thread_can_publish_and_gets_the_event_or_the_error(
    publisher: EventPublisher,
) -> None:
    publisher.start(asyncio.get_running_loop())

    def work() -> int:
        with pytest.raises(UnknownEventTypeError):
            publisher.publish_from_thread("nobody.knows").result(5)
        return publisher.publish_from_thread("plugin.up").result(5).sequence_number

    assert await asyncio.to_thread(work) == 1


async def test_too_many_publishes_from_threads_are_refused_until_some_are_done(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FROM_THREADS", 2)
    publisher = EventPublisher(MemoryBackend(bus), Catalog(["plugin"]), bus.clock, 1000)
    publisher.start(asyncio.get_running_loop())
    futures = [publisher.publish_from_thread("plugin.up") for _ in range(2)]
    with pytest.raises(UnavailableError, match="2 publishes from threads are in flight"):
        publisher.publish_from_thread("plugin.up")
    await asyncio.gather(*map(asyncio.wrap_future, futures))
    later = publisher.publish_from_thread("plugin.up")
    assert (await asyncio.wrap_future(later)).sequence_number == 3


async def test_a_subscriber_may_publish_from_inside_its_loop(
    bus: EventBus, publisher: EventPublisher
) -> None:
    async with bus.subscribe("workflow.*") as causes, bus.subscribe("plugin.*") as effects:
        await publisher.publish(STARTED)
        async for cause in causes:
            await publisher.publish("plugin.up", {"after": brief(cause)})
            break
        effect = effects.take()
    assert effect is not None
    assert brief(effect) == 2


async def test_an_event_gives_its_data_as_its_struct_and_refuses_another(
    publisher: EventPublisher,
) -> None:
    event = await publisher.publish(STARTED)
    assert event.as_struct(WorkflowStarted) == STARTED
    with pytest.raises(msgspec.ValidationError):
        (await publisher.publish("plugin.up", {})).as_struct(WorkflowStarted)


async def test_an_event_is_in_100_queues_within_10_ms_of_its_publish(
    bus: EventBus, publisher: EventPublisher
) -> None:
    subscriptions = [bus.subscribe("plugin.*") for _ in range(100)]
    took_s = []
    for number in range(1, 51):
        began = time.thread_time()
        await publisher.publish("plugin.up")
        took_s.append(time.thread_time() - began)
        assert {brief(subscription.take()) for subscription in subscriptions} == {number}
    assert statistics.median(took_s) < 0.01


async def test_publishing_never_waits_for_a_subscriber_and_its_queue_stays_at_1000() -> None:
    clock = FakeClock()
    bus = make_bus(clock, queue_size=1000, queue_max_bytes=10**9)
    publisher = EventPublisher(MemoryBackend(bus), Catalog(["plugin"]), clock, 1000)
    subscription = bus.subscribe()
    async with asyncio.timeout(WATCHDOG_S):
        for _ in range(2500):
            await publisher.publish("plugin.up")
    assert (len(subscription), subscription.dropped) == (1000, 1500)
    assert brief(subscription.take()) == (1, 1500, 1500, "slow_consumer")
    assert [brief(subscription.take()) for _ in range(1000)] == list(range(1501, 2501))


async def test_each_event_of_many_goes_to_the_backend_with_its_own_key() -> None:
    class Remembering(MemoryBackend):
        keys: ClassVar[list[str | None]] = []

        def submit(
            self, type_: str, timestamp: str, contents: Contents, key: str | None = None
        ) -> Event:
            self.keys.append(key)
            return super().submit(type_, timestamp, contents, key)

    clock = FakeClock()
    backend = Remembering(make_bus(clock))
    publisher = EventPublisher(backend, Catalog(), clock, 1000)
    error = ("system.error", {"message": "m"}, {})
    await publisher.publish_all([error, error], ["a", None])
    await publisher.publish_all([error])
    assert backend.keys == ["a", None, None]


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "é", "\ud800", "x" * 257])
async def test_a_key_that_the_log_cannot_hold_is_refused_before_anything_is_published(
    bus: EventBus, publisher: EventPublisher, key: str
) -> None:
    with pytest.raises(PublishError, match="is not 1 to 256 visible ASCII characters") as caught:
        await publisher.publish("plugin.up", key=key)
    assert len(str(caught.value)) < 200
    with pytest.raises(PublishError):
        await publisher.publish_all([("plugin.up", {}, {})] * 2, ["good", key])
    assert bus.head == 0
    await publisher.publish("plugin.up", key="x" * 256)


async def test_an_array_that_failed_half_way_says_how_far_each_end_of_it_came() -> None:
    whys = [None, "it may have been published", "it was not published"]

    class Failing(MemoryBackend):
        def submit(self, *event: Any) -> Any:
            why = whys.pop(0)
            if why is None:
                return super().submit(*event)
            future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
            future.set_exception(UnavailableError(why))
            return future

    bus = make_bus(FakeClock())
    publisher = EventPublisher(Failing(bus), Catalog(["plugin"]), bus.clock, 1000)
    up: tuple[str, Any, Any] = ("plugin.up", {}, {})
    with pytest.raises(UnavailableError) as caught:
        await publisher.publish_all([up, up, up])
    assert str(caught.value) == (
        "1 of 3 are published; of the rest: it may have been published; it was not published"
    )
    whys.append("it may have been published")
    with pytest.raises(UnavailableError, match=r"^it may have been published$"):
        await publisher.publish_all([up])


async def heads_of_turns(bus: EventBus, work: Coroutine[None, None, object]) -> list[int]:
    """The head at each turn of the loop while `work` runs, and at its end."""
    heads: list[int] = []

    async def watch() -> None:
        while True:
            heads.append(bus.head)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await work
    watching.cancel()
    return [*heads, bus.head]


@pytest.mark.parametrize(
    ("data", "metadata"), [({"a": "x" * 8000}, {}), ({}, {"a": "x" * 8000}), ({}, {})]
)
async def test_a_large_array_lets_the_loop_turn_while_it_is_checked(
    bus: EventBus, data: dict[str, object], metadata: dict[str, object]
) -> None:
    publisher = EventPublisher(MemoryBackend(bus), Catalog(["plugin"]), bus.clock, 10_000)
    events = [("plugin.up", data, metadata)] * 1000
    heads = await heads_of_turns(bus, publisher.publish_all(events))
    size = EVENT_BYTES + len(str(data)) + len(str(metadata))
    # Nothing is published before all is checked.
    assert heads.count(0) >= 1000 // (TURN_BYTES // size + 1)
    assert bus.head == 1000


async def test_a_large_array_lets_the_loop_turn_while_it_is_published(
    bus: EventBus, publisher: EventPublisher
) -> None:
    heads = await heads_of_turns(bus, publisher.publish_all([("plugin.up", {}, {})] * 1000))
    steps = [after - before for before, after in itertools.pairwise(heads)]
    assert max(steps) == YIELD_EVERY
    assert sum(steps) == 1000


async def published_when(
    bus: EventBus, publisher: EventPublisher, act: Callable[[asyncio.Task[list[Event]]], object]
) -> asyncio.Task[list[Event]]:
    """The ended task that published 1,000 events in one array; `act` ran when some were published."""
    publishing = asyncio.create_task(publisher.publish_all([("plugin.up", {}, {})] * 1000))
    while not bus.head:  # noqa: ASYNC110 (turns of the loop are what is meant)
        await asyncio.sleep(0)
    assert bus.head < 1000
    act(publishing)
    await asyncio.wait({publishing})
    return publishing


async def test_an_array_that_is_cancelled_when_some_is_published_is_published_whole(
    bus: EventBus, publisher: EventPublisher
) -> None:
    publishing = await published_when(bus, publisher, lambda publishing: publishing.cancel())
    assert publishing.cancelled()
    assert bus.head == 1000


async def test_an_array_is_published_whole_in_the_turn_in_which_a_shutdown_begins(
    bus: EventBus, publisher: EventPublisher
) -> None:
    heads = list[int]()

    def shut_down(publishing: asyncio.Task[list[Event]]) -> None:
        publisher.close()
        asyncio.get_running_loop().call_soon(lambda: heads.append(bus.head))

    publishing = await published_when(bus, publisher, shut_down)
    assert [event.sequence_number for event in publishing.result()] == [*range(1, 1001)]
    assert heads == [1000]
