"""The console as somebody meets it: a link, a live page, and what happens shown as it happens."""

import csv
import io
import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from pathlib import Path
from random import Random
from urllib.error import HTTPError

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import expect_state, log_in
from tests.browser.gateway import Gateway, until
from tests.kit.contrast import CONTRASTS

STEP = {"workflow_id": "w", "step_name": "Draft", "step_index": 2, "total_steps": 5}
NASTY = "<img src=x onerror=\"document.title='hacked'\"><script>alert(1)</script>"

# A scroll is reported to the page, which then draws, before this frame's callbacks run.
NEXT_FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def rows(page: Page, text: str = "") -> Locator:
    return page.get_by_test_id("row").filter(has_text=text)


def sentences(page: Page) -> list[str]:
    """What the rows in sight say, from top to bottom."""
    return page.locator(".line .what").all_inner_texts()


# --- from the link to the first event ---


def test_one_link_leads_to_a_live_console_and_its_command_publishes_the_first_event(
    page: Page, gateway: Gateway
) -> None:
    expect(page).to_have_url(f"{gateway.origin}/")
    expect(page.get_by_test_id("state-text")).to_have_text("Live")
    expect(page.get_by_test_id("empty")).to_contain_text("Nothing has happened yet")
    command = page.get_by_test_id("first-event").inner_text()
    assert gateway.origin in command
    subprocess.run(["bash", "-c", command], cwd=gateway.folder, check=True)
    expect(rows(page)).to_have_count(1)
    expect(rows(page).locator(".who")).to_have_text("User")
    expect(rows(page).locator(".what")).to_have_text("wrote: “Hello, Sightline”")
    expect(rows(page).locator(".seq")).to_have_text("#1")
    expect(rows(page).locator(".ns")).to_have_text("chat")
    expect(page.get_by_test_id("empty")).to_be_hidden()


def test_a_newcomer_sees_what_the_gateway_still_retains_and_then_what_is_live(
    open_page: Callable[[], Page], gateway: Gateway
) -> None:
    gateway.say(*(f"early {n}" for n in range(1500)))
    page = open_page()
    log_in(page, gateway)
    gateway.say("late")
    expect(rows(page).first).to_contain_text("late")
    expect(page.get_by_test_id("tally")).to_have_text("1,501 of 1,501 events shown")


def test_who_is_not_logged_in_sees_how_to(context: BrowserContext, gateway: Gateway) -> None:
    page = context.new_page()
    page.goto(gateway.origin)
    expect(page.locator("body")).to_contain_text("sightline login")
    expect(page.get_by_test_id("state")).to_have_count(0)


# --- what is shown ---


def test_real_files_and_the_commit_of_them_are_one_row_that_opens(
    page: Page, gateway: Gateway
) -> None:
    for name in ("a.py", "b.py"):
        (gateway.folder / name).write_text("x = 1\n")
    gateway.git("add", ".")
    gateway.git("commit", "-qm", "Add two files")
    row = page.locator('[data-kind="commit"]')
    expect(row.locator(".who")).to_have_text("Ada")
    expect(row.locator(".what")).to_have_text(
        re.compile(r"committed [0-9a-f]{7} Add two files \(2 files\)")
    )
    expect(row.locator(".badge")).to_have_text("3 events")
    expect(page.get_by_test_id("last-commit")).to_contain_text("Add two files")
    row.locator(".line").click()
    expect(row.get_by_test_id("detail")).to_contain_text('"files_changed": 2')
    member = row.get_by_test_id("members").locator("details").filter(has_text="a.py")
    member.locator("summary").click()
    expect(member).to_contain_text('"path": "a.py"')


def test_a_row_opens_to_all_of_data_and_metadata(page: Page, gateway: Gateway) -> None:
    data = {"role": "user", "content": "Hi", "extra": {"deep": [1, None]}}
    gateway.publish(("chat.message_sent", data), correlation_id="run-7")
    rows(page).locator(".line").click()
    for part in ("chat.message_sent", '"deep"', "null", '"correlation_id": "run-7"', "#1"):
        expect(rows(page).get_by_test_id("detail")).to_contain_text(part)
    rows(page).locator(".line").click()
    expect(page.get_by_test_id("detail")).to_have_count(0)


