"""The console under load: what stays bounded. `-s` prints the figures too, which decide nothing here."""

import math
import time
from statistics import median

from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway, until
from tests.browser.load import (
    FRAMES,
    KEPT,
    PER_SECOND,
    SESSIONS,
    WATCH_FRAMES,
    agent_event,
    calm,
    event,
    expect_to_hold,
    flood,
    memory,
    pour,
    wait_for,
)

MOST_HEAP_MB = 150
# Shown are 1,800: the page itself 450, forty cards 850, twenty rows 500. The rows of a closed session (500)
# or one more set of the cards' contents (725), if the page kept them, would exceed the bound.
MOST_NODES = 2200
MOST_ROWS = 100  # in the document, of 20,000

# For every "probe <unix ms>" that is drawn: the time until its frame was painted. Also the newest number drawn.
WATCH_PROBES = """() => {
  window.latencies_ms = [];
  window.newest = 0;
  window.watching?.disconnect();
  const known = new Set();
  window.watching = new MutationObserver(() => {
    for (const seq of document.querySelectorAll(".line .seq")) {
      window.newest = Math.max(window.newest, Number(/\\d*$/.exec(seq.textContent)[0]));
    }
    for (const what of document.querySelectorAll(".line .what")) {
      const at = /probe (\\d+\\.\\d+)/.exec(what.textContent)?.[1];
      if (!at || known.has(at)) continue;
      known.add(at);
      requestAnimationFrame(() => setTimeout(() => {
        window.latencies_ms.push(performance.timeOrigin + performance.now() - Number(at));
      }));
    }
  });
  window.watching.observe(document.getElementById("feed"), { subtree: true, childList: true, characterData: true });
}"""


def probe(page: Page, gateway: Gateway, count: int) -> str:
    """The times from just before a publish to its pixels, once the page has drawn what came after each.

    A busy machine draws so few frames that newer rows may have pushed a probe out of sight before the first.
    """
    page.evaluate(WATCH_PROBES)
    for _ in range(count):
        number = gateway.say(f"probe {time.time() * 1000:.3f}")
        wait_for(page, f"window.newest >= {number}")
    seen = page.evaluate("window.latencies_ms") or [math.nan]
    return f"{median(seen):.0f} ms median, {max(seen):.0f} ms worst of {len(seen)}"


def test_of_20000_events_few_are_rows_and_none_is_lost(page: Page, gateway: Gateway) -> None:
    said = [("chat.message_sent", {"role": "user", "content": f"n{n}"}) for n in range(KEPT + 3000)]
    for start in range(0, len(said), 500):  # no faster than a page reads, or the page reports a gap
        last = gateway.publish(*said[start : start + 500])
        expect(page.get_by_test_id("row").first.locator(".seq")).to_have_text(f"#{last}")
    expect(page.get_by_test_id("tally")).to_have_text("20,000 of 20,000 events shown")
    assert page.get_by_test_id("row").count() < MOST_ROWS

    idle = probe(page, gateway, 20)
    frames = calm(page, gateway, 5)
    with flood(gateway):
        busy = probe(page, gateway, 20)
    print(f"\nidle: {idle}; {PER_SECOND} events/s: {busy}; {frames}")
    assert page.get_by_test_id("row").count() < MOST_ROWS
    expect(page.get_by_test_id("gap")).to_have_count(0)

    expect(page.get_by_test_id("folded-away")).to_have_text("Older events load as you scroll")


def test_scrolling_back_while_events_come_loads_pages_and_keeps_few_rows(
    page: Page, gateway: Gateway
) -> None:
    said = [("chat.message_sent", {"role": "user", "content": f"n{n}"}) for n in range(KEPT + 6000)]
    for start in range(0, len(said), 500):
        last = gateway.publish(*said[start : start + 500])
        expect(page.get_by_test_id("row").first.locator(".seq")).to_have_text(f"#{last}")
    page.keyboard.press("G")
    page.evaluate(WATCH_FRAMES)

    def at_oldest() -> bool:  # each time a page or more is loaded
        page.keyboard.press("G")
        return page.get_by_test_id("row").last.locator(".seq").inner_text() == "#1"

    with flood(gateway):
        until(at_oldest, "all pages are loaded")
    print(f"\nscrolling back: {page.evaluate(FRAMES)}")
    assert page.get_by_test_id("row").count() < MOST_ROWS
    expect(page.get_by_test_id("newest-end")).to_have_text("Newer events load as you scroll")


def test_a_filter_over_20000_events_finds_all_and_shows_few_rows(
    page: Page, gateway: Gateway
) -> None:
    events = [event(number) for number in range(KEPT)]
    for start in range(0, KEPT, 500):
        gateway.publish(*events[start : start + 500])
        count = f"document.getElementById('tally').textContent.includes(' {start + 500:,} events')"
        wait_for(page, count)
    took = page.evaluate("""() => ["m", "message 19", "nothing at all", "", "done"].map(text => {
          const field = document.getElementById("text");
          const took = [0, 1, 2].map(() => {
            const began = performance.now();
            field.value = text;
            field.dispatchEvent(new Event("input"));
            document.body.offsetHeight;  // the layout is part of it
            return performance.now() - began;
          });
          return Math.min(...took);  // a busy machine holds up a filter too: three tries
        })""")
    print(f"\nfilter, ms: {[round(ms, 1) for ms in took]}")
    assert page.get_by_test_id("row").count() < MOST_ROWS
    expect(page.get_by_test_id("tally")).to_contain_text("5,000 of 20,000 events shown")


def test_memory_does_not_grow_with_what_was_folded_away(page: Page, gateway: Gateway) -> None:
    def say(first: int, count: int) -> None:
        for start in range(first, first + count, 500):
            last = gateway.publish(*(event(n * 4) for n in range(start, start + 500)))
            wait_for(page, f"document.querySelector('.seq')?.textContent === '#{last}'")

    say(0, KEPT)
    full, _ = memory(page)
    print(f"\nheap: {full:.0f} MB with 20,000 events")
    say(KEPT, 2 * KEPT)
    expect_to_hold(page, full * 1.2 + 2)
    expect(page.get_by_test_id("tally")).to_have_text("20,000 of 20,000 events shown")


def test_40_sessions_at_1000_events_a_second_stay_within_their_bounds(
    page: Page, gateway: Gateway
) -> None:
    """The figure of the longest frame is that of `python -m tests.browser.figures`."""
    pour(page, gateway, 0, KEPT)
    expect(page.get_by_test_id("agent")).to_have_count(SESSIONS)
    with flood(gateway, lambda number: agent_event(KEPT + number)) as more:
        page.get_by_test_id("agent-link").first.click()  # it stays where it is
        expect(page.get_by_test_id("step").first).to_be_visible()
        more(2000)
        page.get_by_test_id("session-back").click()
        more(2000)
    expect(page.get_by_test_id("agent")).to_have_count(SESSIONS)
    expect(page.get_by_test_id("step")).to_have_count(0)
    expect_to_hold(page, MOST_HEAP_MB, MOST_NODES)
    expect(page.get_by_test_id("gap")).to_have_count(0)
