// What the cards and the timeline say, from recorded and made-up events.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { NO_FILTER } from "../../app/static/filters.js";
import { event } from "./events.js";
import { install } from "./page.js";
import { randomJson, seeded } from "./random.js";

install();
const { callsOf, callsSentence, failedIn } = await import("../../app/static/agents/calls.js");
const { callDetail, eventDetail } = await import("../../app/static/agents/detail.js");
const { countOf, diffOf, lines } = await import("../../app/static/agents/diff.js");
const { Facts, pathsOf } = await import("../../app/static/agents/facts.js");
const { Fleet, treeOf } = await import("../../app/static/agents/fleet.js");
const { Names, relative, shortened } = await import("../../app/static/agents/names.js");
const { aheadOf } = await import("../../app/static/agents/past.js");
const { spanOf, Timeline } = await import("../../app/static/agents/timeline.js");
const { asks, costOf, figures, groupOf, shortStateOf, span, stateOf, tally, ticking, tokens } = await import("../../app/static/agents/words.js");
const { Feed } = await import("../../app/static/feed.js");
const { View } = await import("../../app/static/view.js");

const VECTORS = JSON.parse(readFileSync(new URL("../session_vectors.json", import.meta.url), "utf8"));
const steps = (name) => VECTORS.find((vector) => vector.name === name).steps;
const START = Date.UTC(2026, 10, 24, 12) / 1000; // of `event`

/** An event of session `s`. */
const of = (type, data = {}, at = 0, session = "s") => event(`agent.${type}`, { session_id: session, ...data }, { at, metadata: { agent: "Claude Code" } });
const called = (id, tool = "Bash", at = 0, more = {}) => of("tool_called", { tool_use_id: id, tool_name: tool, ...more }, at);
const finished = (id, tool = "Bash", at = 0, more = {}) => of("tool_finished", { tool_use_id: id, tool_name: tool, outcome: "ok", success: true, ...more }, at);
const failed = (id, tool, at, error) => finished(id, tool, at, { outcome: "failed", success: false, error });

function cardsOf(items, now = START + 60) {
  const fleet = new Fleet();
  fleet.take(items);
  return fleet.cards(now);
}

// --- cards ---

test("a card says the call that runs, what it did, and what it cost as far as that was reported", () => {
  const commit = { stdout: "[main 4be81f2] Release 2.4\n 1 file changed", stderr: "" };
  const [card] = cardsOf([
    of("turn_started", { prompt: "Fix it", folder: "/home/ada/shop" }),
    of("message", { content: "I look", message_id: "m" }, 1),
    of("message", { content: " first.", message_id: "m" }, 1),
    called("a", "Edit", 2, { tool_input: { file_path: "/home/ada/shop/a.py" } }),
    finished("a", "Edit", 3, { tool_input: { file_path: "/home/ada/shop/a.py" } }),
    called("b", "Bash", 4, { summary: "git commit" }),
    finished("b", "Bash", 5, { tool_input: { command: "git commit -am x" }, details: { tool_response: commit } }),
    called("c", "Bash", 6),
    failed("c", "Bash", 7, "Exit code 1"),
    called("d", "Bash", 18, { summary: "make test" }),
    of("usage_reported", { input_tokens: 41_200, output_tokens: 3900, cost_usd: 0.21, request_id: "r" }, 19),
  ]);
  assert.deepEqual([card.state, card.name, card.project, card.task], ["working", "Claude Code", "shop", "Fix it"]);
  assert.deepEqual([card.doing.tool_name, card.doing.summary, card.facts.message], ["Bash", "make test", "I look first."]);
  assert.deepEqual(figures(card).map(([words]) => words), ["4 calls", "1 failed", "1 file", "1 commit", "45.1k tokens", "$0.21"]);
  assert.equal(ticking(START + 60 - card.doing.started), "0:42");
});

test("a card says nothing of costs that nobody reported", () => {
  const [card] = cardsOf([of("turn_started"), called("a")]);
  assert.deepEqual(figures(card).map(([words]) => words), ["1 call"]);
  const [free] = cardsOf([of("turn_started"), of("usage_reported", { input_tokens: 5 })]);
  assert.deepEqual(figures(free).map(([words]) => words), ["5 tokens"]);
});

test("a session that finished with a failure is counted where its card is", () => {
  const cards = cardsOf([of("error", { error: "rate_limit" }), of("session_finished", {}, 1)]);
  assert.deepEqual(cards.map(groupOf), ["finished"]);
  assert.deepEqual(tally(cards), [["1 finished, 1 failed", "finished"]]);
  assert.equal(shortStateOf(cards[0], START + 60), "failed 59 s ago");
});