def test_chunks_of_one_message_grow_one_row(page: Page, gateway: Gateway) -> None:
    def write(*chunks: str) -> None:
        data = [{"chunk": chunk, "message_id": "m", "agent_name": "Ada"} for chunk in chunks]
        gateway.publish(*(("chat.streaming_chunk", one) for one in data))

    write("All ")
    expect(rows(page)).to_contain_text("is writing: “All")
    write("tests ", "pass")
    expect(rows(page)).to_contain_text("“All tests pass")
    gateway.publish(
        (
            "chat.message_received",
            {"role": "assistant", "content": "All tests pass.", "message_id": "m"},
        )
    )
    expect(rows(page)).to_contain_text("answered: “All tests pass.”")
    expect(rows(page)).to_have_count(1)
    rows(page).locator(".line").click()
    expect(page.get_by_test_id("message")).to_have_text("All tests pass.")


def test_at_a_glance_the_pace_and_the_workflows_with_their_progress(
    page: Page, gateway: Gateway
) -> None:
    started = {"workflow_id": "w", "workflow_name": "Create PRD"}
    gateway.publish(
        ("workflow.started", started), ("workflow.step_completed", STEP), agent="Winston"
    )
    expect(rows(page).first).to_contain_text("finished step 2 of 5 of Create PRD: Draft")
    expect(rows(page).first.locator(".who")).to_have_text("Winston")
    workflow = page.get_by_test_id("workflow")
    expect(workflow).to_contain_text("Create PRD")
    expect(workflow).to_contain_text("2 of 5")
    expect(workflow.locator("progress")).to_have_attribute("value", "2")
    expect(page.get_by_test_id("pace")).to_contain_text("2 since")
    expect(page.locator('#chart .bar[data-ns="workflow"]')).to_have_count(1)
    expect(page.get_by_test_id("chart")).to_have_attribute("aria-label", re.compile("[12]$"))
    gateway.publish(("workflow.failed", {"workflow_id": "w", "error": "exit 2"}))
    expect(rows(page).first).to_have_class(re.compile("failure"))
    expect(workflow).to_contain_text("failed now")
    expect(workflow).to_have_attribute("title", "exit 2")


def test_what_an_event_brings_is_text_everywhere(page: Page, gateway: Gateway) -> None:
    name = "<img src=x onerror=document.title='hacked'>"
    (gateway.folder / name).write_text("x")
    expect(rows(page, name)).to_have_count(1)
    gateway.publish(
        ("chat.message_sent", {"role": NASTY, "content": NASTY}),
        ("workflow.started", {"workflow_id": NASTY, "workflow_name": NASTY}),
        (
            "git.commit_created",
            dict.fromkeys(("commit_hash", "message", "author"), NASTY) | {"files_changed": 1},
        ),
        ("chat.streaming_chunk", {"chunk": NASTY, "message_id": NASTY}),
        agent=NASTY,
    )
    expect(rows(page, "<img")).to_have_count(4)  # the commit took the file in
    expect(page.get_by_test_id("workflow")).to_contain_text("<img")
    page.get_by_test_id("filter-text").fill("<IMG SRC=x")
    expect(page.locator("mark").first).to_have_text("<img src=x")
    for index in range(4):
        page.locator(".line").nth(index).click()
    expect(page.get_by_test_id("detail")).to_have_count(4)
    assert page.locator("main img, main script, .glance img, select img").count() == 0
    expect(page).to_have_title("Sightline")
    page.reload()
    expect(page.get_by_test_id("filter-text")).to_have_value("<IMG SRC=x")
    expect(page).to_have_title("Sightline")


