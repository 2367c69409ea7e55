import assert from "node:assert/strict";
import test from "node:test";

import { Feed } from "../../app/static/feed.js";
import { NO_FILTER } from "../../app/static/filters.js";
import { sentenceOf } from "../../app/static/row.js";
import { View } from "../../app/static/view.js";
import { chunk, commit, event, file, gap, said } from "./events.js";

/** The rows of `items`, and the feed and view that made them. */
function rowsOf(items, filter = {}, options = {}) {
  const feed = new Feed(options);
  const view = new View({ ...NO_FILTER, ...filter });
  for (const item of items) {
    view.push(feed.add(item));
    view.evict(feed.trim());
  }
  return { feed, view, kinds: view.rows.map(({ kind, entries }) => `${kind} ${entries.length}`) };
}

test("file events in quick succession are one row, after a pause another", () => {
  const { kinds } = rowsOf([file("a", 0), file("b", 0.5), file("c", 1.2), file("d", 5), said("x"), file("e", 5.5)]);
  assert.deepEqual(kinds, ["burst 3", "burst 2", "event 1"]);
});

test("a burst ends after ten seconds, at a thousand events, and at somebody else's", () => {
  const long = Array.from({ length: 30 }, (_, i) => file(`f${i}`, i * 0.5));
  assert.deepEqual(rowsOf(long).kinds, ["burst 21", "burst 9"]);
  const many = Array.from({ length: 1001 }, (_, i) => file(`f${i}`, 0));
  assert.deepEqual(rowsOf(many).kinds, ["burst 1000", "event 1"]);
  assert.deepEqual(rowsOf([file("a", 0), file("b", 0, { agent: "Ada" })]).kinds, ["event 1", "event 1"]);
});

test("a commit takes in the file events before it and just after it", () => {
  const items = [file("a", 0), file("b", 0.1), said("x"), commit(2, 3), file("c", 2.5), file("d", 9)];
  const { view, kinds } = rowsOf(items);
  assert.deepEqual(kinds, ["event 1", "commit 4", "event 1"]);
  assert.equal(view.rows[1].entry.event.type, "git.commit_created");
});

test("files between two commits belong to the later one", () => {
  const { view, kinds } = rowsOf([file("a", 0), commit(0.1), file("b", 0.2), file("c", 0.3), commit(0.4)]);
  assert.deepEqual(kinds, ["commit 2", "commit 3"]);
  assert.equal(view.shown, 5);
});

test("a commit leaves files alone that are not its own", () => {
  assert.deepEqual(rowsOf([file("a", 0), commit(8)]).kinds, ["event 1", "commit 1"]);
  assert.deepEqual(rowsOf([file("a", 0), commit(1, ["b"])]).kinds, ["event 1", "commit 1"]);
  assert.deepEqual(rowsOf([file("a", 0), commit(1, ["a", "b"])]).kinds, ["commit 2"]);
  assert.deepEqual(rowsOf([file("a", 0), file("b", 0), commit(1, ["a"])]).kinds, ["event 1", "commit 2"]);
  assert.deepEqual(rowsOf([commit(0, ["a"]), file("b", 0.5), file("a", 1)]).kinds, ["commit 1", "burst 2"]);
});

test("a commit leaves the files of other agents alone, before it and after it", () => {
  const by = (path, at, agent) => file(path, at, { agent });
  assert.deepEqual(rowsOf([by("a", 0, "Bob"), commit(1)]).kinds, ["event 1", "commit 1"]);
  assert.deepEqual(rowsOf([commit(1), by("a", 1.5, "Bob")]).kinds, ["commit 1", "event 1"]);
  assert.deepEqual(rowsOf([by("a", 0, "Ada"), by("b", 0.2, "Bob"), file("c", 0.4), commit(1)]).kinds, ["event 1", "commit 3"]);
  const { view } = rowsOf([by("a", 0, "Ada"), by("b", 0.2, "Bob"), commit(1)]);
  assert.equal(view.rows[0].entry.who, "Bob");
});

test("a commit that only counts its files takes none where more were changed than it counts", () => {
  assert.deepEqual(rowsOf([file("a", 0), file("b", 0), file("c", 0), commit(1, 2)]).kinds, ["burst 3", "commit 1"]);
  assert.deepEqual(rowsOf([file("a", 0), file("a", 0.1), file("b", 0.2), commit(1, 2)]).kinds, ["commit 4"]);
  assert.deepEqual(rowsOf([commit(0, 1), file("a", 0.5), file("b", 0.6)]).kinds, ["commit 2", "event 1"]);
});

test("chunks of one message grow one row, whatever comes between", () => {
  const { view, kinds } = rowsOf([chunk("All "), said("x"), chunk("tests "), file("a", 0), chunk("pass")]);
  assert.deepEqual(kinds, ["event 1", "event 1", "message 3"]);
  assert.equal(sentenceOf(view.rows[2]).what, "is writing: “All tests pass");
});

test("a message that grows stands at the newest end, and where it ended once it has ended", () => {
  const end = event("chat.message_received", { role: "assistant", content: "All tests", message_id: "m1" });
  const { view, kinds } = rowsOf([chunk("All "), said("x"), chunk("tests"), said("y"), end, said("z")]);
  assert.deepEqual(kinds, ["event 1", "event 1", "message 3", "event 1"]);
  assert.equal(view.rows[3].entry.event.data.content, "z");
});

