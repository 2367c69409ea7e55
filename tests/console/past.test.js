// The window over all that is kept: however one scrolls, its rows are one run of the history, each once.
import assert from "node:assert/strict";
import test from "node:test";

import { Feed } from "../../app/static/feed.js";
import { matcher, NO_FILTER } from "../../app/static/filters.js";
import { itemsOf } from "../../app/static/history/pages.js";
import { Past } from "../../app/static/history/past.js";
import { chipNumbers } from "../../app/static/notes.js";
import { place } from "../../app/static/history/positions.js";
import { chunk, commit, event, file, said } from "./events.js";
import { Journal } from "./journal.js";
import { seeded } from "./random.js";

const PAGE = 7;

/** A journal with two epochs, and the live feed of its newest events. */
function history({ events = 120, newest = 30, make = (i) => said(`n${i}`) } = {}) {
  const journal = new Journal();
  const live = new Feed();
  const publish = (epoch, made) => {
    const added = journal.add(epoch, made);
    place(added, epoch);
    return added;
  };
  for (let i = 0; i < events; i += 1) publish(i < events / 2 ? "one" : "two", make(i));
  const first = journal.events.length - newest;
  for (const one of journal.events.slice(first)) live.add(one.event);
  const { epoch, event: oldest } = journal.events[first];
  return { journal, live, publish, older: `${epoch}:${oldest.sequence_number}` };
}

const older = (past, journal, options) => {
  const page = journal.page({ order: "desc", limit: PAGE, before: past.older, ...options });
  past.prepend(itemsOf(page, "desc"), page);
};
const newer = (past, journal, live, options) => {
  const page = journal.page({ order: "asc", limit: PAGE, after: past.newer, ...options });
  past.append(itemsOf(page, "asc"), page);
  past.join(live, page);
};
/** The numbers of events by namespace, counted anew. */
function counted(feed) {
  const numbers = {};
  for (const { type } of eventsOf(feed)) numbers[type.split(".")[0]] = (numbers[type.split(".")[0]] ?? 0) + 1;
  return Object.entries(numbers);
}
const eventsOf = (feed) => feed.entries().filter(({ kind }) => kind === "event").map((entry) => entry.event);

/** The window is one run of the events that fit, within its bounds. */
function assertRun(past, journal, filter = NO_FILTER) {
  const fits = matcher(filter);
  const all = journal.events.map(({ event: one }) => one).filter((one) => fits(new Feed().add(one)));
  const shown = eventsOf(past.feed);
  const from = all.indexOf(shown[0]);
  assert.deepEqual(shown.map((one) => one.sequence_number), all.slice(from, from + shown.length).map((one) => one.sequence_number));
  assert.ok(shown.every((one, i) => one === all[from + i]));
  assert.ok(past.feed.length <= past.feed.mostEntries);
  assert.deepEqual([...past.feed.counts].filter(([, number]) => number).sort(), counted(past.feed).sort());
  const indexes = past.feed.entries().map(({ index }) => index);
  assert.ok(indexes.every((index, i) => i === 0 || index > indexes[i - 1]));
  if (past.attached && shown.length) assert.equal(shown.at(-1), all.at(-1));
}

test("the window grows to the oldest event that is kept, with a line between two epochs", () => {
  const { journal, live, older: from } = history();
  const past = Past.of(live.entries(), NO_FILTER, { older: from, newer: null });
  while (past.older) older(past, journal);
  assert.equal(eventsOf(past.feed).length, 120);
  assertRun(past, journal);
  const lines = past.feed.entries().filter(({ kind }) => kind === "gap");
  assert.deepEqual(lines.map(({ gap }) => gap.reason), ["epoch_changed"]);
  assert.equal(past.feed.entries().indexOf(lines[0]), 60);
});

test("a full window lets its newest rows go, and they come back", () => {
  const { journal, live, older: from } = history();
  const past = Past.of(live.entries(), NO_FILTER, { older: from, newer: null }, { mostEntries: 40 });
  while (past.older) older(past, journal);
  assert.ok(!past.attached);
  assertRun(past, journal);
  assert.equal(eventsOf(past.feed)[0].data.content, "n0");
  while (!past.attached) newer(past, journal, live);
  assertRun(past, journal);
  while (past.older) older(past, journal);
  assertRun(past, journal);
  assert.equal(eventsOf(past.feed)[0].data.content, "n0");
});