POISON = {"toString": 1, "valueOf": 1}
TEXTS = ["", "Ada\u202egnp", "\x00\x1b[31m", "\u2028", "__proto__", NASTY, "x" * 20_000, "שלום"]


def anything(random: Random, depth: int = 0) -> object:
    """Any JSON that the gateway accepts."""
    kind = random.randrange(6 if depth < 3 else 4)
    if kind == 0:
        return random.choice([None, True, 0, -1, 1e308, 2**53 + 1, 10**40])
    if kind == 1:
        return random.choice(TEXTS)
    if kind == 2:
        return random.choice([POISON, [], {}, [[]], {"toJSON": 1}, {"constructor": POISON}])
    if kind == 3:
        return reduce(lambda inner, _: [inner], range(random.randrange(100)), None)
    members = [anything(random, depth + 1) for _ in range(random.randrange(4))]
    keys = random.sample(["__proto__", "constructor", "length", "\u202e", "path"], len(members))
    return members if kind == 4 else dict(zip(keys, members, strict=True))


def test_whatever_stands_in_whatever_field_is_a_row_and_the_page_goes_on(
    page: Page, gateway: Gateway
) -> None:
    """The seed is printed; every field of every type gets a random value, where the gateway takes it."""
    seed = int(os.environ.get("SEED", "1"))
    print(f"SEED={seed}")
    random = Random(seed)
    example = re.compile(r"^## (\S+)$.*?^```json\n(.*?)^```$", re.M | re.S)
    catalog = (Path(__file__).parent.parent.parent / "docs" / "events.md").read_text()
    reported = kept = errors = 0
    for type_, text in example.findall(catalog):
        if type_ == "system.audit":  # the gateway alone publishes it
            continue
        data = json.loads(text)
        for field in [*data, "message_id", "path", "role", "extra"]:
            for value in (POISON, anything(random)):
                with suppress(HTTPError):  # a type that says what the field is: refused
                    gateway.publish((type_, data | {field: value}), agent=random.choice(TEXTS))
                    reported += 1
                    kept += type_ != "chat.streaming_chunk"  # which the journal leaves out
                    errors += type_ == "agent.error"  # of which the gateway may make an alarm
    assert reported > 100
    for key in ["j", "Enter", "Enter"] * 15:
        page.keyboard.press(key)
    page.get_by_test_id("filter-text").fill("o")
    page.get_by_test_id("clear-filters").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    gateway.say("still here")
    for since, count in (("live", reported), ("retained", kept)):
        if since == "retained":
            page.reload()
        expect(rows(page, "still here")).to_have_count(1)
        counts = "|".join(str(count + 1 + alarms) for alarms in range(errors + 1))
        shown = re.compile(f"of ({counts}) events shown")
        expect(page.get_by_test_id("tally")).to_contain_text(shown)
        expect(page.get_by_test_id("problems")).to_be_hidden()
        expect(page.get_by_test_id("broken")).to_have_count(0)
        expect_state(page, "live")


def test_large_numbers_are_shown_and_saved_as_they_came(
    page: Page, gateway: Gateway, tmp_path: Path
) -> None:
    large = 2**53 + 1
    gateway.publish(("state.epic_created", {"epic_id": large, "title": "retained"}))
    expect(rows(page, "retained")).to_have_count(1)  # what was retained before has been read
    page.reload()
    expect(rows(page, "retained")).to_have_count(1)
    gateway.publish(("chat.message_sent", {"role": "user", "content": "live", "n": -(2**62) - 1}))
    expect(rows(page, "retained")).to_contain_text(f"created epic {large}")
    rows(page, "live").locator(".line").click()
    expect(page.get_by_test_id("detail")).to_contain_text(f'"n": -{2**62 + 1}')
    for kind in ("json", "csv"):
        with page.expect_download() as download:
            page.get_by_test_id(f"export-{kind}").click()
        download.value.save_as(tmp_path / kind)
        saved = (tmp_path / kind).read_text()
        assert f":{large}" in saved
        assert f":-{2**62 + 1}" in saved


