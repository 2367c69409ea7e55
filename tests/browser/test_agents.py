"""The agents on the page: who works, who waits, who failed; also late, after a restart, and by keyboard."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from app.events import Clock
from tests.browser.agents_story import agents_at_work
from tests.browser.conftest import expect_state, log_in
from tests.browser.gateway import Gateway, until
from tests.browser.screenshots import StoryGateway
from tests.browser.story import LENGTH_S
from tests.recordings import hooks_of

NASTY = "<img src=x onerror=\"document.title='hacked'\">\u202e"
DETAIL = "step-detail"


def agents(page: Page) -> Locator:
    return page.get_by_test_id("agent")


def states(page: Page) -> list[tuple[str, str]]:
    """Project and state of each card, from top to bottom."""
    return [
        (card.locator(".project").inner_text(), card.get_attribute("data-state") or "")
        for card in agents(page).all()
    ]


def expect_states(page: Page, expected: list[tuple[str, str]]) -> None:
    until(lambda: states(page) == expected, f"the cards are {expected}")


def steps(page: Page, text: str = "") -> Locator:
    return page.get_by_test_id("step").filter(has_text=text)


def replay(gateway: Gateway, name: str, first: int | None = None) -> None:
    """Post the hooks of a recorded session as the agent did."""
    for path, body in hooks_of(name)[:first]:
        agent = "codex" if path.endswith("codex") else "claude-code"
        headers = {"X-Session-Token": gateway.token, "Content-Type": "application/json"}
        url = f"{gateway.origin}/api/hooks/{agent}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()


def three() -> list[tuple[str, dict[str, object]]]:
    """Three agents: one works, one waits for a person, one failed."""

    def of(name: str, type_: str, **data: object) -> tuple[str, dict[str, object]]:
        fields = {"session_id": f"{name}-1", "folder": f"/home/ada/{name}", **data}
        return f"agent.{type_}", fields

    make = {"tool_name": "Bash", "tool_use_id": "t1", "summary": "make test"}
    push = {"tool_name": "Bash", "tool_use_id": "t2", "summary": "git push --force"}
    asked = {"tool_name": "Bash", "summary": "git push --force"}
    return [
        of("worker", "turn_started", prompt="Run the tests"),
        of("worker", "tool_called", **make),
        of("worker", "usage_reported", input_tokens=40_000, output_tokens=2000, cost_usd=0.42),
        of("asker", "turn_started", prompt="Release it"),
        of("asker", "tool_called", **push),
        of("asker", "attention_needed", reason="permission", **asked),
        of("loser", "turn_started", prompt="Write the manual"),
        of("loser", "error", error="rate_limit", message="The model is busy"),
    ]


def simulate(gateway: Gateway) -> None:
    for event in three():
        gateway.publish(event, agent="Claude Code")


def expect_read(page: Page) -> None:
    """Who works, who waits, who failed and what it cost is read from the page, without a scroll or a click."""
    page.bring_to_front()  # what is in sight is not told of a page behind another one
    for title, project, words in (
        ("Waiting for you", "asker", "git push --force"),
        ("Failed", "loser", "rate_limit: The model is busy"),
        ("Working", "worker", "make test"),
    ):
        group = page.get_by_role("region", name=title, exact=True)
        expect(group.get_by_role("listitem")).to_have_count(1)
        expect(group.get_by_role("link", name=f"Claude Code, {project}")).to_be_in_viewport(ratio=1)
        expect(group.get_by_text(words)).to_be_in_viewport(ratio=1)
    expect(page.get_by_text("$0.42 reported by")).to_be_in_viewport(ratio=1)


THREE = [("asker", "waiting"), ("loser", "failed"), ("worker", "working")]


def test_the_page_says_who_works_who_waits_and_who_failed(page: Page, gateway: Gateway) -> None:
    expect(page.get_by_test_id("agents")).to_be_hidden()
    simulate(gateway)
    replay(gateway, "tool_fails")
    expect(agents(page)).to_have_count(4)
    expect_states(page, [*THREE, ("project", "finished")])
    expect_read(page)
    expect(page.get_by_test_id("agents-tally")).to_have_text(
        "1 waiting for you1 failed1 working1 finished"
    )
    expect(page.get_by_test_id("agent-asks")).to_contain_text("asks for permission")
    expect(page.get_by_test_id("agent-asks")).to_contain_text("git push --force")
    expect(agents(page).nth(1)).to_contain_text("rate_limit: The model is busy")
    expect(page.get_by_test_id("agent-call")).to_contain_text("make test")
    expect(agents(page).nth(3)).to_contain_text("3 failed")


@pytest.mark.parametrize("cleanly", [True, False], ids=["restarted", "killed"])
def test_after_a_restart_the_page_and_a_new_one_say_the_same(
    page: Page, open_page: Callable[[], Page], gateway: Gateway, cleanly: bool
) -> None:
    simulate(gateway)
    expect(agents(page)).to_have_count(3)
    if cleanly:
        gateway.stop()
    else:
        gateway.kill()
    gateway.start()
    expect_state(page, "live")
    second = open_page()
    log_in(second, gateway)
    expect(agents(second)).to_have_count(3)
    for one in (page, second):
        expect_states(one, THREE)
        expect_read(one)
    gateway.publish(
        ("agent.turn_finished", {"session_id": "worker-1", "summary": "All pass."}),
        agent="Claude Code",
    )
    for one in (page, second):
        expect(agents(one).nth(2)).to_have_attribute("data-state", "idle")


def test_what_agents_did_while_a_page_was_away_is_read_from_the_journal(
    page: Page, gateway: Gateway
) -> None:
    simulate(gateway)
    expect(agents(page)).to_have_count(3)
    page.context.set_offline(True)
    gateway.stop()
    gateway.start()
    error = {"session_id": "worker-1", "error": "overloaded"}
    gateway.publish(("agent.error", error), agent="Claude Code")
    gateway.say(*(f"more than a page is sent when it comes back: {n}" for n in range(300)))
    expect_state(page, "reconnecting")
    page.context.set_offline(False)
    expect_state(page, "live")
    expect(agents(page).filter(has_text="worker")).to_have_attribute("data-state", "failed")
    page.get_by_role("link", name="worker").click()
    expect(steps(page, "overloaded")).to_be_visible()


class LateClock(Clock):
    """Tells a time that is `behind_s` seconds ago."""

    behind_s = 50.0

    def wall(self) -> float:
        return super().wall() - self.behind_s

    def monotonic(self) -> float:
        return super().monotonic() - self.behind_s


@pytest.fixture
def late(tmp_path: Path) -> Iterator[StoryGateway]:
    gateway = StoryGateway(tmp_path, LateClock())
    with gateway.running():
        yield gateway


@pytest.fixture
def late_page(context: BrowserContext, late: StoryGateway) -> Callable[[], Page]:
    def open_one() -> Page:
        page = context.new_page()
        page.goto(f"{late.origin}/login#{late.ticket()}")
        expect(page.get_by_test_id("agents")).to_have_attribute("aria-busy", "false")
        return page

    return open_one


def test_who_opens_the_page_fifty_seconds_late_reads_the_same(
    late: StoryGateway, late_page: Callable[[], Page]
) -> None:
    for type_, data in three():
        late.publisher.publish_from_thread(type_, data, {"agent": "Claude Code"}).result()
    late.clock.behind_s = 0.0  # more than the 30 s for which events are retained
    page = late_page()
    expect_states(page, THREE)
    expect_read(page)
    clock = page.get_by_test_id("agent-call").locator(".ticking").inner_text()
    assert "0:50" <= clock < "5:00", clock  # a busy machine may open it later still


def test_a_call_and_its_result_are_one_row_that_opens_to_its_kind(
    page: Page, gateway: Gateway
) -> None:
    replay(gateway, "files")
    page.get_by_test_id("agent-link").click()
    expect(page.get_by_test_id("session-lead")).to_have_text("The start of the session")
    calls = page.locator('[data-testid="step"][data-kind="call"]')
    expect(calls).to_have_count(6)
    edit = calls.filter(has_text="Edit").first
    expect(edit).to_contain_text("src/prices.py")  # relative to the workspace
    edit.locator(".line").click()
    diff = edit.get_by_test_id("diff")
    expect(diff.locator(".remove")).to_contain_text("return price - percent")
    expect(diff.locator(".add")).to_contain_text("return price * (1 - percent / 100)")
    expect(edit.get_by_test_id("raw")).not_to_have_attribute("open", "")
    edit.get_by_test_id("raw").locator("summary").click()
    expect(edit.get_by_test_id("raw")).to_contain_text('"tool_input"')
    files = page.get_by_test_id("session-files")
    files.locator("summary").click()
    expect(files.locator("li")).to_have_text(["src/prices.py", "CHANGES.md", "README.md"])


def test_a_command_opens_as_a_terminal_with_its_exit_status(page: Page, gateway: Gateway) -> None:
    replay(gateway, "tool_fails")
    page.get_by_test_id("agent-link").click()
    row = steps(page, "python3 test_prices.py")
    expect(row).to_contain_text("exit 1: AssertionError: 190")
    row.locator(".line").click()
    terminal = row.get_by_test_id("terminal")
    expect(terminal).to_contain_text("$ python3 test_prices.py")
    expect(terminal.locator("figcaption")).to_contain_text("exit 1, 61 ms")
    refused = steps(page, "Edit")  # only its batch names it
    expect(refused).to_contain_text("String to replace not found")


def test_a_long_session_is_scrolled_to_its_start_and_goes_on_live(
    page: Page, gateway: Gateway
) -> None:
    call = {"session_id": "s", "tool_name": "Read"}
    gateway.publish(("agent.turn_started", {"session_id": "s", "prompt": "The very first"}))
    gateway.publish(
        *(
            ("agent.tool_called", {**call, "tool_use_id": f"t{n}", "summary": f"f{n}"})
            for n in range(2500)
        )
    )
    page.get_by_test_id("agent-link").click()
    expect(steps(page, "f2499")).to_be_visible()
    lead = page.get_by_test_id("session-lead")
    expect(lead).to_have_text("Scroll up for what came before")

    def at_start() -> bool:  # a page that arrives leaves the reader where they are: scroll again
        page.get_by_test_id("session-scroller").evaluate("e => { e.scrollTop = 0 }")
        return steps(page, "The very first").is_visible()

    until(at_start, "all pages are loaded")
    expect(lead).to_have_text("The start of the session")
    gateway.publish(("agent.error", {"session_id": "s", "error": "overloaded"}))
    expect(page.get_by_test_id("session-errors")).to_have_text("1 error")
    expect(steps(page, "overloaded")).to_have_count(0)  # the reader stays where they are
    page.get_by_test_id("session-follow").click()
    expect(steps(page, "overloaded")).to_be_visible()


def test_a_session_whose_newest_events_make_few_rows_is_loaded_to_its_start(
    page: Page, gateway: Gateway
) -> None:
    gateway.publish(("agent.turn_started", {"session_id": "s", "prompt": "The very first"}))
    word = {"session_id": "s", "message_id": "m", "content": "word "}
    gateway.publish(*[("agent.message", word)] * 2500)
    page.get_by_test_id("agent-link").click()
    expect(page.get_by_test_id("session-lead")).to_have_text("The start of the session")
    expect(steps(page)).to_have_count(2)
    expect(steps(page, "The very first")).to_be_visible()


def test_sub_agents_fold_and_errors_can_be_jumped_between(page: Page, gateway: Gateway) -> None:
    replay(gateway, "subagent_permission")
    page.get_by_test_id("agent-link").click()
    expect(page.get_by_test_id("session-errors")).to_have_text("2 errors")
    parent = page.locator('[data-testid="step"][aria-expanded]')
    expect(parent).to_have_attribute("aria-expanded", "true")  # something failed inside
    page.get_by_test_id("session-fold").click()
    expect(parent).to_have_attribute("aria-expanded", "false")
    expect(parent).to_contain_text("2 failed")
    for state in ("denied", "failed", "denied"):
        page.get_by_test_id("next-error").click()
        expect(page.locator('.step[aria-current="true"]')).to_have_attribute("data-state", state)
    expect(parent).to_have_attribute("aria-expanded", "true")


def test_everything_by_keyboard(page: Page, gateway: Gateway) -> None:
    simulate(gateway)
    replay(gateway, "tool_fails")
    expect_states(page, [*THREE, ("project", "finished")])
    page.keyboard.press("a")
    expect(page.get_by_test_id("agent-link").first).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    expect(page.get_by_test_id("agent-link").nth(3)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("session-name")).to_be_focused()
    expect(steps(page, "python3 test_prices.py")).to_be_visible()
    page.keyboard.press("e")
    row = steps(page, "python3 test_prices.py")
    expect(row).to_be_focused()
    page.keyboard.press("Enter")
    expect(row.get_by_test_id(DETAIL)).to_be_visible()
    page.keyboard.press("E")
    expect(steps(page, "Edit")).to_be_focused()
    page.keyboard.press("k")
    expect(steps(page, "missing.py")).to_be_focused()
    for _ in range(3):  # the open row, the selection, the session
        page.keyboard.press("Escape")
    expect(page.get_by_test_id("session")).to_be_hidden()
    expect(page.get_by_test_id("agent-link").nth(3)).to_be_focused()
    expect(page.get_by_role("feed", name="Events")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("session")).to_be_visible()


def test_cards_at_work_keep_their_places_while_events_come(page: Page, gateway: Gateway) -> None:
    names = [f"p{number}" for number in range(6)]
    for name in names:
        start = {"session_id": name, "folder": f"/home/ada/{name}", "prompt": "Go"}
        gateway.publish(("agent.turn_started", start))
    expected = [(name, "working") for name in reversed(names)]
    expect_states(page, expected)
    for number, name in enumerate(names):
        call = {"session_id": name, "tool_name": "Read", "summary": f"file {number}"}
        gateway.publish(("agent.tool_called", call))
        expect(page.get_by_test_id("agent-call").filter(has_text=f"file {number}")).to_be_visible()
        assert states(page) == expected


def test_a_session_that_is_not_kept_shows_nothing_of_the_last_one(
    page: Page, gateway: Gateway
) -> None:
    simulate(gateway)
    page.get_by_role("link", name="Claude Code, worker").click()
    expect(page.get_by_test_id("session-task")).to_have_text("Run the tests")
    page.evaluate("location.hash = '#session=nobody'")
    expect(page.get_by_test_id("session-empty")).to_be_visible()
    expect(page.get_by_test_id("session-task")).to_be_hidden()
    expect(page.get_by_test_id("session-facts")).to_be_empty()


def test_a_card_that_moves_keeps_the_focus(page: Page, gateway: Gateway) -> None:
    simulate(gateway)
    expect_states(page, THREE)
    page.get_by_test_id("agent-link").last.focus()
    worker = {"session_id": "worker-1", "reason": "question"}
    gateway.publish(("agent.attention_needed", worker), agent="Claude Code")
    expect_states(page, [("worker", "waiting"), *THREE[:2]])
    expect(page.get_by_test_id("agent-link").first).to_be_focused()


def test_screen_readers_get_names_states_and_what_is_asked(page: Page, gateway: Gateway) -> None:
    simulate(gateway)
    name = "Claude Code, asker, waiting for you, asks for permission Bash git push --force"
    expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(page.get_by_role("link", name="Claude Code, worker, working")).to_be_visible()
    expect(page.get_by_role("region", name="Waiting for you")).to_be_visible()
    expect(page.get_by_test_id("announcer")).to_have_text(
        "Claude Code asker asks for permission Bash git push --force"
    )
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("region", name="Claude Code · asker")).to_be_visible()
    feed = page.get_by_role("feed", name="Timeline of the session")
    expect(feed.get_by_role("article", name="Bash, git push --force, waiting")).to_be_visible()
    for button in ("Back to the events", "Previous error", "Next error"):
        expect(page.get_by_role("button", name=button)).to_be_visible()


def test_what_waits_shows_in_the_title_the_icon_and_a_notification(
    context: BrowserContext, open_page: Callable[[], Page], gateway: Gateway
) -> None:
    context.add_init_script("""
        globalThis.shown = [];
        globalThis.Notification = class extends EventTarget {
          static permission = "granted";
          constructor(title, { body }) { super(); shown.push(`${title}: ${body}`); }
          close() {}
        };
        Object.defineProperty(document, "hidden", { get: () => true });
    """)
    page = open_page()
    log_in(page, gateway)
    simulate(gateway)
    expect(page).to_have_title("(1) Sightline")
    expect(page.locator("#icon")).to_have_attribute("href", "static/agents/icon-waiting.svg")
    said = "Claude Code asker is waiting for you: asks for permission Bash git push --force"
    until(lambda: page.evaluate("shown") == [said], "one notification")
    gateway.publish(("agent.turn_started", {"session_id": "asker-1"}), agent="Claude Code")
    expect(agents(page).filter(has_text="asker")).to_have_attribute("data-state", "working")
    push = {"session_id": "asker-1", "tool_name": "Bash", "tool_use_id": "t2", "outcome": "ok"}
    gateway.publish(("agent.tool_finished", push), agent="Claude Code")
    expect(page).to_have_title("Sightline")
    expect(page.locator("#icon")).to_have_attribute("href", "static/icon.svg")


def test_what_events_hold_is_text_everywhere(page: Page, gateway: Gateway) -> None:
    of = {"session_id": NASTY, "folder": f"/{NASTY}", "agent_type": NASTY, "model": NASTY}
    call = {"tool_name": NASTY, "tool_use_id": "t", "summary": NASTY}
    gateway.publish(
        ("agent.turn_started", {**of, "prompt": NASTY}),
        ("agent.message", {**of, "content": NASTY}),
        ("agent.tool_called", {**of, **call, "tool_input": {NASTY: NASTY}}),
        ("agent.tool_finished", {**of, **call, "outcome": "failed", "error": NASTY}),
        ("agent.attention_needed", {**of, "reason": NASTY, "message": NASTY}),
        agent=NASTY,
    )
    page.get_by_test_id("agent-link").click()
    expect(page.get_by_test_id("session-lead")).to_have_text("The start of the session")
    for row in steps(page).all():
        row.locator(".line").click()
    expect(page.get_by_test_id(DETAIL).first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert "\u202e" not in page.locator("body").inner_text()
    assert "hacked" not in page.title()


def test_a_phone_shows_the_agents_first_and_nothing_is_wider_than_it(
    browser: Browser, gateway: Gateway
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page = context.new_page()
    log_in(page, gateway)
    expect(page.get_by_test_id("scroller")).to_be_visible()
    simulate(gateway)
    replay(gateway, "nested_two")
    expect(agents(page)).to_have_count(4)
    expect(page.get_by_test_id("scroller")).to_be_hidden()
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.get_by_test_id("show-events").click()
    expect(page.get_by_test_id("scroller")).to_be_visible()
    assert page.evaluate(fits)
    page.get_by_test_id("show-agents").click()
    page.get_by_test_id("agent-link").last.click()
    expect(page.locator('[data-testid="step"][data-kind="call"]').first).to_be_visible()
    expect(page.get_by_test_id("agents")).to_be_hidden()
    assert page.evaluate(fits)
    page.get_by_test_id("session-back").click()
    expect(page.get_by_test_id("agents")).to_be_visible()
    context.close()


def test_the_feed_pairs_calls_folds_runs_and_names_sessions(page: Page, gateway: Gateway) -> None:
    for name in ("shop", "site"):
        of = {"session_id": f"{name}-1", "folder": f"/home/ada/{name}", "tool_name": "Grep"}
        for n in range(7):
            call = {**of, "tool_use_id": f"{name}{n}"}
            done = {**call, "outcome": "ok", "duration_ms": 100}
            gateway.publish(
                ("agent.tool_called", call), ("agent.tool_finished", done), agent="Claude Code"
            )
    rows = page.get_by_test_id("row")
    expect(rows.locator(".what")).to_have_text(["Grep \u00d77, 700 ms"] * 2)
    expect(rows.locator(".tag")).to_have_text(["site", "shop"])
    rows.first.locator(".line").click()
    expect(rows.first.get_by_test_id("members").locator("summary .what")).to_have_count(7)


def test_without_a_journal_the_page_begins_with_what_is_retained(
    browser: Browser, tmp_path: Path
) -> None:
    gateway = Gateway(tmp_path / "workspace", SIGHTLINE_JOURNAL="")
    gateway.start()
    try:
        simulate(gateway)
        context = browser.new_context(reduced_motion="reduce")
        page = context.new_page()
        log_in(page, gateway)
        expect(agents(page)).to_have_count(3)
        expect_states(page, THREE)
        agents(page).last.get_by_test_id("agent-link").click()
        expect(steps(page, "make test")).to_be_visible()
        context.close()
    finally:
        gateway.stop()


def test_forty_sessions_are_drawn_and_the_ended_ones_fold(
    late: StoryGateway, late_page: Callable[[], Page]
) -> None:
    for at, type_, data, metadata in agents_at_work(40):
        late.clock.behind_s = LENGTH_S - at
        late.publisher.publish_from_thread(type_, data, metadata).result()
    late.clock.behind_s = 0.0
    page = late_page()
    expect(page.get_by_test_id("agents-tally")).to_contain_text("24 finished")
    expect(agents(page)).to_have_count(16 + 6)
    page.get_by_test_id("more-finished").click()
    expect(agents(page)).to_have_count(40)
    expect(agents(page).first).to_have_attribute("data-state", "waiting")
    page.set_viewport_size({"width": 1920, "height": 1080})
    working = page.get_by_role("region", name="Working", exact=True).get_by_role("link")
    tops = "links => links.slice(0, 2).map(link => link.getBoundingClientRect().top)"

    def beside() -> bool:  # two columns where there is room
        first, second = working.evaluate_all(tops)
        return bool(first == second)

    until(beside, "the first two cards at work are side by side")
