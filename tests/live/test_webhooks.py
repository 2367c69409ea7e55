"""Webhooks from a real gateway to a real HTTP server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app import outbound
from app.auth.access import AUDIT
from app.channels.subscription import QueueBounds
from app.errors import SettingsError
from app.events import Event
from app.main import create_app
from app.settings import Settings
from app.webhooks.attempts import MAX_ATTEMPTS
from tests.kit.gateway import Gateway, Start
from tests.kit.logs import Capture, read
from tests.kit.metrics import scrape
from tests.kit.receiver import OLD_SECRET, SECRET, Receiver, status
from tests.kit.waiting import until
from tests.support import FakeClock

HOUR_S = 3600.0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = await Receiver().start()
    yield receiver
    await receiver.stop()


async def say(gateway: Gateway, content: str = "x") -> Event:
    return await gateway.publisher.publish(
        "chat.message_sent", {"role": "user", "content": content}
    )


def contents(receiver: Receiver) -> list[str]:
    return [event["data"]["content"] for event in receiver.of("chat.message_sent")]


async def counts(gateway: Gateway, number: int = 1) -> list[float]:
    found = await scrape(gateway)
    (name,) = {key for key in found if key.startswith(f"webhooks_delivered_total{{{number}:")}
    label = name.removeprefix("webhooks_delivered_total")
    return [found[f"webhooks_{kind}_total{label}"] for kind in ("delivered", "failed", "dropped")]


async def test_an_event_is_posted_as_the_stream_has_it_and_signed(
    start: Start, receiver: Receiver, capsys: Capture
) -> None:
    gateway = await start(
        webhooks=(f"agent.attention_needed,git.*={receiver.url('/a/hook?k=v', 'me:p%40ss@')}",),
        webhook_secret=(SECRET, OLD_SECRET),
    )
    await say(gateway)
    await gateway.publisher.publish("agent.error", {"session_id": "s", "error": "rate_limit"})
    await until(lambda: receiver.received)
    (one,) = receiver.received
    assert one.line == "POST /a/hook?k=v HTTP/1.1"
    event = gateway.bus.find(3)
    assert event is not None
    assert one.body == event.encoded
    assert one.event["data"]["reason"] == "failed"
    assert one.headers["content-type"] == "application/json"
    assert one.headers["authorization"] == "Basic bWU6cEBzcw=="  # of me:p@ss
    assert one.headers["webhook-id"] == f"msg_{gateway.bus.epoch.replace('.', '-')}_3"
    assert one.is_signed_with(SECRET)
    assert one.is_signed_with(OLD_SECRET)
    assert not one._replace(body=one.body + b" ").is_signed_with(SECRET)
    await until(lambda: gateway.bus.counters.webhooks_delivered[f"1:127.0.0.1:{receiver.port}"])
    assert await counts(gateway) == [1, 0, 0]
    assert "p%40ss" not in capsys.readouterr().err


async def test_an_attempt_that_fails_is_repeated_by_the_clock_with_the_same_id(
    start: Start, receiver: Receiver, capsys: Capture
) -> None:
    clock = FakeClock()
    url = receiver.url("/secret-path")
    gateway = await start(clock=clock, webhooks=(f"chat.*={url}",), webhook_secret=(SECRET,))
    capsys.readouterr()
    receiver.answers = [
        status(500),
        status(503, "retry-after: 30"),
        status(302, f"location: {url}"),
    ]
    await say(gateway)
    for attempt, pause_s in enumerate((1, 30, 4), 1):
        await until(lambda: len(clock.timers) == 1)
        assert len(receiver.received) == attempt  # a redirect is not followed
        clock.advance(pause_s * 0.49)
        assert len(clock.timers) == 1  # the jitter shortens a pause by half at most
        clock.advance(pause_s * 0.51)
    await until(lambda: len(receiver.received) == 4)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    times = [int(one.headers["webhook-timestamp"]) for one in receiver.received]
    assert times[-1] - times[0] == 35
    assert all(one.is_signed_with(SECRET) for one in receiver.received)
    name = f"1:127.0.0.1:{receiver.port}"
    await until(lambda: gateway.bus.counters.webhooks_delivered[name])
    lines = [line for line in read(capsys) if line["logger"] == "sightline.webhooks"]
    assert [line["reason"] for line in lines] == ["status 500", "status 503", "status 302"]
    assert {line["event"] for line in lines} == {"webhook_attempt_failed"}
    assert {line["endpoint"] for line in lines} == {name}
    assert "secret-path" not in str(lines)


async def test_an_answer_that_repeats_the_request_is_not_logged(
    start: Start, receiver: Receiver, capsys: Capture
) -> None:
    clock = FakeClock()
    hook = f"chat.*={receiver.url('/hunter2')}"
    gateway = await start(clock=clock, webhooks=(hook,), webhook_secret=(SECRET,))
    capsys.readouterr()
    receiver.answers = [b"POST /hunter2 HTTP/1.1\r\n\r\n"]
    await say(gateway)
    await until(lambda: clock.timers)
    (line,) = [line for line in read(capsys) if line["event"] == "webhook_attempt_failed"]
    assert line["reason"] == "RemoteProtocolError"


async def test_an_endpoint_that_is_down_costs_its_events_and_is_used_when_it_is_back(
    start: Start, receiver: Receiver, capsys: Capture
) -> None:
    clock = FakeClock()
    hook = f"chat.*={receiver.url()}"
    gateway = await start(clock=clock, webhooks=(hook,), webhook_secret=(SECRET,))
    await receiver.stop()
    capsys.readouterr()
    await say(gateway, "lost")
    await say(gateway, "kept")
    name = f"1:127.0.0.1:{receiver.port}"
    for _ in range(MAX_ATTEMPTS - 1):
        await until(lambda: clock.timers)
        assert gateway.bus.counters.webhooks_failed[name] == 0
        clock.advance(HOUR_S)
    await until(lambda: gateway.bus.counters.webhooks_failed[name] == 1)
    await receiver.start()
    await until(lambda: clock.timers)
    clock.advance(HOUR_S)
    await until(lambda: gateway.bus.counters.webhooks_delivered[name] == 1)
    assert contents(receiver) == ["kept"]
    assert await counts(gateway) == [1, 1, 0]
    (failed,) = [line for line in read(capsys) if line["event"] == "webhook_failed"]
    assert (failed["attempt"], failed["sequence_number"]) == (MAX_ATTEMPTS, 1)
    assert "ConnectError" in str(failed["reason"])


async def test_a_slow_endpoint_delays_neither_a_publish_nor_another_endpoint(
    start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "QUEUE", QueueBounds(20, 1_000_000))
    slow = await Receiver().start()
    slow.holding = asyncio.Event()
    gateway = await start(
        webhooks=(f"chat.*={slow.url()}", f"*.message_sent={receiver.url()}"),
        webhook_secret=(SECRET,),
    )
    await say(gateway, "0")
    await until(lambda: slow.received)
    for number in range(1, 31):
        await say(gateway, str(number))  # returns, although one endpoint answers nothing
        await until(lambda seen=number: len(receiver.received) == seen + 1)
    assert (len(slow.received), gateway.bus.queued) == (1, 0)
    slow.holding.set()
    await until(lambda: len(slow.received) == 21)
    assert contents(slow) == ["0", *map(str, range(11, 31))]  # the oldest of 30 are dropped
    await until(lambda: gateway.bus.counters.webhooks_delivered[f"1:127.0.0.1:{slow.port}"] == 21)
    assert await counts(gateway, 1) == [21, 0, 10]
    assert await counts(gateway, 2) == [31, 0, 0]
    await slow.stop()


async def test_the_audit_goes_only_to_an_endpoint_whose_patterns_name_it(
    start: Start, receiver: Receiver
) -> None:
    named = await Receiver().start()
    gateway = await start(
        webhooks=(f"*,system.*={receiver.url()}", f"chat.*,{AUDIT}={named.url()}"),
        webhook_secret=(SECRET,),
    )
    await gateway.publisher.publish(AUDIT, {"action": "refused"})
    await say(gateway)
    await until(lambda: contents(receiver) and contents(named))
    assert (len(receiver.of(AUDIT)), len(named.of(AUDIT))) == (0, 1)
    await named.stop()


async def test_slack_gets_a_text_without_signature_and_needs_no_secret(
    start: Start, receiver: Receiver
) -> None:
    gateway = await start(webhooks=(f"slack:agent.attention_needed={receiver.url()}",))
    await gateway.publisher.publish(
        "agent.attention_needed",
        {"session_id": "s-9", "reason": "permission", "tool_name": "Bash", "summary": "a < b && c"},
        {"agent": "Claude Code"},
    )
    await until(lambda: receiver.received)
    (one,) = receiver.received
    text = "Claude Code asks for permission: Bash a &lt; b &amp;&amp; c (session s-9)"
    assert one.event == {"text": text}
    assert "webhook-signature" not in one.headers


async def test_a_shutdown_delivers_what_waits_and_a_restart_delivers_nothing_again(
    start: Start, receiver: Receiver
) -> None:
    receiver.holding = asyncio.Event()
    hook = (f"chat.*={receiver.url()}",)
    gateway = await start(webhooks=hook, webhook_secret=(SECRET,))
    for number in range(3):
        await say(gateway, str(number))
    await until(lambda: receiver.received)
    stopping = asyncio.create_task(gateway.stop())
    await until(lambda: all(worker[1].closed for worker in workers(gateway)))
    receiver.holding.set()
    await stopping
    assert contents(receiver) == ["0", "1", "2"]
    state_dir = gateway.settings.state_dir
    again = await start(webhooks=hook, webhook_secret=(SECRET,), state_dir=state_dir)
    assert again.bus.head == 3  # the journal continues the numbering
    await say(again, "3")
    await until(lambda: len(receiver.received) == 4)
    assert contents(receiver) == ["0", "1", "2", "3"]


def workers(gateway: Gateway) -> list[tuple[outbound.Delivery, outbound.Subscription]]:
    from app.plugin import plugin_of

    return list(plugin_of(gateway.app).gateway.outbound.workers.values())


async def test_a_shutdown_waits_for_a_bounded_time_and_counts_what_it_leaves(
    start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(outbound, "DRAIN_S", 0.05)
    receiver.holding = asyncio.Event()
    clock = FakeClock()
    down = await Receiver().start()
    await down.stop()
    gateway = await start(
        clock=clock,
        webhooks=(f"chat.*={receiver.url()}", f"chat.*={down.url()}"),
        webhook_secret=(SECRET,),
    )
    for number in range(3):
        await say(gateway, str(number))
    await until(lambda: receiver.received and clock.timers)
    await gateway.stop()
    counters = gateway.bus.counters
    assert counters.webhooks_dropped[f"1:127.0.0.1:{receiver.port}"] == 3
    assert counters.webhooks_failed[f"2:127.0.0.1:{down.port}"] == 3  # each tried once more
    dropped = [line["dropped"] for line in read(capsys) if line["event"] == "webhook_dropped"]
    assert sum(int(str(count)) for count in dropped) == 3


@pytest.mark.slow
async def test_the_gateway_ends_within_5_s_also_with_a_webhook_that_hangs(
    start: Start, receiver: Receiver
) -> None:
    receiver.holding = asyncio.Event()
    gateway = await start(webhooks=(f"chat.*={receiver.url()}",), webhook_secret=(SECRET,))
    await say(gateway)
    await until(lambda: receiver.received)
    assert await gateway.stop() < 5
    assert gateway.bus.counters.webhooks_dropped[f"1:127.0.0.1:{receiver.port}"] == 1


async def test_410_ends_an_endpoint_and_a_large_answer_is_not_read(
    start: Start, receiver: Receiver, capsys: Capture
) -> None:
    gateway = await start(webhooks=(f"chat.*={receiver.url()}",), webhook_secret=(SECRET,))
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"
    receiver.answers = [head + bytes(200_000), status(410)]
    await say(gateway)
    name = f"1:127.0.0.1:{receiver.port}"
    await until(lambda: gateway.bus.counters.webhooks_delivered[name] == 1)
    await say(gateway)
    await until(lambda: all(worker[1].closed for worker in workers(gateway)))
    await say(gateway)
    assert (len(receiver.received), await counts(gateway)) == (2, [1, 1, 0])
    assert "webhook_ended" in {line["event"] for line in read(capsys)}


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    start: Start, certificate: Path, capsys: Capture
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    receiver = await Receiver().start(tls)
    clock = FakeClock()
    hook = f"chat.*=https://localhost:{receiver.port}/"
    gateway = await start(clock=clock, webhooks=(hook,), webhook_secret=(SECRET,))
    capsys.readouterr()
    await say(gateway)
    await until(lambda: clock.timers)
    assert "CERTIFICATE_VERIFY_FAILED" in str(read(capsys))
    assert receiver.received == []
    await receiver.stop()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"webhooks": ("chat.*=https://example.org/hook",)}, "WEBHOOK_SECRET"),
        ({"webhooks": ("slack:chat.*=ftp://example.org",)}, r"entry 1 \(not shown\)"),
        ({"webhooks": ("slack:*=http://a/", "slack:*=https://[:::]/")}, r"entry 2 \(not"),
    ],
)
def test_webhooks_that_cannot_work_are_refused_at_the_start(
    settings: dict[str, tuple[str, ...]], names: str
) -> None:
    with pytest.raises(SettingsError, match=names):
        create_app(Settings(workspace=None, **settings))
