"""A browser's own `EventSource`: logged in by the cookie, cut off, and resuming by itself."""

from typing import Any

from tests.kit.gateway import Gateway
from tests.kit.login import ENTER_MS, link, needs_browser
from tests.kit.waiting import until
from tests.snippets import to_run

pytestmark = needs_browser
_, EVENT_SOURCE = to_run("docs/integrations.md")[-1]
LISTEN = f"""() => {{
  window.seen = [];
  {EVENT_SOURCE}
  window.source = source;
  source.addEventListener("message", event =>
    seen.push([event.lastEventId, JSON.parse(event.data)]));
}}"""
RECONNECT_MS = 20_000


async def seen(page: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    """All that has come, once it is so much."""
    await page.wait_for_function("count => seen.length >= count", arg=count, timeout=RECONNECT_MS)
    return [(id_, message) for id_, message in await page.evaluate("seen")]


async def test_an_event_source_gets_events_and_resumes_by_itself_after_a_cut(
    gateway: Gateway, page: Any
) -> None:
    epoch = gateway.bus.epoch
    await page.goto(link(gateway))
    origin = f"http://127.0.0.1:{gateway.port}"
    await page.wait_for_url(f"{origin}/", timeout=ENTER_MS)
    await page.goto(f"{origin}/api/health")  # a page of ours without a script of its own
    await page.evaluate(LISTEN)
    ((id_, connected),) = await seen(page, 1)
    assert (id_, connected["type"], connected["types"]) == (f"{epoch}:0", "connected", ["chat.*"])
    await gateway.publish(2)
    before = await seen(page, 3)
    assert [message["sequence_number"] for _, message in before[1:]] == [1, 2]

    for protocol in list(gateway.server.server_state.connections):
        protocol.transport.abort()
    await until(lambda: gateway.bus.subscriptions == 0)
    await gateway.publish(2, "missed")
    again = (await seen(page, 6))[3:]
    assert again[0][1]["resumed"] is True
    assert [id_ for id_, _ in again] == [f"{epoch}:{number}" for number in (2, 3, 4)]

    await page.evaluate("source.close()")
    await until(lambda: gateway.registry.taken == 0)
