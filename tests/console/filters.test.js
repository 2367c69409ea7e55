import assert from "node:assert/strict";
import test from "node:test";

import { Feed } from "../../app/static/feed.js";
import { formatFilter, hiddenPlace, isEmpty, matcher, NO_FILTER, parseFilter, split } from "../../app/static/filters.js";
import { chunk, commit, event, gap, said } from "./events.js";

test("a filter survives the way through the address", () => {
  const filter = { namespaces: ["file", "git"], type: "git.commit_created", who: "Ada & Co=#1", text: "50% ünï +x", failed: true };
  assert.deepEqual(parseFilter(`#${formatFilter(filter)}`), filter);
  assert.equal(formatFilter({ ...NO_FILTER, namespaces: ["file", "git"] }), "ns=file,git");
  assert.equal(formatFilter(parseFilter("")), "");
  assert.ok(isEmpty(parseFilter("#")));
  assert.ok(!isEmpty(parseFilter("#q=x")));
});

test("what no filter can be is ignored in an address", () => {
  assert.deepEqual(parseFilter("#ns=GIT,,git,git,<b>&other=1").namespaces, ["git"]);
});

test("namespace, type, who and text all have to fit", () => {
  const entry = new Feed().add(commit(0));
  const fits = (fields) => matcher({ ...NO_FILTER, ...fields })(entry);
  assert.ok(fits({}));
  assert.ok(fits({ namespaces: ["file", "git"], type: "git.commit_created", who: "Ada", text: " PARSER " }));
  assert.ok(!fits({ namespaces: ["file"] }));
  assert.ok(!fits({ type: "git.other" }));
  assert.ok(!fits({ who: "Bob" }));
  assert.ok(!fits({ text: "nowhere" }));
  assert.ok(!fits({ failed: true }));
  const failure = new Feed().add(event("workflow.failed", { workflow_id: "w", error: "x" }));
  assert.ok(matcher({ ...NO_FILTER, failed: true })(failure));
});

test("the text is looked for in the sentence, the type, the number, data and metadata", () => {
  const made = said("Hello there", { metadata: { correlation_id: "Run-7" } });
  const entry = new Feed().add(made);
  for (const text of ["user wrote", "message_sent", `#${made.sequence_number}`, "hello there", "run-7"]) {
    assert.ok(matcher({ ...NO_FILTER, text })(entry), text);
  }
});

test("a gap passes every filter", () => {
  const entry = new Feed().add(gap());
  assert.ok(matcher({ namespaces: ["git"], type: "x", who: "y", text: "z" })(entry));
});

test("a streamed message is found by words that its chunks cut", () => {
  const feed = new Feed();
  const [first] = ["the par", "ser is done"].map((text) => feed.add(chunk(text)));
  assert.ok(matcher({ ...NO_FILTER, text: "Parser" })(first));
});

test("where a hit stands that the row does not show is named", () => {
  const made = event("chat.message_sent", { role: "user", content: "Hi", extra: { run: "Xyz" } }, { metadata: { correlation_id: "Run-7" } });
  const entry = new Feed().add(made);
  const places = ["xyz", "run-7", "message_sent", "nowhere", ""].map((text) => hiddenPlace(entry, text));
  assert.deepEqual(places, ["data", "metadata", "type", "", ""]);
});

test("hits are split out, case aside, as text", () => {
  assert.deepEqual(split("Fix the fIx", "fix"), ["", "Fix", " the ", "fIx", ""]);
  assert.deepEqual(split("a.b*c", ".b*"), ["a", ".b*", "c"]);
  assert.deepEqual(split("nothing", " "), ["nothing"]);
  assert.deepEqual(split("İ is longer in lower case", "is"), ["İ ", "is", " longer in lower case"]);
  assert.deepEqual(split("a\\u202eb", "\u202e"), ["a", "\\u202e", "b"]);
  for (const odd of ["\ud800", "[", "\\", "(?<", "-", "{1"]) assert.equal(split(`x${odd}y`, odd).length % 2, 1, odd);
  assert.equal(split("<img src=x>", "img").join(""), "<img src=x>");
});
