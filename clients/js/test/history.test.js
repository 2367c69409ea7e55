// `history` and `backfill`, against a gateway in memory and against a real one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { EventStream, history } from "../sightline.js";
import { FakePage, event, gap } from "./fakes.js";
import { Cable, Gateway, TOKEN, missing, until } from "./gateway.js";

const numbers = (items) => items.map((item) => item.sequence_number ?? item.reason);

/** Answers each request with the next of these pages; a number is a refusal with this status. */
function answering(page, ...answers) {
  page.answer = () => {
    const next = answers.length > 1 ? answers.shift() : answers[0];
    const ok = typeof next === "object";
    const text = JSON.stringify(ok ? next : { code: "bad_request", message: "no journal" });
    return Promise.resolve({ ok, status: ok ? 200 : next, text: () => Promise.resolve(text) });
  };
}

function pageOf(epoch, from, to, newer = null, fields = {}) {
  const events = [];
  for (let number = from; number <= to; number++) events.push(event(number));
  return { epoch, events, next: to, gap: null, older: null, newer, matches: null, ...fields };
}

function listening(options = {}) {
  const page = new FakePage();
  const items = [];
  const keep = (item) => items.push(item);
  const stream = page.stream({ backfill: true, onEvent: keep, onGap: keep, ...options });
  return { page, items, stream };
}

const settled = async () => {
  for (let i = 0; i < 20; i++) await turn();
};