def test_a_name_with_a_bidi_override_does_not_read_as_another(page: Page, gateway: Gateway) -> None:
    gateway.publish(("chat.message_received", {"role": "a", "content": "x"}), agent="Ada\u202egnp")
    expect(rows(page).locator(".who")).to_have_text("Ada\\u202egnp")
    page.get_by_test_id("filter-who").select_option("Ada\\u202egnp")
    expect(page.get_by_test_id("tally")).to_have_text("1 of 1 event shown")
    assert "\u202e" not in page.locator("body").inner_text()


def test_a_notice_of_the_gateway_stands_above_the_feed_until_the_good_news(
    page: Page, gateway: Gateway
) -> None:
    routes: list[WebSocketRoute] = []

    def pass_on(route: WebSocketRoute) -> None:
        route.connect_to_server()
        routes.append(route)

    gateway.say("read")
    expect(rows(page, "read")).to_have_count(1)  # and so has what was retained before
    page.route_web_socket("**/ws*", pass_on)
    page.reload()
    expect_state(page, "live")
    for code, message in (("backend_away", "NATS is away"), ("backend_back", "NATS is back")):
        notice = {"type": "notice", "timestamp": "", "code": code, "message": message}
        routes[-1].send(json.dumps(notice))
        expect(page.get_by_test_id("notice")).to_have_text(f"{message}Dismiss")
        expect(page.get_by_test_id("announcer")).to_have_text(message)
    page.get_by_test_id("notice").get_by_role("button").click()
    expect(page.get_by_test_id("notice")).to_have_count(0)


def test_what_is_found_in_hidden_data_is_marked_as_such(page: Page, gateway: Gateway) -> None:
    gateway.publish(("chat.message_sent", {"role": "user", "content": "Hi", "run": "needle"}))
    page.get_by_test_id("filter-text").fill("NEEDLE")
    expect(page.get_by_test_id("hint")).to_have_text("in the data")
    rows(page).locator(".line").click()
    expect(page.get_by_test_id("detail").locator("mark")).to_have_text("needle")


# --- filters and export ---


def test_filters_fit_together_stand_in_the_address_and_clear_at_once(
    page: Page, gateway: Gateway
) -> None:
    gateway.publish(
        ("workflow.started", {"workflow_id": "w", "workflow_name": "Parser"}), agent="Bob"
    )
    gateway.publish(
        ("file.created", {"path": "parser.py"}), ("file.deleted", {"path": "old"}), agent="Ada"
    )
    gateway.say("the Parser works")
    expect(page.get_by_test_id("tally")).to_have_text("4 of 4 events shown")
    page.get_by_test_id("filter-text").fill("parser")
    expect(page.get_by_test_id("tally")).to_have_text("3 of 4 events shown")
    expect(page.locator(".what mark").first).to_have_text("Parser")
    page.get_by_test_id("namespace-file").click()
    expect(page.get_by_test_id("tally")).to_have_text("1 of 4 events shown")
    expect(page).to_have_url(f"{gateway.origin}/#ns=file&q=parser")
    page.get_by_test_id("namespace-chat").click()
    expect(page.get_by_test_id("tally")).to_have_text("2 of 4 events shown")
    page.get_by_test_id("filter-who").select_option("Ada")
    expect(page.get_by_test_id("tally")).to_have_text("1 of 4 events shown")
    page.get_by_test_id("filter-type").select_option("file.deleted")
    expect(page.get_by_test_id("empty")).to_contain_text("No event fits the filters")
    page.reload()
    expect(page.get_by_test_id("filter-type")).to_have_value("file.deleted")
    expect(page.get_by_test_id("filter-who")).to_have_value("Ada")
    expect(page.get_by_test_id("namespace-file")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("tally")).to_have_text("0 of 4 events shown")
    page.get_by_test_id("clear-filters").click()
    expect(page.get_by_test_id("tally")).to_have_text("4 of 4 events shown")
    expect(page).to_have_url(f"{gateway.origin}/")
    expect(page.get_by_test_id("clear-filters")).to_be_hidden()


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_what_is_shown_is_saved(page: Page, gateway: Gateway, kind: str, tmp_path: Path) -> None:
    contents = ["keep 1", "drop", "keep 2"]
    said = [("chat.message_sent", {"role": "user", "content": content}) for content in contents]
    gateway.publish(*said, agent='=HYPERLINK("http://x")')
    expect(page.get_by_test_id("tally")).to_have_text("3 of 3 events shown")
    page.get_by_test_id("filter-text").fill("keep")
    with page.expect_download() as download:
        page.get_by_test_id(f"export-{kind}").click()
    assert re.fullmatch(rf"sightline-[\d-]+T[\d-]+\.{kind}", download.value.suggested_filename)
    download.value.save_as(tmp_path / "saved")
    text = (tmp_path / "saved").read_text()
    if kind == "json":
        saved = [event["data"] for event in json.loads(text)]
    else:
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        saved = [json.loads(line["data"]) for line in lines]
        assert lines[0]["who"] == '\'=HYPERLINK("http://x")'
    assert [data["content"] for data in saved] == ["keep 1", "keep 2"]


