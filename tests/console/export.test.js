import assert from "node:assert/strict";
import test, { mock } from "node:test";

import { fileName, toCsv, toJson } from "../../app/static/export.js";
import { Feed } from "../../app/static/feed.js";
import { parse } from "../../app/static/json.js";
import { Problems } from "../../app/static/problems.js";
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

/** The cells of a spreadsheet that splits at `separator` and gives quotes a meaning at a cell's start alone. */
function spreadsheet(csv, separator) {
  const cells = [];
  for (let at = 0; at < csv.length; at += 1) {
    let cell = "";
    if (csv[at] === '"') {
      for (at += 1; at < csv.length && (csv[at] !== '"' || csv[at + 1] === '"'); at += 1) {
        cell += csv[at];
        if (csv[at] === '"') at += 1;
      }
      at += 1;
    }
    while (at < csv.length && csv[at] !== separator && !"\r\n".includes(csv[at])) cell += csv[at++];
    cells.push(cell);
  }
  return cells;
}

test("no cell is a formula, whatever separator a spreadsheet goes by", () => {
  const lead = ["", " ", "\t", "\r", "\n", "\u00a0", "\u200b", "\ufeff", "\0", '"', "'", "“"];
  const formulas = [..."=+-@＝＋－＠﹦﹢﹣﹫"].flatMap((sign) => lead.map((before) => `${before}${sign}HYPERLINK(A1)`));
  const texts = formulas.flatMap((formula) => ["", ";", "x;", "x\t", "x|", "x,", 'x";', "x\r\n"].map((before) => before + formula));
  const events = texts.flatMap((text) => [
    event("chat.message_sent", { role: text, content: text, [text]: [text, -1] }, { metadata: { agent: text, [text]: text } }),
    event("deploy.thing_done", { [text]: text }),
    gap({ reason: text }),
  ]);
  const csv = toCsv(entriesOf(...events, null, { type: "x.y", data: texts }));
  for (const separator of [",", ";", "\t", "|"]) {
    const cells = spreadsheet(csv, separator);
    assert.deepEqual(cells.filter((cell) => /^[\s\p{C}"]*[=+\-@＝＋－＠﹦﹢﹣﹫]/u.test(cell)), [], separator);
  }
  const [, line] = toCsv(entriesOf(event("a.b", { x: "a;=1|\u0085-", y: [1, -2] }))).split("\r\n");
  const data = spreadsheet(line, ",")[5];
  assert.deepEqual(JSON.parse(data), { x: "a;=1|\u0085-", y: [1, -2] });
});

test("numbers that JavaScript would round are saved as they came", () => {
  const numbers = "[9007199254740993,-123456789012345678901,1e400,0.1000000000000000055511151231257827]";
  const made = parse(`{"type":"a.b","timestamp":"2026-11-24T12:00:00.000Z","sequence_number":1,"data":{"n":${numbers}},"metadata":{}}`);
  assert.ok(toJson(entriesOf(made)).includes(numbers));
  assert.ok(toCsv(entriesOf(made)).includes(numbers));
});

test("an event that cannot be written is one line that says so, and is counted", () => {
  const problems = new Problems();
  const good = entriesOf(said("a"))[0];
  const bad = { ...good, event: { get data() { throw new Error("mine"); }, type: "a.b" } };
  const log = mock.method(console, "error", () => {});
  assert.equal(JSON.parse(toJson([good, bad, good], problems)).length, 3);
  assert.match(toCsv([good, bad, good], problems), /\r\n"","","export_failed"/);
  log.mock.restore();
  assert.equal(problems.count, 2);
});

test("a gap is a line too", () => {
  assert.match(toCsv(entriesOf(gap())), /\r\n"","","gap","","7 events lost, #3 to #9/);
});

test("the file is named by the time", () => {
  assert.equal(fileName("csv", new Date(Date.UTC(2026, 10, 22, 21))), "sightline-2026-11-22T21-00-00.csv");
});