test("a card shows the call that the agent runs itself rather than one that waits for a sub-agent", () => {
  const [card] = cardsOf([of("turn_started"), called("a", "Bash", 1), called("b", "Agent", 2, { spawns_agent: true })]);
  assert.equal(card.doing.tool_name, "Bash");
});

test("sessions that need a person come first, and the tally counts them", () => {
  const cards = cardsOf([
    of("turn_started", {}, 0, "w"),
    of("error", { error: "rate_limit" }, 1, "f"),
    of("turn_started", {}, 2, "q"),
    of("attention_needed", { reason: "permission", tool_name: "Bash", summary: "rm" }, 3, "q"),
    of("session_finished", {}, 4, "e"),
  ]);
  assert.deepEqual(cards.map(({ session_id: id }) => id), ["q", "f", "w", "e"]);
  const words = (all) => tally(all).map(([one]) => one);
  assert.deepEqual(words(cards), ["1 waiting for you", "1 failed", "1 working", "1 finished"]);
  assert.deepEqual(tally(cards).map(([, group]) => group), cards.map(groupOf));
  assert.deepEqual(cards.map((card) => stateOf(card, START + 60)), ["waiting for you", "failed 59 s ago", "working for 1 min", "finished 56 s ago"]);
  assert.deepEqual(cards.slice(1).map((card) => shortStateOf(card, START + 60)), ["failed 59 s ago", "working for 1 min", "56 s ago"]);
  assert.match(shortStateOf(cards[0], START + 60), /^waiting for \d+ s$/);
  assert.equal(costOf(cards), "");
  const usage = (cost) => ({ usage: { cost_usd: cost } });
  assert.equal(costOf([usage(0.21), { usage: null }, usage(0.743)]), "$0.95 reported by 2 of 3");
  assert.equal(asks(cards[0].attention, cards[0].agents), "asks for permission");
});

test("a session without news says for how long, and is silent after ten minutes without another event", () => {
  const fleet = new Fleet();
  fleet.take([of("turn_started"), called("a")]);
  const state = (after) => stateOf(fleet.cards(START + after)[0], START + after);
  assert.deepEqual([30, 240, 720].map(state), ["working for 30 s", "working, quiet for 4 min", "silent for 12 min"]);
});

test("what the gateway says of a silent session leaves its card silent, not waiting", () => {
  const fleet = new Fleet();
  fleet.take([of("turn_started"), called("a"), of("attention_needed", { reason: "silent" }, 700)]);
  const [card] = fleet.cards(START + 720);
  assert.equal(card.attention.reason, "silent");
  assert.match(shortStateOf(card, START + 720), /^silent for \d+ min$/);
});

test("sub-agents stand below their parents, each once", () => {
  for (const name of ["nested_two", "nested_background", "nested_interactive"]) {
    const [card] = cardsOf(steps(name));
    assert.deepEqual(treeOf(card).map(([, depth]) => depth), [1, 2], name);
  }
  const circle = [of("turn_started", { agent_id: "a", parent_id: "b" }), of("turn_started", { agent_id: "b", parent_id: "a" })];
  assert.equal(treeOf(cardsOf(circle)[0]).length, 2);
});

test("a card of the same session is the same whether it was filled at once or event by event", () => {
  for (const { name, steps: all, now } of VECTORS) {
    const items = all.map((step) => (step.type ? step : { type: "gap", reason: step.epoch_changed ? "epoch_changed" : "expired" }));
    const slow = new Fleet();
    for (const item of items) {
      slow.take([item]);
      slow.cards(now);
    }
    assert.deepEqual(slow.cards(now).map(({ facts, ...card }) => card), cardsOf(items, now).map(({ facts, ...card }) => card), name);
  }
});

test("the gateway's clock is ahead only by what the time of an answer cannot explain", () => {
  assert.equal(aheadOf(5000, 5400, 9000), 0); // whole seconds, and a slow answer
  assert.equal(aheadOf(60_000, 5000, 5100), 54_900);
  assert.equal(aheadOf(1000, 61_000, 61_100), -59_000);
});

// --- names, words, facts ---

test("a name that several sessions share gets the project, or else the start of the id", () => {
  const names = new Names();
  names.learn("aaaa1", "Claude Code", "/home/ada/shop");
  assert.equal(names.tag("aaaa1"), "");
  names.learn("bbbb1", "Claude Code", "/home/ada/site/");
  names.learn("cccc1", "Codex", "");
  assert.deepEqual(["aaaa1", "bbbb1", "cccc1"].map((id) => names.tag(id)), ["shop", "site", ""]);
  names.learn("aaaa2", "Claude Code", "/home/ada/shop");
  assert.deepEqual(["aaaa1", "aaaa2"].map((id) => names.tag(id)), ["shop aaaa1", "shop aaaa2"]);
});

