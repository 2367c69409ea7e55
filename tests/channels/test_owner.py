"""Threads, loops and forks: what does not run on the gateway's loop is handed over or refused."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.catalog.registry import Catalog
from app.channels import loop_calls, owner, publisher as module
from app.channels.backend import MemoryBackend
from app.channels.bus import EventBus
from app.channels.filters import EventFilter
from app.channels.publisher import EventPublisher
from app.errors import UnavailableError, UnknownEventTypeError, WrongLoopError
from app.events import Event
from app.ws.outlet import DirectOutlet
from tests.kit.waiting import until
from tests.support import FakeClock, FakeTransport, brief, drain, make_bus, publish

UP: tuple[str, Any, Any] = ("plugin.up", {}, {})


class Started:
    """A publisher and a bus that live on the running loop, as in a gateway, and a direct client."""

    def __init__(self, queue_size: int = 20_000) -> None:
        loop = asyncio.get_running_loop()
        self.bus = make_bus(FakeClock(), queue_size=queue_size, queue_max_bytes=10**8)
        self.bus._call_soon = loop.call_soon
        self.bus.owner.start(loop)
        self.publisher = EventPublisher(
            MemoryBackend(self.bus), Catalog(["plugin"]), self.bus.clock, 1000
        )
        self.publisher.start(loop)
        self.transport = FakeTransport()
        outlet = DirectOutlet(self.bus.subscribe(), self.transport, self.bus.clock, 30)
        outlet.attach()

    def numbers(self) -> list[int]:
        """What the direct client got."""
        return [message["sequence_number"] for message in self.transport.take()]


def in_another_loop(call: Callable[[], Any]) -> Any:
    """Run a coroutine in a thread with a loop of its own."""
    return asyncio.to_thread(lambda: asyncio.run(call()))


async def test_what_a_worker_thread_emits_is_delivered_at_once() -> None:
    started = Started()
    await asyncio.to_thread(started.publisher.emit, *UP)
    await until(lambda: started.transport.unread)
    assert started.numbers() == [1]
    started.publisher.emit(*UP)
    await until(lambda: started.transport.unread)
    assert started.numbers() == [2], "and live delivery goes on"


async def test_what_several_threads_emit_comes_whole_and_in_the_order_of_each_thread() -> None:
    started = Started()
    subscription = started.bus.subscribe()

    def work(name: int) -> None:
        for count in range(750):
            started.publisher.emit("plugin.up", {"thread": name, "count": count})

    await asyncio.gather(*(asyncio.to_thread(work, name) for name in range(4)))
    await until(lambda: started.bus.head + started.publisher.emit_failures == 3000)
    assert started.publisher.emit_failures == 0
    events = [subscription.take() for _ in range(3000)]
    assert all(isinstance(event, Event) for event in events)
    for name in range(4):
        counts = [event.data["count"] for event in events if event.data["thread"] == name]  # type: ignore[union-attr]
        assert counts == list(range(750))
    assert started.numbers() == list(range(1, 3001))


async def test_emit_in_a_thread_gives_up_when_the_loop_takes_nothing_and_counts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_calls, "MAX_FROM_THREADS", 2)
    monkeypatch.setattr(module, "EMIT_WAIT_S", 0.001)
    started = Started()
    thread = threading.Thread(target=lambda: [started.publisher.emit(*UP) for _ in range(5)])
    thread.start()
    thread.join()  # the loop stands still meanwhile
    await until(lambda: started.bus.head == 2)
    assert started.publisher.emit_failures == 3


async def test_what_was_handed_over_when_the_gateway_ended_is_a_counted_failure() -> None:
    started = Started()
    thread = threading.Thread(target=started.publisher.emit, args=UP)
    thread.start()
    thread.join()
    started.publisher.close()
    await until(lambda: started.publisher.emit_failures)
    assert started.bus.head == 0


async def test_what_a_thread_emits_shows_no_later_change_and_is_refused_there() -> None:
    started = Started()
    subscription = started.bus.subscribe()

    def work() -> None:
        data = {"a": 1}
        started.publisher.emit("plugin.up", data)
        data["a"] = 2
        started.publisher.emit("nobody.knows")

    await asyncio.to_thread(work)
    assert started.publisher.emit_failures == 1
    await until(lambda: subscription.owed)
    assert subscription.take().data == {"a": 1}  # type: ignore[union-attr]


async def test_emits_and_publishes_of_one_thread_keep_their_order() -> None:
    started = Started()
    subscription = started.bus.subscribe()

    def work() -> None:
        for count in range(0, 20, 2):
            started.publisher.publish_from_thread("plugin.up", {"count": count})
            started.publisher.emit("plugin.up", {"count": count + 1})

    await asyncio.to_thread(work)
    await until(lambda: started.bus.head == 20)
    items = [subscription.take() for _ in range(20)]
    assert [item.data["count"] for item in items] == list(range(20))  # type: ignore[union-attr]


async def test_publishing_on_another_loop_is_handed_over() -> None:
    started = Started()

    async def work() -> list[object]:
        one = await started.publisher.publish(*UP, key="k")
        with pytest.raises(UnknownEventTypeError):
            await started.publisher.publish("nobody.knows")
        with pytest.raises(UnknownEventTypeError):
            await started.publisher.publish_all([UP, ("nobody.knows", {}, {})])
        return [brief(event) for event in (one, *await started.publisher.publish_all([UP, UP]))]

    assert await in_another_loop(work) == [1, 2, 3]
    await until(lambda: started.transport.unread == 3)


async def test_publishing_on_another_loop_ends_with_the_error_of_the_gateways_loop() -> None:
    started = Started()

    class Failing(MemoryBackend):
        def submit(self, *event: Any) -> Any:
            self._bus.owner.require_here()
            future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
            future.set_exception(UnavailableError("the log is away"))
            return future

    started.publisher._backend = Failing(started.bus)

    async def work() -> None:
        with pytest.raises(UnavailableError, match="the log is away"):
            await started.publisher.publish(*UP)
        with pytest.raises(UnavailableError, match="the log is away"):
            await started.publisher.publish_all([UP])

    await in_another_loop(work)
    await asyncio.to_thread(started.publisher.emit, *UP)
    await until(lambda: started.publisher.emit_failures)


@pytest.mark.parametrize("all_at_once", [False, True])
async def test_a_publish_on_another_loop_may_be_cancelled_there(all_at_once: bool) -> None:
    started = Started()
    never: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    class Waiting(MemoryBackend):
        def submit(self, *event: Any) -> Any:
            self._bus.owner.require_here()
            return never

    started.publisher._backend = Waiting(started.bus)
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def work() -> None:
        publisher = started.publisher
        publishing = asyncio.ensure_future(
            publisher.publish_all([UP]) if all_at_once else publisher.publish(*UP)
        )
        await asyncio.sleep(0)
        loop.call_soon_threadsafe(began.set)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing

    await in_another_loop(work)
    await began.wait()
    never.cancel()
    await asyncio.sleep(0)
    await until(lambda: started.publisher._loop_calls._places._value == loop_calls.MAX_FROM_THREADS)


@pytest.mark.parametrize(
    "call",
    [
        lambda bus, subscription: bus.subscribe("a.*"),
        lambda bus, subscription: bus.join(EventFilter()),
        lambda bus, subscription: bus.begin("epoch2", 0),
        lambda bus, subscription: bus.flush(),
        lambda bus, subscription: publish(bus, "a.x"),
        lambda bus, subscription: subscription.take(),
        lambda bus, subscription: subscription.take_run(1),
        lambda bus, subscription: subscription.queue.get_nowait(),
        lambda bus, subscription: subscription.refilter(EventFilter(["a.*"])),
        lambda bus, subscription: subscription.close(),
        lambda bus, subscription: asyncio.run(subscription.wait()),
        lambda bus, subscription: asyncio.run(subscription.queue.get()),
        lambda bus, subscription: asyncio.run(anext(subscription)),
        lambda bus, subscription: asyncio.run(subscription.__aexit__()),
    ],
)
async def test_the_stream_refuses_other_threads_with_the_remedy_and_nothing_changes(
    call: Callable[[EventBus, Any], Any],
) -> None:
    bus = Started().bus
    subscription = bus.subscribe()
    publish(bus, "a.x")
    with pytest.raises(WrongLoopError, match=r"thread '.+' is not the thread.+publish_from_thread"):
        await asyncio.to_thread(call, bus, subscription)
    assert (bus.head, bus.subscriptions, subscription.closed) == (1, 2, False)
    assert drain(subscription) == [1]


def test_another_loop_in_the_same_thread_is_refused_or_handed_over_too() -> None:
    ours, other = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def start() -> tuple[Started, Any]:
        started = Started()
        return started, started.bus.subscribe()

    async def elsewhere() -> Any:
        with pytest.raises(WrongLoopError, match="is not running here"):
            started.bus.subscribe()
        with pytest.raises(WrongLoopError, match="is not running here"):
            await subscription.wait()
        return started.publisher.publish_from_thread(*UP)

    try:
        started, subscription = ours.run_until_complete(start())
        future = other.run_until_complete(elsewhere())
        item = ours.run_until_complete(subscription.queue.get())
        assert future.result() is item
    finally:
        ours.close()
        other.close()


def in_forked_child(call: Callable[[], object]) -> str:
    """What `call` raises in a forked child, or its result, as text."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            said = repr(call())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize(
    "call",
    [
        lambda started: started.bus.subscribe(),
        lambda started: publish(started.bus, "a.x"),
        lambda started: started.bus.flush(),
        lambda started: started.publisher.publish_from_thread(*UP),
        lambda started: asyncio.run(started.publisher.publish(*UP)),
        lambda started: asyncio.run(started.publisher.publish_all([UP])),
    ],
)
async def test_a_forked_child_is_refused_and_writes_nothing_to_the_clients_it_shares(
    call: Callable[[Started], object],
) -> None:
    started = Started()

    def child() -> object:
        asyncio._set_running_loop(None)
        try:
            return call(started)
        finally:
            assert started.transport.unread == 0

    said = in_forked_child(child)
    assert said.startswith("WrongLoopError: process "), said
    assert f"was forked from {os.getpid()}, where the gateway runs" in said
    assert "POST /api/events" in said