# --- following, pausing, order ---


def test_a_paused_feed_stands_still_and_counts_what_comes(page: Page, gateway: Gateway) -> None:
    gateway.say("before")
    expect(rows(page)).to_have_count(1)
    page.get_by_test_id("pause").click()
    gateway.say("one", "two", "three")
    waiting = page.get_by_test_id("waiting")
    expect(waiting).to_contain_text("Paused, 3 new events")
    expect(waiting).to_have_attribute("data-count", "3")
    assert sentences(page) == ["wrote: “before”"]
    page.get_by_test_id("filter-text").fill("t")  # counts anew what fits; all say "wrote"
    page.get_by_test_id("filter-text").fill("o”")
    expect(waiting).to_have_attribute("data-count", "1")
    page.get_by_test_id("filter-text").fill("")
    page.get_by_test_id("follow").click()
    expect(rows(page)).to_have_count(4)
    assert sentences(page)[0] == "wrote: “three”"
    expect(waiting).to_be_hidden()


def test_scrolling_away_pauses_and_scrolling_back_follows(page: Page, gateway: Gateway) -> None:
    gateway.say(*(f"n{n}" for n in range(200)))
    expect(rows(page, "n199")).to_have_count(1)
    scroller = page.get_by_test_id("scroller")
    scroller.hover()
    page.mouse.wheel(0, 900)
    expect(page.get_by_test_id("waiting")).to_be_visible()
    until(lambda: scroller.evaluate("e => e.scrollTop") == 900, "the wheel has come to rest")
    page.evaluate(NEXT_FRAME)
    before = sentences(page)
    gateway.say("meanwhile")
    expect(page.get_by_test_id("waiting")).to_have_attribute("data-count", "1")
    assert sentences(page) == before
    page.mouse.wheel(0, -5000)
    expect(rows(page, "meanwhile")).to_be_visible()
    expect(page.get_by_test_id("waiting")).to_be_hidden()


def test_newest_first_or_last_is_a_choice_that_lasts(page: Page, gateway: Gateway) -> None:
    gateway.say(*(f"n{n}" for n in range(100)))
    expect(rows(page, "n99")).to_be_visible()
    assert sentences(page)[0] == "wrote: “n99”"
    page.get_by_test_id("order").click()
    expect(rows(page, "n99")).to_be_in_viewport()
    expect(page.locator(".line .what").last).to_have_text("wrote: “n99”")
    gateway.say("last")
    expect(rows(page, "last")).to_be_in_viewport()
    page.reload()
    expect(page.get_by_test_id("order")).to_have_text("Newest last")
    expect(rows(page, "last")).to_be_in_viewport()


# --- the connection ---