test("paths are relative to the folder of the session, and to nothing else", () => {
  assert.equal(relative("/home/ada/shop/src/a.py", "/home/ada/shop/"), "src/a.py");
  assert.equal(relative("/home/ada/shopping/a.py", "/home/ada/shop"), "/home/ada/shopping/a.py");
  assert.equal(relative("C:\\shop\\a.py", "C:\\shop"), "a.py");
  assert.equal(shortened("cat /home/ada/shop/a /home/ada/b", "/home/ada/shop"), "cat a /home/ada/b");
});

test("spans, clocks and tokens in words", () => {
  assert.deepEqual([5, 65, 7500, 200_000].map(span), ["5 s", "1 min", "2 h 5 min", "2 d"]);
  assert.deepEqual([42, 723, 3723].map(ticking), ["0:42", "12:03", "1:02:03"]);
  assert.deepEqual([940, 45_200, 99_949, 99_950, 999_499, 999_500, 1_300_000].map(tokens), ["940", "45.2k", "99.9k", "100k", "999k", "1.0M", "1.3M"]);
});

test("only edits that succeeded change files, and a patch names its own", () => {
  const facts = new Facts();
  facts.observe(finished("a", "Write", 0, { tool_input: { file_path: "a" } }));
  facts.observe(failed("b", "Write", 0, "no"));
  facts.observe(finished("c", "Read", 0, { tool_input: { file_path: "c" } }));
  assert.deepEqual([...facts.files], ["a"]);
  const patch = "*** Begin Patch\n*** Update File: x.py\n+1\n*** Add File: y.py\n*** End Patch";
  assert.deepEqual(pathsOf({ tool_name: "apply_patch", tool_input: { command: patch } }), ["x.py", "y.py"]);
});

// --- diffs ---

test("a diff is the agent's own patch, or else made of the two texts", () => {
  const patch = [{ oldStart: 3, newStart: 3, lines: [" a", "-b", "+c"] }];
  const given = diffOf({ tool_name: "Edit", tool_input: { old_string: "b", new_string: "c" }, details: { tool_response: { structuredPatch: patch } } });
  assert.deepEqual(given.map(({ kind }) => kind), ["hunk", "same", "remove", "add"]);
  const made = diffOf({ tool_name: "Edit", tool_input: { old_string: "a\nb\nc", new_string: "a\nx\nc\nd" } });
  assert.deepEqual(made.map(({ kind, text }) => `${kind} ${text}`), ["same a", "remove b", "add x", "same c", "add d"]);
  assert.deepEqual(countOf(diffOf({ tool_name: "Write", tool_input: { content: "a\nb\n" } })), { added: 2, removed: 0 });
  assert.equal(diffOf({ tool_name: "Bash", tool_input: { command: "ls" } }), null);
});

test("a diff holds the lines of both sides in order, whatever they are", () => {
  const random = seeded(3);
  for (let run = 0; run < 200; run += 1) {
    const [a, b] = [0, 1].map(() => Array.from({ length: random(12) }, () => "abc"[random(3)]).join("\n"));
    const sides = (kind) => lines(a, b).filter((line) => line.kind !== kind).map(({ text }) => text).join("\n");
    assert.deepEqual([sides("add"), sides("remove")], [a, b]);
  }
});

// --- the timeline ---

const timelineOf = (items, session = items.find(({ data }) => data)?.data.session_id) => Timeline.of(session, items);
const said = (rows) => rows.map(({ kind, depth, state, record }) => `${"  ".repeat(depth)}${kind} ${record.call?.toolName ?? ""} ${state}`.trimEnd());

test("a call and its result are one row, in the turn that it belongs to", () => {
  const items = [of("turn_started", { prompt: "x" }), called("a", "Bash", 1), called("b", "Read", 2), finished("b", "Read", 3), finished("a", "Bash", 4, { duration_ms: 3000 })];
  const rows = timelineOf(items).rows(new Map(), START + 60);
  assert.deepEqual(said(rows), ["turn  running", "call Bash ok", "call Read ok"]);
  assert.deepEqual(spanOf(rows[1]), { started: START + 1, ended: START + 4 });
  assert.ok(rows.every(({ turn, kind }) => kind === "turn" || turn === rows[0].record));
});