test("events that come while the window is attached are added to it, and others are not", () => {
  const { journal, live, publish, older: from } = history();
  const past = Past.of(live.entries(), { ...NO_FILTER, text: "n1" }, { older: from, newer: null });
  const [hit, miss] = ["n1000", "x"].map((content) => live.add(publish("two", said(content))));
  assert.equal(past.observe(hit).event, hit.event);
  assert.equal(past.observe(miss), undefined);
  past.detach();
  assert.equal(past.observe(hit), undefined);
});

test("however one scrolls, and whatever comes meanwhile, no event is missing or doubled", () => {
  const filters = [{}, { namespaces: ["git"] }, { failed: true }, { who: "Ada" }, { text: "n1" }];
  const makers = [
    (i) => said(`n${i}`),
    (i) => commit(i),
    (i) => file(`f${i}`, i / 3),
    (i) => event("workflow.failed", { workflow_id: "w", error: `n${i}` }),
    (i) => chunk(`n${i} `, i, { message_id: `m${i % 3}` }),
  ];
  for (const [round, fields] of filters.entries()) {
    const random = seeded(round + 1);
    const filter = { ...NO_FILTER, ...fields };
    const { journal, live, publish, older: from } = history({ events: 300, newest: 60, make: (i) => makers[random(makers.length)](i) });
    const fits = matcher({ ...filter, who: "", failed: false }); // what the journal can tell by itself
    const options = () => ({ fits: (one) => fits(new Feed().add(one)), most: 5 + random(30) });
    const past = Past.of(live.entries(), filter, { older: from, newer: null }, { mostEntries: 50 });
    past.feed.trimNewest();
    if (past.feed.isFull) past.detach();
    for (let i = 0; i < 400; i += 1) {
      const added = random(4) ? null : live.add(publish("two", makers[random(makers.length)](300 + i)));
      if (added) {
        if (past.attached && past.isFull) past.detach();
        past.observe(added);
      }
      const wanted = Math.floor(i / 60) % 2;
      if (!wanted && past.older) older(past, journal, options());
      if (wanted && !past.attached) newer(past, journal, live, options());
      assertRun(past, journal, filter);
    }
  }
});

test("a window that is opened in the middle of the history grows in both directions", () => {
  const { journal, live } = history();
  const page = journal.page({ order: "asc", limit: PAGE, after: "one:20" });
  const past = new Past(NO_FILTER, { older: "one:21", newer: page.newer });
  past.append(itemsOf(page, "asc"), page);
  assert.equal(eventsOf(past.feed)[0].sequence_number, 21);
  older(past, journal);
  while (!past.attached) newer(past, journal, live);
  while (past.older) older(past, journal);
  assertRun(past, journal);
  assert.equal(eventsOf(past.feed).length, 120);
});

test("the numbers on the chips are those of the list; a window for a filter knows nothing of what it leaves out", () => {
  const make = (i) => (i % 3 ? said(`n${i}`) : commit(i));
  const { journal, live, older: from } = history({ make });
  const numbers = (past, filter = NO_FILTER) => {
    const { counts, failures, isWhole } = chipNumbers({ live, past, view: { filter } });
    return [Object.fromEntries(counts), failures, isWhole];
  };
  assert.deepEqual(numbers(null), [{ git: 10, chat: 20 }, 0, true]);
  const past = Past.of(live.entries(), NO_FILTER, { older: from, newer: null });
  while (past.older) older(past, journal);
  assert.deepEqual(numbers(past), [{ git: 40, chat: 80 }, 0, true]);
  const git = { ...NO_FILTER, namespaces: ["git"] };
  const some = Past.of(live.entries(), git, { older: from, newer: null });
  while (some.older) older(some, journal);
  assert.deepEqual(numbers(some, git), [{ git: 40, chat: 20 }, 0, true]);
  some.detach();
  assert.deepEqual(numbers(some, git), [{ git: 40 }, 0, false]);
});

test("rows of live events keep their keys in the window, so what is open stays open", () => {
  const { journal, live, older: from } = history();
  const keys = live.entries().map(({ index }) => index);
  const past = Past.of(live.entries(), NO_FILTER, { older: from, newer: null });
  older(past, journal);
  assert.deepEqual(past.feed.entries().slice(-keys.length).map(({ index }) => index), keys);
});