def test_a_killed_gateway_shows_at_once_and_after_its_restart_an_honest_gap_and_live_again(
    page: Page, gateway: Gateway
) -> None:
    gateway.publish(("workflow.started", {"workflow_id": "w", "workflow_name": "Nightly"}))
    expect(rows(page)).to_have_count(1)
    gateway.kill()
    expect_state(page, "reconnecting")
    expect(page.get_by_test_id("state")).to_contain_text("Reconnecting")
    expect(page.get_by_test_id("announcer")).to_contain_text("Reconnecting")
    expect(page).to_have_title(re.compile("^Reconnecting"))
    gateway.start()
    gateway.say("after the restart")
    # Sooner than by itself, which may also happen just now: then the button is hidden.
    page.get_by_test_id("reconnect").evaluate("button => button.click()")
    expect_state(page, "live")
    expect(page.get_by_test_id("announcer")).to_have_text("Live")
    expect(rows(page, "after the restart")).to_have_count(1)
    expect(page.get_by_test_id("gap")).to_have_text(
        "Some events may be lost: the gateway restarted and its numbers began again"
    )
    said = page.locator(".line").all_inner_texts()
    assert "after the restart" in said[0]
    assert "may be lost" in said[1]
    assert "Nightly" in said[2]
    expect(page.get_by_test_id("workflow")).to_have_class(re.compile("uncertain"))


def test_a_page_whose_network_is_cut_says_so_and_comes_back_with_what_it_missed(
    page: Page, context: BrowserContext, gateway: Gateway
) -> None:
    gateway.say("before")
    expect(rows(page)).to_have_count(1)
    gateway.freeze()
    context.set_offline(True)
    expect_state(page, "reconnecting")
    gateway.thaw()
    gateway.say("meanwhile")
    context.set_offline(False)
    expect_state(page, "live")
    expect(rows(page, "meanwhile")).to_have_count(1)
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_test_id("gap")).to_have_count(0)


def test_a_login_that_ended_shows_its_remedy(
    page: Page, context: BrowserContext, gateway: Gateway
) -> None:
    gateway.kill()
    context.clear_cookies()
    gateway.start()
    expect_state(page, "refused")
    expect(page.get_by_test_id("state")).to_contain_text("sightline login")


def test_two_tabs_see_the_same_and_take_nothing_from_each_other(
    open_page: Callable[[], Page], page: Page, gateway: Gateway
) -> None:
    other = open_page()
    other.goto(gateway.origin)
    expect_state(other, "live")
    gateway.say("one", "two")
    for tab in (page, other):
        expect(rows(tab)).to_have_count(2)
    page.get_by_test_id("pause").click()
    gateway.say("three")
    expect(rows(other)).to_have_count(3)
    expect(page.get_by_test_id("waiting")).to_have_attribute("data-count", "1")
    for tab in (page, other):
        expect_state(tab, "live")


# --- keyboard, screen readers, themes, small screens ---


def test_everything_is_done_with_the_keyboard_alone(page: Page, gateway: Gateway) -> None:
    gateway.say(*(f"n{n}" for n in range(100)))
    expect(rows(page, "n99")).to_be_visible()
    press = page.keyboard.press
    focused = page.locator("article:focus")
    press("j")
    expect(focused).to_contain_text("n99")
    press("ArrowDown")
    expect(focused).to_contain_text("n98")
    press("Enter")
    expect(focused.get_by_test_id("detail")).to_contain_text('"content": "n98"')
    press("k")
    expect(focused).to_contain_text("n99")
    press("G")
    expect(focused).to_contain_text("n0”")
    expect(focused).to_be_in_viewport()
    press("g")
    expect(focused).to_contain_text("n99")
    expect(page.get_by_test_id("waiting")).to_be_visible()
    press("Escape")  # closes what is open
    expect(page.get_by_test_id("detail")).to_have_count(0)
    press("Escape")  # lets go, and follows
    expect(page.get_by_test_id("waiting")).to_be_hidden()
    press("/")
    page.keyboard.type("n42")
    expect(rows(page)).to_have_count(1)
    press("Escape")
    press("x")
    expect(page.get_by_test_id("filter-text")).to_have_value("")
    press("p")
    expect(page.get_by_test_id("pause")).to_have_attribute("aria-pressed", "true")
    press("p")
    expect(page.get_by_test_id("pause")).to_have_attribute("aria-pressed", "false")
    press("?")
    expect(page.get_by_test_id("help")).to_be_visible()
    press("Escape")
    expect(page.get_by_test_id("help")).to_be_hidden()
    page.get_by_test_id("filter-text").focus()
    names = ["filter-who", "filter-type", "times", "order", "pause"]
    names += ["filter-failed", "namespace-chat"]
    for name in names:
        press("Tab")
        expect(page.get_by_test_id(name)).to_be_focused()
    press("Enter")
    expect(page.get_by_test_id("namespace-chat")).to_have_attribute("aria-pressed", "true")


