"""The console under load, measured in the browser; `-s` prints the figures."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway, until

Event = tuple[str, dict[str, object]]
PER_SECOND = 1000
KEPT = 20_000
MOST_LATENCY_MS = 100
MOST_FRAME_MS = 50
MOST_FILTER_MS = 50
MOST_LOAD_MS = 100  # a page of the journal put into a window of 20,000 rows

# The longest task and the longest time between two frames, while it runs.
WATCH_FRAMES = """() => {
  const seen = window.seen = { longest_frame_ms: 0, longest_task_ms: 0, frames: 0, on: true };
  new PerformanceObserver(list => {
    for (const { duration } of list.getEntries()) seen.longest_task_ms = Math.max(seen.longest_task_ms, duration);
  }).observe({ type: "longtask" });
  let last;
  requestAnimationFrame(function tick(now) {
    if (last !== undefined) seen.longest_frame_ms = Math.max(seen.longest_frame_ms, now - last);
    last = now;
    seen.frames += 1;
    if (seen.on) requestAnimationFrame(tick);
  });
}"""
FRAMES = "() => { window.seen.on = false; return window.seen; }"

# For every "probe <unix ms>" that is said: the time until the frame that shows it was painted.
WATCH_PROBES = """() => {
  window.latencies_ms = [];
  const known = new Set();
  new MutationObserver(() => {
    for (const what of document.querySelectorAll(".line .what")) {
      const at = /probe (\\d+\\.\\d+)/.exec(what.textContent)?.[1];
      if (!at || known.has(at)) continue;
      known.add(at);
      requestAnimationFrame(() => setTimeout(() => {
        window.latencies_ms.push(performance.timeOrigin + performance.now() - Number(at));
      }));
    }
  }).observe(document.getElementById("feed"), { subtree: true, childList: true, characterData: true });
}"""


def wait_for(page: Page, condition: str) -> None:
    """As `page.wait_for_function`, which the page's policy forbids."""
    until(lambda: page.evaluate(condition), condition, 30)


def probe(page: Page, gateway: Gateway, count: int) -> list[float]:
    """Milliseconds from just before a publish to its pixels, sorted."""
    page.evaluate(WATCH_PROBES)
    for number in range(count):
        gateway.say(f"probe {time.time() * 1000:.3f}")
        wait_for(page, f"window.latencies_ms.length > {number}")
    return sorted(page.evaluate("window.latencies_ms"))


@contextmanager
def flood(gateway: Gateway, make: Callable[[int], Event] | None = None) -> Iterator[None]:
    """1,000 events a second, a mixture or what `make` makes of a number, while the block runs."""
    make = make or event
    over = threading.Event()

    def pour() -> None:
        began, sent = time.monotonic(), 0
        while not over.is_set():
            due = int((time.monotonic() - began) * PER_SECOND) - sent
            gateway.publish(*(make(sent + index) for index in range(min(due, 200))), agent="Ada")
            sent += min(due, 200)
            time.sleep(0.02)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def event(number: int) -> Event:
    kinds: list[Event] = [
        ("chat.message_sent", {"role": "user", "content": f"message {number}"}),
        ("file.modified", {"path": f"src/module_{number % 90}.py", "size": number}),
        ("chat.streaming_chunk", {"chunk": "word ", "message_id": f"m{number // 300}"}),
        ("kanban.card_moved", {"card_id": number, "to_column": "done"}),
    ]
    return kinds[number % len(kinds)]


def agent_event(number: int) -> Event:
    """Twenty sessions call tools; every call ends, one in seven fails."""
    call = number // 2
    data: dict[str, object] = {
        "session_id": f"session-{call % 20}",
        "folder": "/home/ada/shop",
        "tool_name": ("Read", "Grep", "Bash")[call % 3],
        "tool_use_id": f"call-{call}",
        "summary": f"src/module_{call % 90}.py",
    }
    if number % 2 == 0:
        return "agent.tool_called", data
    outcome = "ok" if call % 7 else "failed"
    return "agent.tool_finished", {**data, "outcome": outcome, "duration_ms": call % 900}


def calm(
    page: Page, gateway: Gateway, seconds: float, make: Callable[[int], Event] | None = None
) -> dict[str, float]:
    page.evaluate(WATCH_FRAMES)
    with flood(gateway, make):
        page.wait_for_timeout(seconds * 1000)
    return dict(page.evaluate(FRAMES))