async def test_emit_in_a_forked_child_is_a_counted_failure() -> None:
    started = Started()

    def child() -> tuple[int, int]:
        started.publisher.emit(*UP)
        return started.publisher.emit_failures, started.bus.head

    assert in_forked_child(child) == "(1, 0)"


def test_after_a_fork_every_stream_of_the_child_is_refused_until_it_is_started_again() -> None:
    async def child() -> None:
        started = Started()
        owner._forked()
        with pytest.raises(WrongLoopError, match="was forked from"):
            started.bus.subscribe()
        with pytest.raises(WrongLoopError, match="was forked from"):
            started.publisher.publish_from_thread(*UP)
        started.bus.owner.start(asyncio.get_running_loop())
        assert len(publish(started.bus, "a.x")) == 1

    asyncio.run(child())


async def test_a_publish_from_a_thread_that_was_cancelled_before_its_turn_is_not_published() -> (
    None
):
    started = Started()
    assert started.publisher.publish_from_thread(*UP).cancel()
    event = await asyncio.wrap_future(started.publisher.publish_from_thread(*UP))
    assert event.sequence_number == 1


def test_a_gateway_may_be_made_in_one_process_and_started_in_its_fork() -> None:
    bus = make_bus(FakeClock())

    async def serve() -> int:
        bus.owner.start(asyncio.get_running_loop())
        bus.subscribe()
        return len(publish(bus, "a.x"))

    assert in_forked_child(lambda: asyncio.run(serve())) == "1"