test("agents that write at once keep their places, and at most three stand at the newest end", () => {
  const by = (id, at) => chunk("w ", at, { message_id: id, agent_name: id });
  const order = (items) => rowsOf(items).view.rows.map(({ entry }) => entry.event.data.message_id ?? entry.event.data.content);
  assert.deepEqual(order([by("a", 0), by("b", 0), said("x"), by("b", 1), by("a", 1), said("y")]), ["x", "y", "a", "b"]);
  assert.deepEqual(order([by("a", 0), said("x"), by("b", 0), by("c", 0), by("d", 0), said("y")]), ["a", "x", "y", "b", "c", "d"]);
});

test("a message that falls silent is not being written any more and goes to where its last chunk was", () => {
  let now = 0;
  const feed = new Feed({ now: () => now });
  const view = new View(NO_FILTER);
  const add = (item) => view.push(feed.add(item));
  add(chunk("Hel"));
  add(said("x"));
  add(chunk("lo", 0, { agent_name: "Bob" }));
  add(said("y"));
  now = 10_000;
  view.settle(feed.settle());
  assert.equal(sentenceOf(view.rows.at(-1)).what, "is writing: “lo");
  now = 10_001;
  view.settle(feed.settle());
  const said_ = view.rows.map((row) => sentenceOf(row).what);
  assert.deepEqual(said_, ["wrote, without an end: “Hel", "wrote: “x”", "wrote, without an end: “lo", "wrote: “y”"]);
  const shape = ({ rows }) => rows.map(({ entries }) => entries.map(({ index }) => index));
  assert.deepEqual(shape(View.of(feed.entries(), NO_FILTER)), shape(view));
  assert.deepEqual(feed.settle(), []);
  add(chunk("lo again"));
  assert.equal(sentenceOf(view.rows.at(-1)).what, "is writing: “Hello again");
  add(chunk("anew", 0, { agent_name: "Bob" }));
  assert.equal(sentenceOf(view.rows.at(-1)).what, "is writing: “anew");
});

test("a gap stands in the feed where the loss is, whatever the filter", () => {
  const { view } = rowsOf([said("a"), gap(), said("b"), file("c", 0)], { namespaces: ["file"] });
  assert.deepEqual(view.rows.map(({ kind }) => kind), ["gap", "event"]);
});

test("a filter lets through what fits of a burst", () => {
  const { view } = rowsOf([file("a", 0), file("b", 0), commit(1)], { text: "b\"" });
  assert.equal(view.shown, 1);
  assert.equal(view.rows[0].entry.event.data.path, "b");
});

test("a message that begins to fit as it grows is shown from its beginning", () => {
  const { view, kinds } = rowsOf([chunk("the par"), said("x"), chunk("ser")], { text: "parser" });
  assert.deepEqual(kinds, ["message 2"]);
  assert.equal(view.shown, 2);
});

test("a view made afresh equals one that grew", () => {
  const items = [file("a", 0), chunk("p"), file("b", 0.2), commit(1), gap(), chunk("q"), said("x"), file("c", 30)];
  const { feed, view } = rowsOf(items);
  const afresh = View.of(feed.entries(), NO_FILTER);
  const shape = ({ rows, shown }) => [shown, rows.map(({ kind, entries }) => [kind, entries.map(({ index }) => index)])];
  assert.deepEqual(shape(afresh), shape(view));
});

test("what the feed folds away leaves the rows, and empty rows leave the view", () => {
  const items = [file("a", 0), said("x"), file("b", 0.1), chunk("p"), said("y"), chunk("q"), said("z")];
  const { view, kinds, feed } = rowsOf(items, {}, { mostEntries: 3 });
  assert.deepEqual(kinds, ["event 1", "message 1", "event 1"].sort((a, b) => kinds.indexOf(a) - kinds.indexOf(b)));
  assert.deepEqual(view.entries().map(({ index }) => index), feed.entries().map(({ index }) => index));
  assert.equal(view.shown, 3);
});

test("after any mixture the rows hold exactly what the feed keeps and the filter lets through", () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const makers = [
    (at) => file(`f${random(9)}`, at),
    (at) => chunk("word ", at, { message_id: `m${random(3)}`, agent_name: "Ada" }),
    (at) => event("chat.message_received", { role: "assistant", content: "w", message_id: `m${random(3)}` }, { at }),
    (at) => commit(at),
    (at) => said("x", { at }),
    () => gap(),
  ];
  for (const filter of [{}, { namespaces: ["file"] }, { text: "word word" }, { type: "chat.message_received" }]) {
    const items = Array.from({ length: 600 }, (_, i) => makers[random(makers.length)](i / 3));
    const { feed, view } = rowsOf(items, filter, { mostEntries: 150 });
    const afresh = feed.entries().filter((entry) => view.matches(entry));
    assert.deepEqual(view.entries().map(({ index }) => index), afresh.map(({ index }) => index));
    assert.equal(view.shown, view.entries().length);
    assert.ok(view.rows.every(({ entries, entry }) => entries.includes(entry)));
  }
});

test("20,000 events are filtered and folded in under 50 ms", () => {
  const feed = new Feed();
  for (let i = 0; i < 20_000; i += 1) feed.add(i % 2 ? said(`message ${i}`) : file(`src/f${i}.py`, i));
  const entries = feed.entries();
  View.of(entries, { ...NO_FILTER, text: "warm" });
  const times = ["f1999", "message", ""].map((text) => {
    const tries = [0, 1, 2, 3, 4].map(() => {
      const began = performance.now();
      View.of(entries, { ...NO_FILTER, text });
      return performance.now() - began;
    });
    return Math.min(...tries); // a busy machine holds up some of them
  });
  assert.ok(Math.max(...times) < 50, String(times));
});