def test_screen_readers_get_a_feed_of_articles_and_hear_of_the_state_alone(
    page: Page, gateway: Gateway
) -> None:
    gateway.say("one", "two")
    feed = page.get_by_role("feed", name="Events")
    expect(feed.get_by_role("article")).to_have_count(2)
    expect(feed.get_by_role("article").first).to_have_attribute("aria-posinset", "1")
    expect(feed.get_by_role("article").first).to_have_attribute("aria-setsize", "2")
    assert page.locator("[aria-live]").count() == 1
    expect(page.get_by_role("status")).to_have_text("Live")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, svg, [role]")]
        .filter(e => !e.hidden && !(e.getAttribute("aria-label") || e.textContent.trim() || e.role === "status"))
        .map(e => e.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible_in_both_themes(page: Page, gateway: Gateway, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_test_id("empty")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    example = re.compile(r"^## (\S+)$.*?^```json\n(.*?)^```$", re.M | re.S)
    events = (Path(__file__).parent.parent.parent / "docs" / "events.md").read_text()
    found = [
        one for one in example.findall(events) if one[0] != "system.audit"
    ]  # nobody may send it
    gateway.publish(*((type_, json.loads(data)) for type_, data in found))
    expect(page.get_by_test_id("tally")).to_contain_text("shown")
    expect(rows(page, "reported an error")).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    rows(page, "reported an error").locator(".line").click()
    page.get_by_test_id("filter-text").fill("e")
    expect(page.get_by_test_id("waiting")).to_be_visible()
    expect(page.locator("mark").first).to_be_visible()
    assert page.evaluate(CONTRASTS) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.evaluate(CONTRASTS) == []


def test_who_wants_no_motion_gets_none(page: Page) -> None:
    moving = "() => document.getAnimations().length"
    dot = "() => { document.getElementById('state').dataset.state = 'connecting'; }"
    page.evaluate(dot)
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    until(lambda: page.evaluate(moving) == 1, "the dot moves for those who want it")


def test_it_is_usable_on_a_phone(page: Page, gateway: Gateway) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    gateway.publish(
        ("workflow.started", {"workflow_id": "w", "workflow_name": "x" * 200}), agent="y" * 80
    )
    gateway.publish(("file.created", {"path": "z" * 300}))
    gateway.say(*["w " * 100] * 1200)
    expect(page.get_by_test_id("tally")).to_have_text("1,202 of 1,202 events shown")
    rows(page).first.locator(".line").click()
    expect(page.get_by_test_id("detail")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for name in (
        "filter-text",
        "filter-who",
        "filter-type",
        "order",
        "pause",
        "namespace-chat",
        "export-json",
        "export-csv",
        "follow",
    ):
        expect(page.get_by_test_id(name)).to_be_in_viewport(ratio=1)
    box = page.get_by_test_id("scroller").bounding_box()
    assert box["height"] > 300
    box = page.get_by_test_id("filter-text").bounding_box()
    assert box["width"] > 100