def test_20000_events_stay_smooth_and_memory_stays_bounded(page: Page, gateway: Gateway) -> None:
    said = [("chat.message_sent", {"role": "user", "content": f"n{n}"}) for n in range(KEPT + 3000)]
    for start in range(0, len(said), 500):  # no faster than a page reads, or the page reports a gap
        last = gateway.publish(*said[start : start + 500])
        expect(page.get_by_test_id("row").first.locator(".seq")).to_have_text(f"#{last}")
    expect(page.get_by_test_id("tally")).to_have_text("20,000 of 20,000 events shown")
    assert page.get_by_test_id("row").count() < 100

    idle = probe(page, gateway, 20)
    # A machine that is busy with something else holds up frames too: the page has three tries.
    for _ in range(3):
        frames = calm(page, gateway, 5)
        if frames["longest_frame_ms"] <= MOST_FRAME_MS:
            break
    with flood(gateway):
        busy = probe(page, gateway, 20)
    print(
        f"\nidle: {idle[10]:.0f} ms median, {idle[-1]:.0f} ms worst; {PER_SECOND} events/s:", end=""
    )
    print(f" {busy[10]:.0f} ms median, {busy[-1]:.0f} ms worst; {frames}")
    # Of twenty the worst may be the machine's: it is shared.
    assert idle[18] < MOST_LATENCY_MS
    assert busy[18] < MOST_LATENCY_MS
    assert frames["longest_task_ms"] <= MOST_FRAME_MS
    assert frames["longest_frame_ms"] <= MOST_FRAME_MS
    expect(page.get_by_test_id("gap")).to_have_count(0)

    expect(page.get_by_test_id("folded-away")).to_have_text("Older events load as you scroll")


def test_scrolling_back_stays_smooth_while_events_come(page: Page, gateway: Gateway) -> None:
    said = [("chat.message_sent", {"role": "user", "content": f"n{n}"}) for n in range(KEPT + 6000)]
    for start in range(0, len(said), 500):
        last = gateway.publish(*said[start : start + 500])
        expect(page.get_by_test_id("row").first.locator(".seq")).to_have_text(f"#{last}")
    for _ in range(3):
        page.keyboard.press("Escape")
        page.keyboard.press("G")
        page.evaluate(WATCH_FRAMES)
        with flood(gateway):
            for _ in range(12):  # each time a page or more is loaded
                page.keyboard.press("G")
                page.wait_for_timeout(200)
        frames = page.evaluate(FRAMES)
        if frames["longest_task_ms"] <= MOST_LOAD_MS:
            break
    print(f"\nscrolling back: {frames}")
    assert frames["longest_task_ms"] <= MOST_LOAD_MS
    expect(page.get_by_test_id("newest-end")).to_have_text("Newer events load as you scroll")


def test_a_filter_over_20000_events_takes_under_50_ms(page: Page, gateway: Gateway) -> None:
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
    assert max(took) < MOST_FILTER_MS
    expect(page.get_by_test_id("tally")).to_contain_text("5,000 of 20,000 events shown")


def test_memory_does_not_grow_with_what_was_folded_away(page: Page, gateway: Gateway) -> None:
    cdp = page.context.new_cdp_session(page)

    def heap_mb() -> float:
        cdp.send("HeapProfiler.collectGarbage")
        return float(cdp.send("Runtime.getHeapUsage")["usedSize"]) / 1e6

    def pour(first: int, count: int) -> float:
        for start in range(first, first + count, 500):
            last = gateway.publish(*(event(n * 4) for n in range(start, start + 500)))
            wait_for(page, f"document.querySelector('.seq')?.textContent === '#{last}'")
        return heap_mb()

    full = pour(0, KEPT)
    twice = pour(KEPT, 2 * KEPT)
    print(f"\nheap: {full:.0f} MB with 20,000 events, {twice:.0f} MB after 60,000")
    assert twice < full * 1.2 + 2
    expect(page.get_by_test_id("tally")).to_have_text("20,000 of 20,000 events shown")


def test_20000_events_of_agents_stay_smooth_with_cards_and_a_session_open(
    page: Page, gateway: Gateway
) -> None:
    for start in range(0, KEPT, 500):
        last = gateway.publish(*(agent_event(n) for n in range(start, start + 500)))
        wait_for(
            page,
            f"[...document.querySelectorAll('.seq')].some(e => e.textContent.includes('{last}'))",
        )
    expect(page.get_by_test_id("agent")).to_have_count(20)

    def smooth() -> dict[str, float]:
        for _ in range(3):  # as above
            frames = calm(page, gateway, 4, agent_event)
            if frames["longest_frame_ms"] <= MOST_FRAME_MS:
                break
        return frames

    beside_feed = smooth()
    page.get_by_test_id("agent-link").first.click()
    expect(page.get_by_test_id("step").first).to_be_visible()
    in_session = smooth()
    print(f"\nagents: {beside_feed}; with a session open: {in_session}")
    for frames in (beside_feed, in_session):
        assert frames["longest_frame_ms"] <= MOST_FRAME_MS
    expect(page.get_by_test_id("gap")).to_have_count(0)
