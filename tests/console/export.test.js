import assert from "node:assert/strict";
import test from "node:test";

import { fileName, toCsv, toJson } from "../../app/static/export.js";
import { Feed } from "../../app/static/feed.js";
import { event, gap, said } from "./events.js";

const entriesOf = (...items) => {
  const feed = new Feed();
  return items.map((item) => feed.add(item));
};

test("JSON holds events and gaps as they came", () => {
  const items = [said("a"), gap(), said("ü")];
  assert.deepEqual(JSON.parse(toJson(entriesOf(...items))), items);
  assert.deepEqual(JSON.parse(toJson([])), []);
});

test("CSV has a header and a line an event, with commas, quotes and line breaks kept", () => {
  const made = said('a,"b"\nc');
  const [header, line, rest] = toCsv(entriesOf(made)).split("\r\n");
  assert.equal(header, '"sequence_number","timestamp","type","who","what","data","metadata"');
  assert.ok(line.startsWith(`"${made.sequence_number}","${made.timestamp}","chat.message_sent","User","wrote: “a,""b"" c”"`));
  assert.ok(line.endsWith(`"{""role"":""user"",""content"":""a,\\""b\\""\\nc""}","{}"`));
  assert.equal(rest, "");
});

test("no cell of the CSV is a formula", () => {
  const starts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"];
  const csv = toCsv(entriesOf(...starts.map((agent) => event("x.y", {}, { metadata: { agent } })), ...starts.map((t) => event("git.commit_created", { author: t }))));
  const cells = [...csv.matchAll(/"((?:[^"]|"")*)"/g)].map(([, cell]) => cell);
  assert.ok(cells.length > 7 * starts.length);
  assert.deepEqual(cells.filter((cell) => /^\s*[=+\-@]/.test(cell)), []);
  assert.ok(cells.includes("'=1+1"));
});

test("a gap is a line too", () => {
  assert.match(toCsv(entriesOf(gap())), /\r\n"","","gap","","7 events lost, #3 to #9/);
});

test("the file is named by the time", () => {
  assert.equal(fileName("csv", new Date(Date.UTC(2026, 10, 22, 21))), "sightline-2026-11-22T21-00-00.csv");
});
