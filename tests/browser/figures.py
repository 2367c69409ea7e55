"""Figures of the console under load: `python -m tests.browser.figures`, two minutes on a quiet machine.

40 sessions of agents at 1,000 events a second: the longest frame and the longest task, beside the feed and
with a session open, the CPU time of the page's own thread a frame, and the JavaScript heap. A busy machine holds up
frames too, so each is tried three times; the CPU time is the page's alone.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, OFFLINE, log_in
from tests.browser.gateway import Gateway
from tests.browser.load import KEPT, PER_SECOND, SESSIONS, agent_event, calm, memory, pour

SECONDS = 5
TRIES = 3


def smoothest(page: Page, gateway: Gateway) -> dict[str, float]:
    """The frames of the best of three tries."""
    tries = [calm(page, gateway, SECONDS, agent_event) for _ in range(TRIES)]
    return min(tries, key=lambda frames: frames["longest_frame_ms"])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        gateway = Gateway(Path(folder) / "workspace")
        gateway.start()
        try:
            log_in(page, gateway)
            pour(page, gateway, 0, 2 * KEPT)
            expect(page.get_by_test_id("agent")).to_have_count(SESSIONS)
            print(f"{SESSIONS} sessions, {PER_SECOND} events/s, {2 * KEPT:,} events before")
            print("heap: {:.0f} MB, {} nodes".format(*memory(page)))
            print(f"beside the feed: {smoothest(page, gateway)}")
            page.get_by_test_id("agent-link").first.click()
            expect(page.get_by_test_id("step").first).to_be_visible()
            print(f"with a session open: {smoothest(page, gateway)}")
            print("heap: {:.0f} MB, {} nodes".format(*memory(page)))
        finally:
            gateway.stop()
        browser.close()


if __name__ == "__main__":
    main()