test("the calls of a sub-agent are nested below the call that began it, and fold when it ends well", () => {
  for (const name of ["nested_two", "subagent_foreground", "subagent_background", "nested_background"]) {
    const timeline = timelineOf(steps(name));
    const folded = timeline.rows(new Map(), 2e9);
    assert.equal(folded.filter(({ depth }) => depth > 0).length, 0, name);
    const chosen = new Map();
    for (let level = 0; level < 4; level += 1) for (const { key, agents } of timeline.rows(chosen, 2e9)) if (agents.length) chosen.set(key, false);
    const open = timeline.rows(chosen, 2e9);
    assert.ok(open.some(({ depth, kind }) => depth > 0 && kind === "call"), name);
    const [view] = cardsOf(steps(name));
    assert.equal(open.filter(({ kind }) => kind === "call").length, view.calls, name);
    assert.equal(open.filter(({ kind }) => kind === "agent").length, 0, name);
  }
});

test("calls that only a batch ends are denied or refused in the timeline, as on the card", () => {
  for (const name of ["permission_denied", "hook_denied", "tool_fails", "permission_prompt"]) {
    const states = timelineOf(steps(name)).rows(new Map(), 2e9).filter(({ kind }) => kind === "call").map(({ state }) => state).sort();
    const [card] = cardsOf(steps(name), 2e9);
    const expected = Object.entries(card.agents[0].counts).flatMap(([state, number]) => Array(number).fill(state)).sort();
    assert.deepEqual(states, expected, name);
  }
});

test("failures are found in order, those inside folded sub-agents too", () => {
  const timeline = timelineOf(steps("subagent_permission"));
  const [{ key }] = timeline.rows(new Map(), 2e9).filter(({ agents }) => agents.length);
  const open = Timeline.failures(timeline.rows(new Map([[key, false]]), 2e9));
  assert.equal(timeline.rows(new Map(), 2e9).find((row) => row.key === key).folded, false); // something failed in it
  const folded = Timeline.failures(timeline.rows(new Map([[key, true]]), 2e9));
  assert.deepEqual(folded.map(([failure]) => failure), open.map(([failure]) => failure));
  assert.deepEqual(folded.map(([, around]) => around), [[key], [key]]);
});

test("a timeline that grew equals one made at once, and events that come again change nothing", () => {
  for (const { name, steps: all, now } of VECTORS) {
    const items = all.map((step) => (step.type ? step : { type: "gap", reason: step.epoch_changed ? "epoch_changed" : "expired" }));
    const id = items.find(({ data }) => data)?.data.session_id;
    const grown = new Timeline(id);
    for (const item of items) {
      grown.push(item);
      grown.rows(new Map(), now);
    }
    assert.deepEqual(said(grown.rows(new Map(), now)), said(Timeline.of(id, items).rows(new Map(), now)), name);
    if (items.some(({ type }) => type === "gap")) continue;
    const again = Timeline.of(id, items.flatMap((item, i) => [item, ...items.slice(0, i + 1)]));
    assert.deepEqual(said(again.rows(new Map(), now)), said(grown.rows(new Map(), now)), name);
    const keys = grown.rows(new Map(), now).map(({ key }) => key);
    assert.equal(new Set(keys).size, keys.length, name);
  }
});

// --- calls in the feed ---

function rowsOf(items, filter = {}) {
  const feed = new Feed();
  const view = new View({ ...NO_FILTER, ...filter });
  for (const item of items) view.push(feed.add(item));
  return { view, feed, said: view.rows.map((row) => (row.kind === "calls" ? callsSentence(row) : row.entry.what)) };
}

test("a call and its result are one row of the feed, also when others come in between", () => {
  const items = [called("a", "Bash", 0, { summary: "make test" }), of("turn_started", {}, 1, "other"), finished("a", "Bash", 3, { summary: "make test", duration_ms: 3200 })];
  assert.deepEqual(rowsOf(items).said, ["Bash: make test, 3.2 s", "began to work"]);
  assert.deepEqual(rowsOf([called("a"), of("message", { content: "x" }), finished("a")]).said.length, 2);
  assert.equal(rowsOf(items.slice(0, 1)).said[0], "called Bash: make test");
});

test("a run of like calls is one row, which says how many, how long and what failed", () => {
  const greps = Array.from({ length: 14 }, (_, i) => [called(`g${i}`, "Grep", i), i === 3 ? failed("g3", "Grep", i, "no") : finished(`g${i}`, "Grep", i, { duration_ms: 200 })]).flat();
  const { view, said: sentences } = rowsOf([...greps, called("b", "Bash", 20)]);
  assert.deepEqual(sentences, ["Grep ×14, 2.6 s, 1 failed", "called Bash"]);
  assert.deepEqual(view.rows.map(failedIn), [true, false]);
});

