"""The pictures of the docs: `python -m tests.browser.screenshots docs/images`; `take` needs Pillow."""

import asyncio
import io
import re
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.channels.publisher import EventPublisher
from app.events import Clock
from app.main import create_app
from app.settings import Settings
from tests.browser.agents_story import agents_at_work
from tests.browser.conftest import CHROMIUM, OFFLINE
from tests.browser.gateway import free_port, until
from tests.browser.story import LENGTH_S, Scene, past, scenes

TOKEN = "screenshots"
SESSION = "agent.session_started"
MOST_BYTES = 250_000
MOST_FREQUENT = 192  # of the 256 colours of a picture
Colour = tuple[int, int, int]


class StoryClock(Clock):
    """Tells the time of the story, whose end is now."""

    def __init__(self) -> None:
        self.story_s = LENGTH_S
        self._end_s = time.time()

    def wall(self) -> float:
        return self._end_s - LENGTH_S + self.story_s


class StoryGateway:
    """A gateway in a thread of this process, so that its clock can follow the story."""

    def __init__(self, folder: Path, clock: Any = None) -> None:
        port = free_port()
        self.origin = f"http://127.0.0.1:{port}"
        self.clock = clock or StoryClock()
        settings = Settings(
            session_token=TOKEN, state_dir=folder, workspace=None, log_level="error"
        )
        self._app = create_app(settings, self.clock)
        self._server = uvicorn.Server(
            uvicorn.Config(self._app, port=port, ws="websockets-sansio", log_config=None)
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        until(lambda: self._server.started, "the gateway starts")
        try:
            yield
        finally:
            self._server.should_exit = True
            self._thread.join()

    @property
    def publisher(self) -> EventPublisher:
        publisher: EventPublisher = self._app.dependencies["publisher"].dependency()
        return publisher

    @property
    def epoch(self) -> str:
        return str(self._app.dependencies["bus"].dependency().epoch)

    def play(self, story: list[Scene]) -> int:
        """Publish a story with its own times; returns the number of its last event."""
        publisher = self.publisher
        number = 0
        for at, type_, data, metadata in story:
            self.clock.story_s = at
            event = publisher.publish_from_thread(type_, data, metadata).result()
            number = event.sequence_number
        self.clock.story_s = LENGTH_S
        return number

    def ticket(self) -> str:
        request = urllib.request.Request(
            f"{self.origin}/api/tickets", b"", {"X-Session-Token": TOKEN}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return str(answer.read().decode().split('"ticket":"')[1].split('"')[0])


def open_page(
    browser: Browser, gateway: StoryGateway, scheme: str, width: int, left: int = 0
) -> Page:
    """The console, live; for somebody who left after the event `left`."""
    context = browser.new_context(
        viewport={"width": width, "height": 900 if width > 600 else 844},
        color_scheme=scheme,
        device_scale_factor=1 if width > 600 else 1.5,
        reduced_motion="reduce",
    )
    if left:
        position = f"{gateway.epoch}:{left}"
        context.add_init_script(f"localStorage.setItem('sightline.left', '{position}')")
    return log_in(context.new_page(), gateway)


def log_in(page: Page, gateway: StoryGateway) -> Page:
    """The same page, live and with all that was before."""
    page.goto(f"{gateway.origin}/login#{gateway.ticket()}")
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("agents")).to_have_attribute("aria-busy", "false")
    return page


def palette_of(image: Image.Image) -> Image.Image:
    """The most frequent colours, so that areas keep theirs exactly, and then those least like them.

    Letters have hundreds of shades at their edges: by frequency alone, they would take the place of a small mark.
    """
    found = sorted(image.getcolors(image.width * image.height), reverse=True)
    colours = [colour for _, colour in found]
    chosen, rest = colours[:MOST_FREQUENT], colours[MOST_FREQUENT:]
    apart = {colour: min(_distance(colour, one) for one in chosen) for colour in rest}
    while apart and len(chosen) < 256:
        next_ = max(apart, key=apart.__getitem__)
        chosen.append(next_)
        del apart[next_]
        apart = {colour: min(far, _distance(colour, next_)) for colour, far in apart.items()}
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in chosen for part in colour])
    return palette


def _distance(a: Colour, b: Colour) -> int:
    return sum((one - other) ** 2 for one, other in zip(a, b, strict=True))


def take(page: Page, path: Path) -> None:
    """A picture with a palette: a third of the bytes."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    drawn = shot.quantize(palette=palette_of(shot), dither=Image.Dither.NONE)
    drawn.save(path, optimize=True)
    assert path.stat().st_size < MOST_BYTES, f"{path}: {path.stat().st_size} bytes"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        gateway = StoryGateway(Path(state))
        with gateway.running():
            before = past()
            gateway.play(before)
            pages = {
                "console-dark": open_page(browser, gateway, "dark", 1280),
                "console-narrow": open_page(browser, gateway, "light", 390),
            }
            number = gateway.play(scenes())
            for name, page in pages.items():
                if name == "console-narrow":
                    page.get_by_test_id("show-events").click()
                newest = page.get_by_test_id("row").first.locator(".seq")
                expect(newest).to_contain_text(f"{number}")
                expect(page.get_by_test_id("pace")).to_contain_text(f"{len(scenes())} ")
                if name == "console-dark":
                    row = page.locator('[data-kind="commit"]').first
                    row.locator(".line").click()
                    expect(row.get_by_test_id("detail")).to_be_visible()
                    page.mouse.move(0, 0)
                take(page, folder / f"{name}.png")
            night = next(i for i, (_, type_, *_) in enumerate(before) if type_ == SESSION)
            page = open_page(browser, gateway, "light", 1280, left=night)
            expect(page.get_by_test_id("away")).to_contain_text("3 sessions")
            line = page.get_by_test_id("left")
            while line.count() == 0 or line.bounding_box()["y"] > 600:
                page.get_by_test_id("scroller").evaluate("list => list.scrollBy(0, 150)")
                page.wait_for_timeout(50)
            page.wait_for_timeout(1000)  # the axis follows once a second
            take(page, folder / "console-history.png")
        with tempfile.TemporaryDirectory() as other:
            agents(browser, Path(other), folder)
        browser.close()


def agents(browser: Browser, state: Path, folder: Path) -> None:
    """The agents beside the feed, and the timeline of one, as a person sees them who opens the page later."""
    gateway = StoryGateway(state)
    with gateway.running():
        gateway.play(sorted([*scenes(), *agents_at_work(5)], key=lambda scene: scene[0]))
        for name, scheme, width in (
            ("agents-light", "light", 1280),
            ("agents-dark", "dark", 1280),
            ("agents-narrow", "light", 390),
        ):
            page = open_page(browser, gateway, scheme, width)
            expect(page.get_by_test_id("pace")).to_have_text(re.compile(r"[1-9]\d* in 15 minutes"))
            expect(page.get_by_test_id("agent")).to_have_count(5)
            if name == "agents-dark":
                page.get_by_test_id("agent-link").nth(2).click()
                for text in ("pytest", "Edit"):
                    page.get_by_test_id("step").filter(has_text=text).first.locator(".line").click()
                page.mouse.move(0, 0)
            take(page, folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
