"""The console over all that the journal keeps: scrolling, search, the time axis, and coming back."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import expect_state, log_in
from tests.browser.gateway import Gateway, until
from tests.browser.screenshots import StoryGateway
from tests.browser.story import LENGTH_S
from tests.kit.contrast import CONTRASTS

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

# Scroll to an end of the list in steps smaller than its window; the numbers of the rows as they come in sight.
SCROLL = """async ([step, last]) => {
  const scroller = document.getElementById("scroller");
  const seen = [], known = new Set(), doubled = [];
  const look = () => {
    const now = [...document.querySelectorAll(".row .seq")].map(e => Number(e.textContent.slice(1)));
    if (new Set(now).size !== now.length) doubled.push(now);
    for (const number of now.sort((a, b) => step > 0 ? b - a : a - b)) if (!known.has(number)) {
      known.add(number);
      seen.push(number);
    }
  };
  for (let moved = performance.now(); performance.now() - moved < 30_000 && !known.has(last); ) {
    look();
    const before = scroller.scrollTop;
    scroller.scrollTop += step * scroller.clientHeight * 0.8;
    await new Promise(resolve => requestAnimationFrame(resolve));
    if (scroller.scrollTop !== before) moved = performance.now();
  }
  look();
  return { seen, doubled: doubled.length };
}"""


class OldGateway(StoryGateway):
    """A gateway whose events have the times that a test wants."""

    def publish(self, age_s: float, type_: str, data: dict[str, object], **metadata: str) -> None:
        """Publish an event that happened `age_s` seconds ago."""
        self.clock.story_s = LENGTH_S - age_s
        publisher = self._app.dependencies["publisher"].dependency()
        publisher.publish_from_thread(type_, data, metadata).result()
        self.clock.story_s = LENGTH_S

    @property
    def link(self) -> str:
        return f"{self.origin}/login#{self.ticket()}"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[OldGateway]:
    gateway = OldGateway(tmp_path)
    with gateway.running():
        yield gateway


def rows(page: Page, text: str = "") -> Locator:
    return page.get_by_test_id("row").filter(has_text=text)


def commit(message: str) -> dict[str, object]:
    return {"commit_hash": "9f1c2abdef", "message": message, "author": "Ada", "files_changed": 1}


# --- scrolling ---


@pytest.mark.slow
def test_30000_events_scroll_back_and_forward_to_live_each_once(
    page: Page, gateway: Gateway
) -> None:
    for start in range(0, 30_000, 1000):
        gateway.say(*(f"n{n}" for n in range(start, start + 1000)))
    page.set_viewport_size({"width": 1280, "height": 2400})
    page.reload()
    expect(page.get_by_test_id("tally")).to_have_text("5,000 of 5,000 events shown")
    back = page.evaluate(SCROLL, [1, 1])
    assert back["seen"] == list(range(30_000, 0, -1))
    assert back["doubled"] == 0
    expect(page.get_by_test_id("folded-away")).to_have_text("The oldest event that is kept")
    expect(page.get_by_test_id("newest-end")).to_have_text("Newer events load as you scroll")
    last = gateway.say(*(f"live {n}" for n in range(100)))
    forward = page.evaluate(SCROLL, [-1, last])
    assert forward["seen"] == list(range(1, last + 1))
    assert forward["doubled"] == 0
    page.evaluate("document.getElementById('scroller').scrollTop = 0")
    expect(page.get_by_test_id("waiting")).to_be_hidden()
    gateway.say("after the journey")
    expect(rows(page).first).to_contain_text("after the journey")


def test_older_events_load_as_one_scrolls_in_either_order(page: Page, gateway: Gateway) -> None:
    gateway.say(*(f"n{n}" for n in range(5600)))
    page.reload()
    expect(rows(page, "n5599")).to_have_count(1)
    page.get_by_test_id("order").click()
    expect(page.get_by_test_id("order")).to_have_text("Newest last")
    back = page.evaluate(SCROLL, [-1, 1])
    assert back["doubled"] == 0
    assert sorted(back["seen"]) == list(range(1, 5601))
    expect(rows(page).first).to_contain_text("n0")


def test_filters_apply_to_what_is_kept_and_rare_events_are_looked_for(
    page: Page, gateway: Gateway
) -> None:
    gateway.publish(("git.commit_created", commit("The first commit of all")), agent="Ada")
    gateway.publish(("workflow.failed", {"workflow_id": "w", "error": "no space"}), agent="Bob")
    gateway.say(*(f"n{n}" for n in range(5200)))
    page.reload()
    expect(rows(page, "n5199")).to_have_count(1)
    for hash_, text in (
        ("ns=git", "The first commit"),
        ("who=Ada", "The first commit"),
        ("failed=1", "no space"),
        ("type=workflow.failed", "no space"),
        ("q=first", "The first commit"),
    ):
        page.evaluate("hash => { location.hash = hash; }", hash_)
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text(text)
    page.get_by_test_id("clear-filters").click()
    expect(rows(page, "n5199")).to_have_count(1)


# --- search ---


def test_a_search_finds_last_weeks_commit_and_says_how_many_hits_are_kept(
    open_page: Callable[[], Page], old: OldGateway
) -> None:
    old.publish(7 * DAY_S, "git.commit_created", commit("Fix the tokenizer of the parser"))
    old.publish(7 * DAY_S, "git.commit_created", commit("Describe the grammar"))
    for n in range(40):
        role = {"role": "user", "content": f"the tokenizer, part {n}"}
        old.publish(6 * DAY_S - n, "chat.message_sent", role)
    page = open_page()
    log_in_old(page, old)
    page.get_by_test_id("filter-text").fill("tokeniz pars")
    expect(page.get_by_test_id("hits")).to_have_text("1 hit")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("Fix the tokenizer of the parser")
    expect(rows(page).locator("mark").first).to_have_text("tokeniz")
    page.get_by_test_id("filter-text").fill('"the tokenizer"')
    expect(page.get_by_test_id("hits")).to_have_text("41 hits")
    old.publish(0, "git.commit_created", commit("Praise the tokenizer"))
    expect(page.get_by_test_id("hits")).to_have_text("42 hits")
    page.get_by_test_id("namespace-git").click()
    expect(page.get_by_test_id("hits")).to_have_text("2 hits")
    page.get_by_test_id("filter-text").fill("nowhere at all")
    expect(page.get_by_test_id("hits")).to_have_text("0 hits")
    expect(page.get_by_test_id("empty")).to_contain_text("No event fits the filters")


# --- jumping ---


def test_the_time_axis_jumps_to_a_time_and_says_where_one_is(
    open_page: Callable[[], Page], old: OldGateway
) -> None:
    for hour in range(240, 0, -1):
        data = {"role": "user", "content": f"{hour} hours ago"}
        old.publish(hour * HOUR_S, "chat.message_sent", data)
    for n in range(5100):
        old.publish(60 - n / 100, "chat.message_sent", {"role": "user", "content": f"new {n}"})
    page = open_page()
    log_in_old(page, old)
    slider = page.get_by_test_id("axis-slider")
    expect(slider).to_have_attribute("aria-valuetext", "Now")
    expect(page.get_by_test_id("axis")).to_contain_text("1 day")
    slider.evaluate(
        """(slider, value) => {
        slider.value = value;
        slider.dispatchEvent(new Event("input"));
        slider.dispatchEvent(new Event("change"));
    }""",
        100,
    )
    expect(rows(page, "hours ago").first).to_be_visible()
    expect(page.get_by_test_id("newest-end")).to_have_text("Newer events load as you scroll")
    expect(slider).to_have_attribute(
        "aria-valuetext", re.compile(r"^\d+ [A-Z][a-z]{2}( \d{4})? \d\d:\d\d$")
    )
    slider.evaluate("""slider => {  // the page moves it too, once a second
        slider.addEventListener("keydown", () => { slider.from = Number(slider.value); });
        slider.addEventListener("input", () => { slider.to = Number(slider.value); });
    }""")
    slider.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: slider.evaluate("s => s.to === s.from + 1"), "an arrow moves the slider")
    page.get_by_test_id("follow").click()
    expect(rows(page, "new 5099")).to_be_visible()


def test_a_click_on_the_chart_jumps_to_its_minute(
    open_page: Callable[[], Page], old: OldGateway
) -> None:
    for minute in range(9, -1, -1):
        for n in range(80):
            data = {"role": "user", "content": f"minute {minute} part {n}"}
            old.publish(minute * 60 + 5 - n / 100, "chat.message_sent", data)
    page = open_page()
    log_in_old(page, old)
    expect(rows(page, "minute 0 part 79")).to_be_visible()
    chart = page.get_by_test_id("chart")
    box = chart.bounding_box()
    expect(chart.locator("g").nth(9)).to_be_attached()
    assert chart.locator("g").count() < 15  # it begins where there is data
    chart.click(position={"x": box["width"] / 40, "y": 20})  # its first bar
    expect(rows(page, "minute 9 part").first).to_be_visible()
    expect(page.get_by_test_id("waiting")).to_be_visible()


# --- coming back ---


def log_in_old(page: Page, gateway: OldGateway) -> None:
    page.goto(gateway.link)
    page.wait_for_url(f"{gateway.origin}/")
    expect_state(page, "live")
    expect(page.get_by_role("feed")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("talk", [10, 5100], ids=["in the feed", "beyond the feed"])
def test_who_comes_back_reads_what_was_missed_and_sees_where_it_begins(
    open_page: Callable[[], Page], context: BrowserContext, old: OldGateway, talk: int
) -> None:
    old.publish(3 * HOUR_S, "chat.message_sent", {"role": "user", "content": "good night"})
    for session in ("a", "b", "c"):
        old.publish(2 * HOUR_S, "agent.session_started", {"session_id": session}, agent="Ada")
    old.publish(HOUR_S, "workflow.failed", {"workflow_id": "w", "error": "no space"})
    for n in range(21):
        old.publish(1800 - n, "file.modified", {"path": f"src/{n}.py", "is_directory": False})
    for n in range(6):
        old.publish(900 - n * 60, "git.commit_created", commit(f"Number {n}"))
    for n in range(talk):
        old.publish(300 - n / 100, "chat.message_sent", {"role": "user", "content": f"talk {n}"})
    page = open_page()
    page.add_init_script(f"localStorage.setItem('sightline.left', '{old.epoch}:1')")
    log_in_old(page, old)
    away = page.get_by_test_id("away")
    expect(away).to_contain_text(
        re.compile(
            r"^Since (\d+ \w+ )?\d\d:\d\d you missed: 3 sessions, 1 failed, 21 file changes, 6 commits"
        )
    )
    page.get_by_test_id("away-go").click()
    expect(away).to_have_count(0)
    line = page.get_by_test_id("left")
    expect(line).to_be_visible()
    expect(line).to_have_text(re.compile(r"^You left here at (\d+ \w+ )?\d\d:\d\d$"))
    order = page.locator(".row").all_inner_texts()
    at = next(i for i, text in enumerate(order) if "You left here" in text)
    assert "good night" in order[at + 1]
    assert "started a session" in order[at - 1]
    assert (
        page.evaluate("Object.keys(localStorage).filter(key => key.includes('left')).length") == 1
    )


def test_the_position_alone_is_kept_when_one_leaves(page: Page, gateway: Gateway) -> None:
    last = gateway.say("one", "two")
    expect(rows(page)).to_have_count(2)
    page.reload()
    expect(rows(page)).to_have_count(2)
    left = page.evaluate("localStorage.getItem('sightline.left')")
    assert re.fullmatch(rf"[\w.-]+:{last}", left)
    expect(page.get_by_test_id("away")).to_have_count(0)  # nothing was missed


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_the_gateway_and_a_reload_lose_nothing_from_the_page(
    page: Page, gateway: Gateway, how: str
) -> None:
    gateway.say(*(f"n{n}" for n in range(300)))
    expect(page.get_by_test_id("tally")).to_have_text("300 of 300 events shown")
    getattr(gateway, how)()
    expect_state(page, "reconnecting")
    gateway.start()
    gateway.say("after the restart")
    page.get_by_test_id("reconnect").evaluate("button => button.click()")
    expect(rows(page, "after the restart")).to_have_count(1)
    gaps = 1 if how == "kill" else 0
    for _ in range(2):
        expect(page.get_by_test_id("tally")).to_have_text(
            f"{301 + gaps} of {301 + gaps} events shown"
        )
        expect(page.get_by_test_id("gap")).to_have_count(gaps)
        expect(rows(page).first).to_contain_text("after the restart")
        page.reload()


def test_a_page_that_was_cut_off_for_long_gets_all_of_it_from_the_journal(
    page: Page, context: BrowserContext, gateway: Gateway
) -> None:
    gateway.say("before")
    expect(rows(page)).to_have_count(1)
    gateway.freeze()
    context.set_offline(True)
    expect_state(page, "reconnecting")
    gateway.thaw()
    gateway.say(*(f"meanwhile {n}" for n in range(400)))  # more than is replayed
    context.set_offline(False)
    expect_state(page, "live")
    expect(page.get_by_test_id("tally")).to_have_text("401 of 401 events shown")
    expect(page.get_by_test_id("gap")).to_have_count(0)
    gateway.say("after")
    expect(rows(page).first).to_contain_text("after")


def test_the_chips_count_what_is_listed_and_the_head_says_now_beside_the_past(
    open_page: Callable[[], Page], old: OldGateway
) -> None:
    for number in range(40):
        data = {"role": "user", "content": f"early {number}"}
        old.publish(3 * HOUR_S - number, "chat.message_sent", data)
    old.publish(90, "file.created", {"path": "a.py"})
    page = open_page()
    log_in_old(page, old)
    expect(page.get_by_test_id("tally")).to_have_text("41 of 41 events shown")
    expect(page.get_by_test_id("namespace-chat")).to_have_text("chat40")
    expect(page.get_by_test_id("namespace-file")).to_have_text("file1")
    glance = page.get_by_test_id("glance")
    expect(glance).to_have_attribute("data-then", "false")
    page.keyboard.press("G")
    expect(glance).to_have_attribute("data-then", "true")
    heading = glance.get_by_role("heading", name="Last commit · now")
    expect(heading).to_be_visible()
    page.keyboard.press("g")
    expect(glance).to_have_attribute("data-then", "false")
    expect(page.locator("#chart .sight")).to_have_count(1)


# --- failures, times, and no journal ---


def test_failures_have_a_filter_with_their_count_and_keys(page: Page, gateway: Gateway) -> None:
    gateway.say(*(f"early {n}" for n in range(60)))
    gateway.publish(("workflow.failed", {"workflow_id": "w", "error": "first"}), agent="Ada")
    gateway.say(*(f"late {n}" for n in range(60)))
    gateway.publish(("workflow.failed", {"workflow_id": "v", "error": "second"}), agent="Ada")
    gateway.say("last")
    failed = page.get_by_test_id("filter-failed")
    expect(failed).to_have_text("Failed2")
    focused = page.locator("article:focus")
    page.keyboard.press("e")
    expect(focused).to_contain_text("second")
    page.keyboard.press("e")
    expect(focused).to_contain_text("first")
    page.keyboard.press("E")
    expect(focused).to_contain_text("second")
    gateway.say(*(f"more {n}" for n in range(5200)))
    page.reload()
    expect(rows(page, "more 5199")).to_have_count(1)
    expect(failed).to_have_text("Failed0")
    page.keyboard.press("e")  # none is loaded: the next one is looked for in the journal
    expect(focused).to_contain_text("second")
    expect(page.get_by_test_id("newest-end")).to_have_text("Newer events load as you scroll")
    page.keyboard.press("e")
    expect(focused).to_contain_text("first")
    page.keyboard.press("e")
    expect(page.get_by_test_id("announcer")).to_have_text("No further failure")
    failed.click()
    expect(failed).to_have_attribute("aria-pressed", "true")
    expect(rows(page)).to_have_count(2)
    expect(page).to_have_url(re.compile("#failed=1$"))


def test_a_failed_workflow_stays_on_its_card_and_a_quiet_one_says_since_when(
    open_page: Callable[[], Page], old: OldGateway
) -> None:
    for id_, name in (("w", "Create PRD"), ("v", "Nightly")):
        old.publish(90, "workflow.started", {"workflow_id": id_, "workflow_name": name})
    step = {"workflow_id": "w", "step_name": "Draft", "step_index": 4, "total_steps": 6}
    old.publish(75, "workflow.step_completed", step)
    old.publish(70, "workflow.failed", {"workflow_id": "v", "error": "no space"})
    page = open_page()
    log_in_old(page, old)
    workflows = page.get_by_test_id("workflow")
    expect(workflows.first).to_contain_text(re.compile(r"Create PRD\s*4 of 6, quiet for 1 min"))
    expect(workflows.last).to_contain_text(re.compile(r"Nightly\s*failed 1 min ago"))
    expect(page.locator("#workflows-title")).to_have_text("Workflows (1 running, 1 failed)")
    expect(page.get_by_test_id("newest-end")).to_have_text("Nothing in the last 30 s")


def test_times_are_ages_or_by_the_clock_as_one_chooses(
    open_page: Callable[[], Page], old: OldGateway
) -> None:
    old.publish(3 * HOUR_S + 5, "chat.message_sent", {"role": "user", "content": "Hi"})
    page = open_page()
    log_in_old(page, old)
    time = rows(page).locator("time")
    expect(time).to_have_text("3 h ago")
    page.get_by_test_id("times").click()
    expect(time).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
    page.reload()
    expect(page.get_by_test_id("times")).to_have_text("Clock times")
    expect(time).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))


def test_without_a_journal_the_page_says_how_long_nothing_happened(
    open_page: Callable[[], Page], tmp_path: Path
) -> None:
    gateway = Gateway(tmp_path / "workspace", SIGHTLINE_JOURNAL="")
    gateway.start()
    try:
        page = open_page()
        log_in(page, gateway)
        expect(page.get_by_test_id("empty")).to_contain_text("Nothing in the last 30 s")
        expect(page.get_by_test_id("axis")).to_be_hidden()
        gateway.say(*(f"n{n}" for n in range(300)))
        expect(page.get_by_test_id("tally")).to_have_text("300 of 300 events shown")
        page.get_by_test_id("filter-text").fill("n299")
        expect(rows(page)).to_have_count(1)
        expect(page.get_by_test_id("hits")).to_be_hidden()
        page.reload()
        expect(page.get_by_test_id("tally")).to_have_text("1 of 300 events shown")
    finally:
        gateway.stop()


# --- looks ---


def are_apart(labels: Locator) -> bool:
    """Whether no label overlaps its neighbour; they are drawn once a second."""
    sides = labels.evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(({ left, right }) => [left, right])"
    )
    return len(sides) > 1 and all(a[1] <= b[0] for a, b in pairwise(sides))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_line_the_axis_and_the_hits_are_legible_and_fit_on_a_phone(
    open_page: Callable[[], Page], old: OldGateway, scheme: str
) -> None:
    for hour in range(30, 0, -1):
        data = {"role": "user", "content": f"{hour} hours ago " + "w" * 200}
        old.publish(hour * HOUR_S, "chat.message_sent", data)
    old.publish(90, "workflow.started", {"workflow_id": "w", "workflow_name": "x" * 100})
    old.publish(80, "workflow.failed", {"workflow_id": "v", "error": "no space"})
    page = open_page()
    page.emulate_media(color_scheme=scheme)
    page.add_init_script(f"localStorage.setItem('sightline.left', '{old.epoch}:20')")
    log_in_old(page, old)
    expect(page.get_by_test_id("away")).to_be_visible()
    page.get_by_test_id("filter-text").fill("hours")
    expect(page.get_by_test_id("hits")).to_have_text("30 hits")
    expect(page.get_by_test_id("left")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_test_id("axis")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("away-go", "away-dismiss", "hits", "filter-failed", "axis-slider", "axis-label"):
        expect(page.get_by_test_id(name)).to_be_in_viewport(ratio=1)
    until(lambda: are_apart(page.locator("#axis-ticks span")), "the labels of the axis are apart")
    assert page.get_by_test_id("scroller").bounding_box()["height"] > 200
