"""The short film of the README: `python -m tests.browser.film docs/images/agents.gif`. Made up; needs Pillow.

Agents report at the pace of the film, a picture is taken every half second, and Pillow makes a GIF of them.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from app.events import Clock
from tests.browser.agents_story import film, film_past
from tests.browser.conftest import CHROMIUM, OFFLINE
from tests.browser.screenshots import StoryGateway, log_in, palette_of
from tests.browser.story import Scene

SIZE = {"width": 1080, "height": 660}
FRAME_S = 0.5
HOLD_S = 3.0  # the last picture
MOST_BYTES = 2_000_000


class FilmClock(Clock):
    """The machine's time, or a time so many seconds before it."""

    behind_s = 0.0

    def wall(self) -> float:
        return super().wall() - self.behind_s


def publish(gateway: StoryGateway, scenes: list[Scene]) -> None:
    """Publish scenes; those before the beginning, with negative times, with the times that they had."""
    for at, type_, data, metadata in scenes:
        gateway.clock.behind_s = max(0.0, -at)
        gateway.publisher.publish_from_thread(type_, data, metadata).result()
    gateway.clock.behind_s = 0.0


def acts(page: Page) -> list[tuple[float, Callable[[], None]]]:
    """What a person does, and when."""
    step = page.get_by_test_id("step")
    return [
        (17.5, lambda: page.get_by_test_id("agent-link").first.click()),
        (19.5, lambda: step.filter(has_text="pytest").first.locator(".line").click()),
        (22.0, lambda: page.keyboard.press("Escape")),
        (22.5, lambda: step.filter(has_text="Edit").first.locator(".line").click()),
        (25.5, lambda: page.keyboard.press("Escape")),
        (29.5, lambda: page.get_by_test_id("session-back").click()),
    ]


def shoot(page: Page, gateway: StoryGateway) -> list[Image.Image]:
    """A picture every half second of the film, from the first scene to the last act."""
    scenes, todo = film(), acts(page)
    length_s = max(scenes[-1][0], todo[-1][0]) + 1
    frames = []
    began = time.monotonic()
    for number in range(int(length_s / FRAME_S)):
        at = number * FRAME_S
        due = [scene for scene in scenes if scene[0] <= at]
        scenes = scenes[len(due) :]
        publish(gateway, due)
        while todo and todo[0][0] <= at:
            todo.pop(0)[1]()
        page.mouse.move(0, 0)
        page.wait_for_timeout(max(100.0, (began + at + FRAME_S - time.monotonic()) * 1000))
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return frames


def write(frames: list[Image.Image], path: Path) -> None:
    """Write a GIF with one palette: that of all frames together, so that colours do not flicker."""
    width, height = frames[0].size
    picked = frames[:: max(1, len(frames) // 8)]
    sheet = Image.new("RGB", (width, height * len(picked)))
    for place, frame in enumerate(picked):
        sheet.paste(frame, (0, place * height))
    palette = palette_of(sheet)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [round(FRAME_S * 1000)] * (len(drawn) - 1) + [round(HOLD_S * 1000)]
    drawn[0].save(
        path, save_all=True, append_images=drawn[1:], duration=times, loop=0, optimize=True
    )
    assert path.stat().st_size < MOST_BYTES, f"{path}: {path.stat().st_size} bytes"


def main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        gateway = StoryGateway(Path(state), FilmClock())
        with gateway.running():
            publish(gateway, film_past())
            page = log_in(browser.new_page(viewport=SIZE, reduced_motion="reduce"), gateway)
            expect(page.get_by_test_id("agent")).to_have_count(2)
            frames = shoot(page, gateway)
        browser.close()
    write(frames, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
