// Decisions about the history: what to ask for, where the time axis goes, what was missed, how times read.
import assert from "node:assert/strict";
import test from "node:test";

import { NO_FILTER } from "../../app/static/filters.js";
import { countedTypes, sentence, tally } from "../../app/static/history/away.js";
import { placeOf, ticksOf, timeAt } from "../../app/static/history/axis.js";
import { place, placeOf as placeIn, positionOf, read, written } from "../../app/static/history/positions.js";
import { isExact, questionOf } from "../../app/static/history/question.js";
import { Feed } from "../../app/static/feed.js";
import { newestNote, oldestNote, tallyOf, whyEmpty } from "../../app/static/notes.js";
import { ago, moment, span } from "../../app/static/times.js";
import { commit, event, file, gap, said } from "./events.js";

const TYPES = ["agent.session_started", "agent.tool_finished", "deploy.build_failed", "file.created", "git.commit_created", "system.error", "workflow.failed", "workflow.finished"];
const question = (fields) => questionOf({ ...NO_FILTER, ...fields }, TYPES);
const NOW = Date.UTC(2026, 10, 24, 12);
const DAY = 86_400_000;

test("namespaces and types are asked for as patterns", () => {
  assert.deepEqual(question({}), {});
  assert.deepEqual(question({ namespaces: ["file", "git"] }), { types: "file.*,git.*" });
  assert.deepEqual(question({ namespaces: ["git"], type: "git.commit_created" }), { types: "git.commit_created" });
  assert.equal(question({ namespaces: ["file"], type: "git.commit_created" }), null);
});

test("failures are asked for by the types that may report one", () => {
  const types = "agent.tool_finished,deploy.build_failed,system.error,workflow.failed,workflow.finished";
  assert.deepEqual(question({ failed: true }), { types });
  assert.deepEqual(question({ failed: true, namespaces: ["workflow"] }), { types: "workflow.failed,workflow.finished" });
  assert.equal(question({ failed: true, type: "git.commit_created" }), null);
});

test("words are asked for as beginnings of words, phrases as they are", () => {
  assert.deepEqual(question({ text: ' Parser  "the gram" a' }), { q: 'Parser* "the gram" a' });
  assert.deepEqual(question({ text: "src/pars*" }), { q: "src/pars*" });
  assert.deepEqual(question({ text: "… →" }), {});
});

test("a name is asked for by its words wherever they are, and a cut name without its last one", () => {
  assert.deepEqual(question({ who: "Ada Lovelace" }), { q: '"Ada Lovelace"' });
  assert.deepEqual(question({ who: "the one who wro…", text: "x" }), { q: 'x "the one who"' });
  assert.deepEqual(question({ who: "Someone" }), {});
});

test("the journal's count is the number of hits only if it can tell all that is asked", () => {
  const exact = (fields) => isExact({ ...NO_FILTER, ...fields });
  assert.ok(exact({ text: "parser", namespaces: ["git"] }));
  assert.ok(!exact({ text: "parser", who: "Ada" }));
  assert.ok(!exact({ text: "parser", failed: true }));
  assert.ok(!exact({ text: "parser →" }));
});

test("the axis leads from a time to a place and back, and the last minutes have room", () => {
  const since = NOW - 30 * DAY;
  assert.equal(placeOf(since, since, NOW), 0);
  assert.equal(placeOf(NOW, since, NOW), 1);
  assert.equal(placeOf(since - DAY, since, NOW), 0);
  assert.equal(placeOf(NOW + DAY, since, NOW), 1);
  for (const age of [1000, 60_000, 3_600_000, 7 * DAY]) {
    const back = timeAt(placeOf(NOW - age, since, NOW), since, NOW);
    assert.ok(Math.abs(NOW - age - back) < 1, String(age));
  }
  assert.ok(placeOf(NOW - 3_600_000, since, NOW) < 0.7);
});

test("ticks are in order, within the axis, and far enough apart", () => {
  for (const days of [0.01, 1, 30, 400]) {
    const ticks = ticksOf(NOW - days * DAY, NOW, 0.08);
    const places = ticks.map((tick) => tick.place);
    assert.ok(ticks.length > 0);
    assert.ok(places.every((at, i) => at > 0 && at < 1 && (i === 0 || at - places[i - 1] >= 0.08)), String(days));
  }
});

test("what was missed is counted by kind", () => {
  const events = [
    event("agent.session_started", { session_id: "a" }),
    event("workflow.failed", { workflow_id: "w", error: "x" }),
    event("agent.tool_finished", { tool_name: "x", success: false }),
    file("a", 0),
    file("b", 0),
    commit(0),
    said("x"),
  ];
  const counts = tally(events);
  assert.deepEqual(counts, { sessions: 1, failed: 2, files: 2, commits: 1, others: 1 });
  assert.equal(tally(events, counts).files, 4);
  const text = "Since 18:02 you missed: 1 session, 2 failed, 2 file changes, 1 commit";
  assert.equal(sentence("18:02", counts), text);
});

