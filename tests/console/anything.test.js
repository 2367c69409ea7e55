// Whatever stands in whatever field: every part of the page goes on, and every event is a row.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { mock } from "node:test";

import { parse } from "../../app/static/json.js";
import { event as made, gap } from "./events.js";
import { install } from "./page.js";
import { randomJson, seeded } from "./random.js";

const make = install();
const { Controls } = await import("../../app/static/controls.js");
const { toCsv, toJson } = await import("../../app/static/export.js");
const { Feed } = await import("../../app/static/feed.js");
const { NO_FILTER } = await import("../../app/static/filters.js");
const { drawChart, drawCommit, drawWorkflows } = await import("../../app/static/glance.js");
const { chipNumbers } = await import("../../app/static/notes.js");
const { Notices } = await import("../../app/static/notices.js");
const { Overview } = await import("../../app/static/overview.js");
const { Panel } = await import("../../app/static/panel.js");
const { Problems } = await import("../../app/static/problems.js");

const UNSEEN = /[\u202a-\u202e\u2066\u2067\u0000-\u0008\u007f-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])/;
const SEED = Number(process.env.SEED ?? 1);
const NOW = Date.UTC(2026, 10, 24, 12);
const CATALOG = [...readFileSync(new URL("../../docs/events.md", import.meta.url), "utf8").matchAll(/^## ([a-z_]+\.[a-z_]+)$.*?^```json\n(.*?)^```$/gms)].map(
  ([, type, data]) => [type, JSON.parse(data)],
);
const OTHERS = ["message_id", "workflow_name", "files_changed", "is_directory", "role", "tool_input", "error", "title", "agent", "project"];

function chip() {
  const made = make();
  made.append(make("span"));
  return made;
}

/** The whole console except its connection. */
function console_() {
  const problems = new Problems();
  const controls = new Controls(
    { text: make(), who: make(), type: make(), namespaces: make(), clearButton: make(), order: make(), times: make(), failedButton: chip() },
    { onFilter: (filter) => panel.setFilter(filter), onOrder() {} },
  );
  const elements = Object.fromEntries(
    ["scroller", "canvas", "lead", "tail", "empty", "pauseButton", "waitingPlace", "waitingText", "followButton", "tally"].map((name) => [name, make()]),
  );
  const feed = new Feed({ problems });
  const panel = new Panel(feed, elements, {
    filter: NO_FILTER,
    newestFirst: true,
    onEntry: (entry) => controls.learn(entry),
    onClear() {},
    problems,
  });
  const overview = new Overview(NOW);
  const places = [make("svg"), make(), make(), make(), make()];
  const glance = () => {
    drawChart(places[0], places[1], overview, NOW);
    drawCommit(places[2], overview.commit, NOW);
    drawWorkflows(places[3], places[4], overview.workflows, NOW);
    controls.count(chipNumbers({ live: feed, past: null }));
    panel.tick();
  };
  const shows = (items) => {
    for (const item of items) problems.guard("overview", () => overview.observe(item, NOW));
    panel.take(items);
  };
  const everything = () => [...Object.values(elements), ...places, controls.who, controls.namespaces];
  return { problems, controls, panel, feed, glance, shows, everything };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Draw, open, search and save everything, as a person might; `items` are rows one by one. */
async function use({ panel, controls, glance, shows, feed, problems }, items) {
  for (const [i, item] of items.entries()) {
    shows([item]);
    await settled();
    glance();
    panel._select(0);
    panel.toggle();
    assert.doesNotMatch(panel.canvas.textContent, UNSEEN); // an open row, with all of its data
    if (i % 20 === 0) panel.setFilter({ ...NO_FILTER, text: "a" });
    if (i % 20 === 10) panel.setFilter({ ...NO_FILTER });
    panel.escape();
    panel.escape();
  }
  for (const text of ["__proto__", "\u202e", "\\u202e", "[", "deep", "#1"]) controls._set({ text });
  controls.clear();
  assert.equal(feed.length, items.length);
  assert.equal(JSON.parse(toJson(feed.entries(), problems)).length, items.length);
  toCsv(feed.entries(), problems);
}

test("random JSON in every field of every type breaks nothing, and needs no boundary", async () => {
  console.log(`# SEED=${SEED}`);
  const random = seeded(SEED);
  const page = console_();
  const items = [];
  for (const [type, example] of [...CATALOG, ["deploy.thing_done", { title: "x" }], ["constructor.name", {}]]) {
    for (const field of [...new Set([...Object.keys(example), ...OTHERS])]) {
      const metadata = { agent: randomJson(random), source: randomJson(random), [field]: randomJson(random) };
      items.push(made(type, { ...example, [field]: randomJson(random) }, random(2) ? { metadata } : {}));
    }
    items.push(made(type, randomJson(random) ?? {}));
  }
  await use(page, items.map((item) => parse(JSON.stringify(item))));
  assert.equal(page.problems.count, 0);
  for (const place of page.everything()) {
    assert.doesNotMatch(place.textContent, UNSEEN);
    assert.doesNotMatch(place.textContent, /\[object (?!Object\])/);
  }
});

test("the object that brings its own toString is a value like any other, in any field", async () => {
  const page = console_();
  const poison = { toString: 1, valueOf: 1 };
  const items = CATALOG.flatMap(([type, example]) => [
    made(type, Object.fromEntries([...Object.keys(example), ...OTHERS].map((field) => [field, poison])), { metadata: { agent: poison, source: poison } }),
    ...Object.keys(example).map((field) => made(type, { ...example, [field]: poison })),
  ]);
  await use(page, items);
  assert.equal(page.problems.count, 0);
});

test("what is no event at all is a marked row and counted, and the feed goes on", async () => {
  const page = console_();
  const log = mock.method(console, "error", () => {});
  const odd = [null, 7, {}, { type: 7 }, { type: "a.b" }, { type: "a.b", data: null }, { type: "gap" }, { type: "gap", reason: { toString: 1 }, from_sequence_number: {} }];
  const strange = made("a.b");
  strange.sequence_number = strange.timestamp = { toString: 1 };
  await use(page, [...odd, strange, gap(), made("chat.message_sent", { role: "user", content: "still here" })]);
  log.mock.restore();
  assert.ok(page.problems.count >= 4);
  const rows = page.panel.view.rows;
  assert.ok(rows.some(({ kind }) => kind === "broken"));
  assert.equal(rows.at(-1).entry.what, "wrote: “still here”");
});

for (const [where, breaks] of [
  ["placing", (page) => mock.method(page.panel.view, "push", () => { throw new Error("mine"); }, { times: 1 })],
  ["drawing", () => {}],
  ["offering", (page) => mock.method(page.panel, "onEntry", () => { throw new Error("mine"); }, { times: 1 })],
  ["reading", (page) => mock.method(page.feed, "_event", () => { throw new Error("mine"); }, { times: 1 })],
]) {
  test(`an event that fails in ${where} leaves the others alone, and is counted once`, async () => {
    const page = console_();
    const log = mock.method(console, "error", () => {});
    breaks(page);
    const first = made("a.b", { title: "first" });
    if (where === "drawing") {
      let reads = 0; // the first one is the feed's
      Object.defineProperty(first, "timestamp", { get: () => (reads++ < 2 ? "" : assert.fail("mine")) });
    }
    page.shows([first, made("a.b", { title: "second" })]);
    await settled();
    page.panel.draw();
    log.mock.restore();
    assert.equal(page.problems.count, 1);
    assert.equal(page.panel.view.rows.length, 2);
    assert.match(page.panel.canvas.textContent, /second/);
    if (where !== "offering") assert.match(page.panel.canvas.textContent, /mine/);
  });
}

test("a name with unseen characters shows them, and right-to-left text keeps to itself", () => {
  const page = console_();
  const [entry] = [made("kanban.card_moved", { card_id: "שלום", to_column: "done" }, { metadata: { agent: "Ada\u202egnp" } })].map((item) => page.feed.add(item));
  assert.equal(entry.who, "Ada\\u202egnp");
  assert.equal(entry.what, "moved card \u2068שלום\u2069 to done");
});

test("notices stand until they are dismissed, or the good news comes, and are bounded", () => {
  const place = make();
  const notices = new Notices(place, make());
  notices.show({ code: "backend_away", message: "NATS is away" });
  notices.show({ code: "backend_back", message: "NATS is back" });
  assert.deepEqual(place.children.map(({ firstElementChild }) => firstElementChild.textContent), ["NATS is back"]);
  for (let i = 0; i < 9; i += 1) notices.show({ code: `c${i}`, message: `m${i} \u202e` });
  assert.equal(place.children.length, 3);
  assert.match(place.textContent, /m8 \\u202e/);
  notices.show({ code: { toString: 1 }, message: [] });
  place.lastElementChild.lastElementChild.dispatchEvent(new Event("click"));
  assert.equal(place.children.length, 2);
  notices.clear();
  assert.equal(place.children.length, 0);
});