test("a message, another tool, another command, another agent or a minute ends a run", () => {
  const pair = (id, tool, at, more) => [called(id, tool, at, more), finished(id, tool, at, more)];
  assert.equal(rowsOf([...pair("a", "Bash", 0, { summary: "ls" }), ...pair("b", "Bash", 1, { summary: "make" })]).said.length, 2);
  assert.deepEqual(rowsOf([...pair("a", "Read", 0, { summary: "x" }), ...pair("b", "Read", 1, { summary: "y" })]).said, ["Read ×2: x, y"]);
  assert.equal(rowsOf([...pair("a", "Grep", 0), of("message", { content: "x" }), ...pair("b", "Grep", 1)]).said.length, 3);
  assert.equal(rowsOf([...pair("a", "Grep", 0), ...pair("b", "Read", 1), ...pair("c", "Grep", 2)]).said.length, 3);
  assert.equal(rowsOf([...pair("a", "Grep", 0), ...pair("b", "Grep", 1, { agent_id: "x" })]).said.length, 2);
  assert.equal(rowsOf([...pair("a", "Grep", 0), ...pair("b", "Grep", 70)]).said.length, 2);
});

test("a batch adds to its calls, and says which of them never ran", () => {
  const batch = (...calls) => of("batch_finished", { calls });
  assert.deepEqual(rowsOf([called("a"), finished("a"), batch({ tool_use_id: "a" })]).said, ["Bash"]);
  const denied = rowsOf([called("a", "Bash", 0, { summary: "rm" }), batch({ tool_use_id: "a", result: "Permission to use Bash denied" })]);
  assert.deepEqual(denied.said, ["Bash: rm denied: Permission to use Bash denied"]);
  assert.equal(callsOf(denied.view.rows[0])[0].state, "denied");
});

test("a view of calls made anew equals one that grew, and holds every entry once", () => {
  const random = seeded(5);
  for (let run = 0; run < 50; run += 1) {
    const items = Array.from({ length: 80 }, (_, i) => {
      const [id, tool] = [`c${random(20)}`, "AB"[random(2)]];
      return [called(id, tool, i), finished(id, tool, i), of("message", { content: "x" }, i), of("batch_finished", { calls: [{ tool_use_id: id }] }, i)][random(4)];
    });
    const { view, feed } = rowsOf(items);
    const shape = ({ rows }) => rows.map(({ kind, entries }) => [kind, entries.map(({ index }) => index)]);
    assert.deepEqual(shape(View.of(feed.entries(), NO_FILTER)), shape(view));
    assert.deepEqual(view.entries().map(({ index }) => index), items.map((_, i) => i));
  }
});

// --- whatever the fields hold ---

const UNSEEN = /[\u202a-\u202e\u2066\u2067\u0000-\u0008\u007f-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])/;

test("random JSON in the fields of agents breaks no card, no row, no detail, and shows no hidden character", () => {
  const random = seeded(Number(process.env.SEED ?? 1));
  const types = ["session_started", "turn_started", "turn_finished", "tool_called", "tool_finished", "batch_finished", "attention_needed", "error", "message", "reported", "usage_reported", "session_finished"];
  const fields = ["tool_name", "tool_use_id", "summary", "tool_input", "error", "reason", "prompt", "content", "message", "agent_id", "agent_type", "folder", "model", "details", "calls", "background", "truncated", "child_id", "duration_ms", "cost_usd", "spawns_agent"];
  const fleet = new Fleet();
  const timeline = new Timeline("s");
  for (let run = 0; run < 600; run += 1) {
    const data = { tool_name: ["Bash", "Edit", "Agent"][random(3)], tool_use_id: `c${random(9)}`, tool_input: { command: "ls", old_string: randomJson(random, 3), new_string: "x" } };
    for (let i = random(6); i > 0; i -= 1) data[fields[random(fields.length)]] = randomJson(random);
    const item = of(types[random(types.length)], data, run);
    fleet.take([item]);
    timeline.push(item);
    const parts = [...callDetail({ called: item, finished: item, batch: null, state: "failed", why: "x" }), ...eventDetail(item)];
    for (const part of parts) assert.doesNotMatch(part.textContent, UNSEEN);
    if (run % 20) continue;
    for (const card of fleet.cards(START + run)) figures(card).concat([[stateOf(card, START)]]).forEach(([words]) => assert.doesNotMatch(words, UNSEEN));
    for (const row of timeline.rows(new Map(), START + run)) if (row.kind !== "gap") spanOf(row);
  }
});