test("what was missed is at least something, and may be more than was counted", () => {
  const nothing = tally([said("x"), said("y")]);
  assert.equal(sentence("18:02", nothing), "Since 18:02 you missed: 2 events");
  const many = { ...nothing, files: 5000 };
  assert.equal(sentence("22 Nov 18:02", many, true), "Since 22 Nov 18:02 you missed more than: 5,000 file changes");
});

test("the counts ask for few types", () => {
  assert.deepEqual(countedTypes(TYPES), TYPES.filter((type) => type !== "file.created").concat("file.*"));
});

test("a position survives the way through the browser, and anything else is none", () => {
  const position = { epoch: "a.b-C_1", number: 42 };
  assert.deepEqual(read(written(position)), position);
  for (const other of [null, "", "a", "a:", ":1", "a:-1", "a b:1", "a:99999999999999999", "<b>:1"]) assert.equal(read(other), null, String(other));
});

test("a place in a feed is found by position, in its epoch", () => {
  const feed = new Feed();
  const events = [said("a"), said("b"), said("c")];
  for (const [i, one] of events.entries()) {
    place(one, i < 2 ? "one" : "two");
    feed.add(one);
    if (i === 1) feed.add(gap({ reason: "epoch_changed" }));
  }
  assert.equal(placeIn(feed, { epoch: "one", number: 1e9 }), 1);
  assert.equal(placeIn(feed, { epoch: "two", number: events[2].sequence_number }), 3);
  assert.equal(placeIn(feed, { epoch: "three", number: 1 }), -1);
  assert.equal(positionOf(feed.at(2)), null);
});

test("the line where the user left is in its place, once, and goes with what is around it", () => {
  const feed = new Feed({ mostEntries: 3 });
  for (const content of ["a", "b", "c"]) feed.add(said(content));
  feed.markLeft(0, "You left here");
  feed.unmark();
  feed.markLeft(1, "You left here");
  assert.deepEqual(feed.entries().map(({ kind }) => kind), ["event", "event", "left", "event"]);
  feed.trim();
  feed.add(said("d"));
  feed.trim();
  feed.add(said("e"));
  feed.trim();
  assert.equal(feed.left, null);
});

test("times read as people say them", () => {
  const local = new Date(2026, 10, 24, 18, 2).getTime();
  assert.deepEqual([0, 59_999, 60_000, 3_599_999, 2 * 3_600_000, 47 * 3_600_000, 3 * DAY].map(span), ["0 s", "59 s", "1 min", "59 min", "2 h", "47 h", "3 days"]);
  assert.deepEqual([0, 1999, 40_000, 5 * 60_000].map((age) => ago(local - age, local)), ["now", "now", "40 s ago", "5 min ago"]);
  assert.equal(moment(local, local + 3_600_000), "18:02");
  assert.equal(moment(local, local + 9 * DAY), "24 Nov 18:02");
  assert.equal(moment(local, local + 99 * DAY), "24 Nov 2026 18:02");
  assert.equal(ago(NaN, local), "");
  assert.equal(ago(local + 5000, local), "now");
});

test("the panel says what is beyond the ends of the feed, how long it is quiet, and why it is empty", () => {
  const feed = (fields) => Object.assign(new Feed(), fields);
  const state = (fields) => ({ live: feed(), past: null, keepsAll: true, loading: false, paused: null, quietS: 30, view: { shown: 0, filter: NO_FILTER }, ...fields });
  const attached = { attached: true, older: "one:1" };
  assert.equal(oldestNote(state({})), "");
  assert.equal(oldestNote(state({ live: feed({ foldedAway: 5 }) })), "Older events load as you scroll");
  assert.equal(oldestNote(state({ past: attached, loading: true })), "Loading older events");
  assert.equal(oldestNote(state({ past: { ...attached, older: null } })), "The oldest event that is kept");
  const without = { live: feed({ foldedAway: 3000 }), keepsAll: false };
  assert.equal(oldestNote(state(without)), "3,000 older events folded away: this page keeps the newest 20,000");
  assert.equal(tallyOf(state(without)), "0 of 0 events shown, 3,000 older folded away");
  assert.equal(tallyOf(state({ past: { attached: false } })), "0 events of the past shown");
  assert.equal(newestNote(state({ past: { attached: false } }), NOW), "Newer events load as you scroll");
  const live = new Feed();
  const { time } = live.add(said("x"));
  assert.equal(newestNote(state({ live }), time + 30_000), "");
  assert.equal(newestNote(state({ live }), time + 30_001), "Nothing in the last 30 s");
  assert.equal(newestNote(state({ live, paused: "user" }), time + 60_000), "");
  const kinds = [{}, { keepsAll: false }, { live }, { live, loading: true }, { view: { filter: { ...NO_FILTER, who: "Ada" } } }];
  assert.deepEqual(kinds.map((fields) => whyEmpty(state(fields))), ["first", "quiet", "filtered", "searching", "filtered"]);
});