def test_a_fork_of_a_gateway_that_has_not_started_is_refused_with_the_reason() -> None:
    bus = make_bus(FakeClock())
    said = in_forked_child(bus.subscribe)
    assert said.startswith("WrongLoopError: process "), said
    assert f"was forked from {os.getpid()}" in said


def test_before_the_start_only_the_thread_that_made_it_publishes() -> None:
    bus = make_bus(FakeClock())
    publisher = EventPublisher(MemoryBackend(bus), Catalog(["plugin"]), bus.clock, 1000)
    publisher.emit(*UP)
    thread = threading.Thread(target=publisher.emit, args=UP)
    thread.start()
    thread.join()
    assert (bus.head, publisher.emit_failures) == (1, 1)


def test_after_the_end_of_the_loop_a_thread_gets_an_error_that_the_gateway_has_ended() -> None:
    async def start() -> Started:
        return Started()

    publisher = asyncio.run(start()).publisher
    with pytest.raises(UnavailableError, match="the gateway has ended"):
        publisher.publish_from_thread(*UP)
    with pytest.raises(UnavailableError, match="the gateway has ended"):
        asyncio.run(publisher.publish_all([UP]))
    assert publisher._loop_calls._places._value == loop_calls.MAX_FROM_THREADS


async def test_a_turn_whose_end_could_not_be_asked_for_does_not_stop_those_that_follow() -> None:
    """Live delivery once stopped for good, as the flag that the end was asked for had been set first."""
    started = Started()
    loop_call_soon, started.bus._call_soon = started.bus._call_soon, _refuse
    with pytest.raises(RuntimeError, match="no loop"):
        publish(started.bus, "a.x")
    started.bus._call_soon = loop_call_soon
    publish(started.bus, "a.x")
    await until(lambda: started.transport.unread)
    assert 2 in started.numbers()


def _refuse(_: Callable[[], None]) -> None:
    raise RuntimeError("no loop")
