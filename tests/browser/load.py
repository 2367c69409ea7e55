"""Load for the console: events by the thousand, and how smooth the page stays meanwhile."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import CDPSession, Page

from tests.browser.gateway import Gateway, until

Event = tuple[str, dict[str, object]]
PER_SECOND = 1000
KEPT = 20_000
SESSIONS = 40

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


def wait_for(page: Page, condition: str) -> None:
    """As `page.wait_for_function`, which the page's policy forbids."""
    until(lambda: page.evaluate(condition), condition, 30)


@contextmanager
def flood(
    gateway: Gateway, make: Callable[[int], Event] | None = None
) -> Iterator[Callable[[int], None]]:
    """1,000 events a second, a mixture or what `make` makes of a number, while the block runs.

    Yields a function that waits until so many more have been published.
    """
    make = make or event
    over = threading.Event()
    sent = 0

    def pour() -> None:
        nonlocal sent
        began = time.monotonic()
        while not over.is_set():
            due = int((time.monotonic() - began) * PER_SECOND) - sent
            gateway.publish(*(make(sent + index) for index in range(min(due, 200))), agent="Ada")
            sent += min(due, 200)
            time.sleep(0.02)

    def more(count: int) -> None:
        enough = sent + count
        until(lambda: sent >= enough, f"{count} more events are published")

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield more
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
    """Forty sessions call tools; every call ends, one in seven fails."""
    call = number // 2
    data: dict[str, object] = {
        "session_id": f"session-{call % SESSIONS}",
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
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate(WATCH_FRAMES)
    before = _cpu_ms(cdp)
    with flood(gateway, make):
        page.wait_for_timeout(seconds * 1000)
    seen = dict(page.evaluate(FRAMES))
    seen["cpu_ms_a_frame"] = round((_cpu_ms(cdp) - before) / max(1, seen["frames"]), 1)
    cdp.detach()
    return seen


def _cpu_ms(cdp: CDPSession) -> float:
    """The CPU time that the page's thread has used in tasks: other processes do not lengthen it."""
    metrics = cdp.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def pour(page: Page, gateway: Gateway, first: int, count: int) -> None:
    """Publish so many events of agents, no faster than the page reads."""
    for start in range(first, first + count, 500):
        last = gateway.publish(*(agent_event(n) for n in range(start, start + 500)))
        shown = f"e => e.textContent.includes('{last}')"
        wait_for(page, f"[...document.querySelectorAll('.seq')].some({shown})")


def expect_to_hold(page: Page, most_mb: float, most_nodes: float = math.inf) -> None:
    """Collect until heap and nodes are below these bounds.

    One look is not enough: when the page draws between the collection and the count, the nodes just
    replaced are counted too.
    """
    heap_mb, nodes = math.inf, 0

    def fits() -> bool:
        nonlocal heap_mb, nodes
        heap_mb, nodes = memory(page)
        return heap_mb < most_mb and nodes < most_nodes

    try:
        until(fits, f"below {most_mb:.0f} MB and {most_nodes} nodes", 30)
    finally:
        print(f"\nheld: {heap_mb:.0f} MB, {nodes} nodes")


def memory(page: Page) -> tuple[float, int]:
    """The JavaScript heap in megabytes and the number of nodes; test them with `expect_to_hold`."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("HeapProfiler.collectGarbage")
    heap_mb = float(cdp.send("Runtime.getHeapUsage")["usedSize"]) / 1e6
    nodes = int(cdp.send("Memory.getDOMCounters")["nodes"])
    cdp.detach()
    return heap_mb, nodes
