import assert from "node:assert/strict";
import test from "node:test";

import { Feed, MOST_ENTRIES } from "../../app/static/feed.js";
import { chunk, event, gap, said } from "./events.js";

test("the feed keeps the newest 20,000 and says how many it folded away", () => {
  const feed = new Feed();
  for (let i = 0; i < 2 * MOST_ENTRIES + 5; i += 1) {
    feed.add(said(`n${i}`));
    feed.trim();
  }
  assert.equal(feed.length, MOST_ENTRIES);
  assert.equal(feed.foldedAway, MOST_ENTRIES + 5);
  assert.equal(feed.entries()[0].event.data.content, `n${MOST_ENTRIES + 5}`);
  assert.equal(feed.entries().at(-1).event.data.content, `n${2 * MOST_ENTRIES + 4}`);
});

test("big events are bounded by their characters, and one always stays", () => {
  const feed = new Feed({ mostCharacters: 10_000 });
  for (let i = 0; i < 50; i += 1) feed.add(said("x".repeat(1000)));
  const gone = feed.trim();
  assert.ok(feed.characters <= 10_000);
  assert.equal(gone.length + feed.length, 50);
  assert.ok(feed.length >= 2);
  feed.add(said("y".repeat(100_000)));
  feed.trim();
  assert.equal(feed.length, 1);
});

test("entries tell who did what, and are numbered through across restarts", () => {
  const feed = new Feed();
  const first = feed.add(said("Hello"));
  const loss = feed.add(gap());
  assert.deepEqual([first.who, first.what, first.namespace], ["User", "wrote: “Hello”", "chat"]);
  assert.deepEqual([first.index, loss.index, feed.next], [0, 1, 2]);
  assert.equal(loss.kind, "gap");
});

test("a workflow's name is remembered for the steps that leave it out", () => {
  const feed = new Feed();
  feed.add(event("workflow.started", { workflow_id: "w", workflow_name: "Nightly" }));
  const done = feed.add(event("workflow.finished", { workflow_id: "w", status: "success", duration_ms: 5 }));
  assert.equal(done.what, "finished Nightly in 5 ms");
});

test("chunks of one message share it, and the complete answer ends it", () => {
  const feed = new Feed();
  const [a, b] = [feed.add(chunk("All te")), feed.add(chunk("sts pass"))];
  assert.equal(a.message, b.message);
  assert.equal(a.message.text, "All tests pass");
  const end = { role: "assistant", content: "All tests pass.", agent_name: "Ada", message_id: "m1" };
  assert.equal(feed.add(event("chat.message_received", end)).message, a.message);
  assert.ok(a.message.done);
  assert.equal(a.message.text, "All tests pass.");
  assert.notEqual(feed.add(chunk("Another")).message, a.message);
});

test("an answer without an id ends the message that says the same", () => {
  const feed = new Feed();
  const part = feed.add(chunk("Done. "));
  const other = event("chat.message_received", { role: "assistant", content: "Other", agent_name: "Ada" });
  assert.equal(feed.add(other).message, undefined);
  const same = event("chat.message_received", { role: "assistant", content: "Done.", agent_name: "Ada" });
  assert.equal(feed.add(same).message, part.message);
});

test("an answer without an id ends what its agent was writing without one, also in other words", () => {
  const feed = new Feed();
  const part = feed.add(chunk("All te", 0, { agent_name: "Ada" }));
  const answer = { role: "assistant", content: "Everything passes.", agent_name: "Ada", message_id: "m9" };
  assert.equal(feed.add(event("chat.message_received", answer)).message, part.message);
  assert.ok(part.message.done);
  const other = feed.add(chunk("Yes", 1, { agent_name: "Bob" }));
  feed.add(event("chat.message_received", { role: "assistant", content: "Yes" }));
  assert.ok(other.message.done);
});

test("ids of any type are ids", () => {
  const feed = new Feed();
  const ids = [{ toString: 1, valueOf: 1 }, [1], { a: 1 }, 7, true, "x".repeat(100_000), { __proto__: null }];
  const messages = ids.map((id) => feed.add(chunk("a", 0, { message_id: id, agent_name: "Ada" })).message);
  assert.equal(new Set(messages).size, ids.length);
  ids.forEach((id, i) => {
    const again = JSON.parse(JSON.stringify(id));
    assert.equal(feed.add(chunk("b", 0, { message_id: again })).message, messages[i]);
  });
  assert.equal(feed.add(chunk("b", 0, { message_id: "7" })).message, messages[3]);
});

test("chunks without an id belong together while their agent keeps writing", () => {
  const feed = new Feed();
  const by = (text, at, agent_name) => feed.add(chunk(text, at, { agent_name })).message;
  const first = by("a", 0, "Ada");
  assert.notEqual(by("x", 1, "Bob"), first);
  assert.equal(by("b", 2, "Ada"), first);
  assert.notEqual(by("c", 20, "Ada"), first);
});

test("another epoch's message of the same id is another message", () => {
  const feed = new Feed();
  const before = feed.add(chunk("a")).message;
  feed.add(gap({ reason: "epoch_changed" }));
  assert.notEqual(feed.add(chunk("b")).message, before);
});

test("a message that never ends is bounded", () => {
  const feed = new Feed();
  let entry;
  for (let i = 0; i < 1000; i += 1) entry = feed.add(chunk("x".repeat(1000)));
  assert.ok(entry.message.text.length <= 200_000);
});