test("a gap is filled before later events, which wait", async () => {
  const { page, items, stream } = listening();
  answering(page, pageOf("e-1", 3, 5, "e-1:5"), pageOf("e-1", 6, 12));
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"), event(10), event(11));
  assert.deepEqual(numbers(items), []);
  assert.equal(stream.position.sequence_number, 2);
  await settled();
  assert.deepEqual(numbers(items), [3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual({ ...stream.position }, { epoch: "e-1", sequence_number: 11 });
  assert.match(page.requests[0].address, /\/api\/events\?after=e-1%3A2&limit=1000&types=\*$/);
  page.say(event(12));
  assert.equal(items.at(-1).sequence_number, 12);
});

test("without backfill nothing is asked for", async () => {
  const { page, items } = listening({ backfill: false });
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"), event(10));
  assert.deepEqual(numbers(items), ["expired", 10]);
  assert.equal(page.requests.length, 0);
});

test("what cannot be filled stays a gap, and so does the rest of one", async () => {
  const { page, items } = listening();
  answering(page, pageOf("e-1", 3, 5, "e-1:5"), 400);
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"), event(10));
  await settled();
  assert.deepEqual(numbers(items), [3, 4, 5, "expired", 10]);
  assert.deepEqual([items[3].from_sequence_number, items[3].to_sequence_number], [6, 9]);
});

test("a failure is tried again, a bounded number of times", async () => {
  const { page, items } = listening();
  answering(page, 503);
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"), event(10));
  for (let i = 0; i < 8; i++) {
    await settled();
    assert.deepEqual(items, []);
    page.advance(15);
    page.say(event(10)); // the connection lives
  }
  await settled();
  assert.deepEqual(numbers(items), ["expired", 10]);
  assert.equal(page.requests.length, 9);
});

test("a new epoch is a gap behind all of the old one", async () => {
  const { page, items, stream } = listening();
  page.connect({ sequence_number: 2 });
  page.lose();
  await settled();
  answering(page, pageOf("e-1", 3, 4, "e-2:0"));
  page.advance(1);
  page.connect({ epoch: "e-2", sequence_number: 2 });
  page.say(gap(null, null, "epoch_changed"), event(1), event(2));
  await settled();
  assert.deepEqual(numbers(items), [3, 4, "epoch_changed", 1, 2]);
  assert.deepEqual({ ...stream.position }, { epoch: "e-2", sequence_number: 2 });
});

for (const when of ["before", "after"]) {
  test(`a page that leads into a later epoch ${when} the socket does doubles nothing`, async () => {
    const { page, items } = listening();
    const pages = [pageOf("e-1", 3, 4, "e-3:0"), pageOf("e-3", 1, 2)]; // e-2 had no event
    let go;
    const gone = new Promise((resolve) => (go = resolve));
    page.answer = async () => {
      await gone;
      const text = JSON.stringify(pages.shift());
      return { ok: true, status: 200, text: () => Promise.resolve(text) };
    };
    page.connect({ sequence_number: 2 });
    page.lose(1011);
    page.advance(1);
    page.connect({ epoch: "e-2" });
    page.say(gap(null, null, "epoch_changed"));
    if (when === "before") go();
    await settled();
    page.lose(1011);
    page.advance(1);
    page.connect({ epoch: "e-3", sequence_number: 3 });
    if (page.query.epoch === "e-2") page.say(gap(null, null, "epoch_changed"), event(1), event(2));
    page.say(event(3));
    go();
    await settled();
    assert.equal(page.query.epoch, when === "before" ? "e-3" : "e-2");
    const heard = items.filter(({ type }) => type !== "gap");
    assert.deepEqual(numbers(heard), [3, 4, 1, 2, 3]);
  });
}

test("a page that leads beyond what has arrived of later epochs doubles nothing", async () => {
  const { page, items } = listening();
  const unknown = { gap: gap(null, null, "epoch_changed") };
  const pages = {
    "e-1:2": pageOf("e-1", 3, 3, "e-3:0"), // e-2 had no event
    "e-2:0": pageOf("e-4", 1, 0, null, unknown),
    "e-3:0": pageOf("e-3", 1, 1, "e-4:0"),
    "e-3:1": pageOf("e-3", 2, 1, "e-4:0"),
  };
  let go;
  const gone = new Promise((resolve) => (go = resolve));
  page.answer = async () => {
    const { address } = page.requests.at(-1);
    await gone;
    const found = pages[new URL(address, "http://gateway").searchParams.get("after")] ?? pageOf("e-4", 1, 0);
    return { ok: true, status: 200, text: () => Promise.resolve(JSON.stringify(found)) };
  };
  page.connect({ sequence_number: 2 });
  for (const [epoch, ...events] of [["e-2"], ["e-3", event(1)], ["e-4"]]) {
    page.lose(1011);
    page.advance(1);
    page.connect({ epoch, sequence_number: events.length });
    page.say(gap(null, null, "epoch_changed"), ...events);
  }
  go();
  await settled();
  const heard = items.filter(({ type }) => type !== "gap");
  assert.deepEqual(numbers(heard), [3, 1]);
});

test("what the journal has lost is a gap in its place, cut where the gap ends", async () => {
  const { page, items } = listening();
  answering(page, pageOf("e-1", 12, 12, null, { gap: gap(3, 11, "not_stored") }));
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"), event(10));
  await settled();
  assert.deepEqual(numbers(items), ["not_stored", 10]);
  assert.equal(items[0].to_sequence_number, 9);
});

test("over a lost connection and over close, the fill goes on and nothing comes twice", async () => {
  const { page, items, stream } = listening();
  let answer;
  page.answer = () => new Promise((resolve) => (answer = resolve));
  const reply = (body) =>
    answer({ ok: true, status: 200, text: () => Promise.resolve(JSON.stringify(body)) });
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 5, "expired"), event(6));
  page.lose(1012);
  page.advance(1);
  assert.equal(page.query.last_sequence_number, "6"); // what waits is not replayed
  stream.close();
  reply(pageOf("e-1", 3, 5));
  await settled();
  assert.deepEqual(items, []);
  stream.reconnect();
  page.advance(0);
  page.connect({ sequence_number: 6 });
  reply(pageOf("e-1", 3, 5));
  await settled();
  assert.deepEqual(numbers(items), [3, 4, 5, 6]);
});

test("more than may wait is read from the history too", async () => {
  const { page, items } = listening();
  answering(page, pageOf("e-1", 3, 1002, "e-1:1002"), pageOf("e-1", 1003, 2002, "e-1:2002"));
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"));
  for (let number = 10; number <= 1500; number++) page.say(event(number));
  await settled();
  assert.deepEqual(
    numbers(items),
    Array.from({ length: 1498 }, (_, index) => index + 3),
  );
});

test("with batch, items of the history come in batches and the position follows them", async () => {
  const batches = [];
  const { page, stream } = listening({ batch: true, onEvents: (items) => batches.push(items) });
  answering(page, pageOf("e-1", 3, 9));
  page.connect({ sequence_number: 2 });
  page.say(gap(3, 9, "expired"), event(10));
  await settled();
  assert.equal(stream.position.sequence_number, 2);
  page.frame();
  assert.deepEqual(batches.map(numbers), [[3, 4, 5, 6, 7, 8, 9, 10]]);
  assert.equal(stream.position.sequence_number, 10);
});

test("history goes from page to page and parts two epochs by a gap", async () => {
  const page = new FakePage();
  const { environment } = page;
  answering(page, pageOf("e-1", 1, 2, "e-2:0", { matches: 7 }), pageOf("e-2", 1, 1), pageOf("e-2", 2, 1));
  const past = history({ q: "a b", types: ["git.*"], limit: 2, token: "s3cret", environment });
  const items = [];
  for await (const item of past) items.push(item);
  assert.deepEqual(numbers(items), [1, 2, "epoch_changed", 1]);
  assert.equal(past.matches, 7);
  assert.deepEqual(past.position, { epoch: "e-2", sequence_number: 1 });
  assert.match(page.requests[0].address, /events\?order=asc&types=git\.\*&q=a\+b&limit=2$/);
  assert.deepEqual(page.requests[0].headers, { "X-Session-Token": "s3cret" });
  answering(page, 400);
  await assert.rejects(async () => {
    for await (const item of past) items.push(item);
  }, { code: "bad_request", message: "no journal" });
});

describe("against a real gateway", { skip: missing }, () => {
  let gateway;
  before(async () => {
    const small = { SIGHTLINE_REPLAY_LIMIT: "5", SIGHTLINE_REPLAY_MAX_EVENTS: "20" };
    gateway = await Gateway.start(small);
  });
  after(() => gateway.end());

  const said = (content) => ({ type: "chat.message_sent", data: { role: "user", content } });
  const many = (from, to) =>
    Array.from({ length: to - from + 1 }, (_, index) => said(`word${from + index}`));

  test("cut, restarted and killed: each event once, in order", async (t) => {
    const cable = await Cable.to(gateway.port);
    t.after(() => cable.end());
    const items = [];
    const keep = (item) => items.push(item.data?.content ?? item.reason);
    const url = `http://127.0.0.1:${cable.port}/ws`;
    const options = { url, token: TOKEN, backfill: true, onEvent: keep, onGap: keep };
    const stream = new EventStream(options);
    t.after(() => stream.close());
    await until(() => stream.state.name === "live");
    await gateway.publish(...many(1, 10));
    await until(() => items.length === 10);
    stream.close(); // away for longer than is retained
    await gateway.publish(...many(11, 80));
    stream.reconnect();
    await until(() => items.length === 80);
    await gateway.kill("SIGTERM");
    await gateway.run();
    await gateway.publish(...many(81, 140));
    stream.reconnect();
    await until(() => items.length === 140);
    stream.close();
    await gateway.publish(...many(141, 160));
    await gateway.kill();
    await gateway.run();
    await gateway.publish(...many(161, 200));
    stream.reconnect();
    await until(() => items.length === 201);
    const words = (from, to) => many(from, to).map(({ data }) => data.content);
    assert.deepEqual(items, [...words(1, 160), "epoch_changed", ...words(161, 200)]);
    const past = history({ url: `${gateway.url}/ws`, token: TOKEN, q: "word150" });
    const found = [];
    for await (const item of past) found.push(item.data.content);
    assert.deepEqual([found, past.matches], [["word150"], 1]);
  });
});
