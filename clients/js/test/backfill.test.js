// `backfill` against a model of the gateway, its journal and its crashes: each event once, in order.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { FakePage, event, gap } from "./fakes.js";

const RUNS = 100;
const SEED = Number(process.env.SEED ?? Date.now() % 1e6);

/** Draws from [0, 1) that a seed repeats (mulberry32). */
function draws(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A gateway that retains three events, and keeps all of every epoch in its journal, or less. */
class Model {
  epochs = [{ name: "e0", head: 0 }];
  lost = new Set(); // never stored
  pruned = 0; // this many of the oldest numbers of the oldest epoch are deleted

  get current() {
    return this.epochs.at(-1);
  }

  event(number, epoch = this.current.name) {
    return { ...event(number), data: { e: epoch } };
  }

  publish(count) {
    const numbers = Array.from({ length: count }, () => ++this.current.head);
    return numbers.map((number) => this.event(number));
  }

  /** What follows `connected`. */
  join({ epoch, last_sequence_number }) {
    const { name, head } = this.current;
    const messages = [];
    let number = Number(last_sequence_number);
    if (epoch !== name) {
      messages.push(gap(null, null, "epoch_changed"));
      number = 0;
    }
    const first = Math.max(number, head - 3) + 1;
    if (first > number + 1) messages.push(gap(number + 1, first - 1, "expired"));
    for (let n = first; n <= head; n++) messages.push(this.event(n));
    return messages;
  }

  isGone(epoch, number) {
    return this.lost.has(`${epoch}:${number}`) || (epoch === "e0" && number <= this.pruned);
  }

  /** A page ends before a hole, and begins behind one; it leads past epochs that have no event. */
  page(after) {
    const [epoch, from] = after.split(":");
    const index = this.epochs.findIndex(({ name }) => name === epoch);
    const { head } = this.epochs[index];
    let number = Number(from);
    let loss = null;
    while (number < head && this.isGone(epoch, number + 1)) {
      number += 1;
      loss = gap(Number(from) + 1, number, "not_stored");
    }
    const events = [];
    while (number < head && events.length < 4 && !this.isGone(epoch, number + 1))
      events.push(this.event(++number, epoch));
    const behind = this.epochs.slice(index + 1).find((one) => one.head || one === this.current);
    const newer = number < head ? `${epoch}:${number}` : behind ? `${behind.name}:0` : null;
    return { epoch, events, next: number, gap: loss, older: null, newer, matches: null };
  }
}

/** A browser's page with a stream, whose requests are answered one by one. */
class Client {
  items = [];
  online = false;
  #asked = [];

  constructor(model) {
    this.model = model;
    this.page = new FakePage();
    this.page.answer = () => {
      const { address } = this.page.requests.at(-1);
      const after = new URL(address, "http://gateway").searchParams.get("after");
      return new Promise((resolve) => this.#asked.push({ after, resolve }));
    };
    const keep = (item) => this.items.push(item);
    const since = { epoch: "e0", sequence_number: 0 };
    this.stream = this.page.stream({ backfill: true, since, onEvent: keep, onGap: keep });
  }

  async connect() {
    const sockets = this.page.sockets.length;
    if (this.online) this.page.lose(1011);
    while (this.online && this.page.sockets.length === sockets) this.page.advance(1);
    const { name, head } = this.model.current;
    this.page.connect({ epoch: name, sequence_number: head });
    this.page.say(...this.model.join(this.page.query));
    this.online = true;
    await settled();
  }

  /** Answer so many requests for pages. */
  async answer(count) {
    for (let i = 0; i < count && this.#asked.length > 0; i++) {
      const { after, resolve } = this.#asked.shift();
      const text = JSON.stringify(this.model.page(after));
      resolve({ ok: true, status: 200, text: () => Promise.resolve(text) });
      await settled();
    }
  }
}

const settled = async () => {
  for (let i = 0; i < 6; i++) await turn();
};

function check({ items, stream, model }) {
  const names = model.epochs.map(({ name }) => name);
  const heard = new Set();
  let [index, number, changed] = [0, 0, false];
  for (const item of items) {
    if (item.reason === "epoch_changed") {
      changed = true;
      continue;
    }
    const first = item.sequence_number ?? item.from_sequence_number;
    if (first !== number + 1) assert.deepEqual([changed, first], [true, 1]);
    number = item.sequence_number ?? item.to_sequence_number;
    changed = false;
    if (item.type === "gap") continue;
    assert.ok(names.indexOf(item.data.e) >= index, "epochs in order");
    index = names.indexOf(item.data.e);
    assert.ok(!heard.has(`${item.data.e}:${number}`), "each event once");
    heard.add(`${item.data.e}:${number}`);
  }
  const { name: epoch, head: sequence_number } = model.current;
  assert.deepEqual({ ...stream.position }, { epoch, sequence_number });
  for (const { name, head } of model.epochs)
    for (let n = 1; n <= head; n++)
      assert.ok(model.isGone(name, n) || heard.has(`${name}:${n}`), `${name}:${n} is missing`);
}

/** Do the steps, each of a kind and a count, then answer everything. */
async function run(steps) {
  const model = new Model();
  const client = new Client(model);
  await client.connect();
  for (const [what, count] of steps) {
    if (what === "publish") client.page.say(...model.publish(count));
    else if (what === "answer") await client.answer(count);
    else if (what === "prune") model.pruned = Math.min(model.pruned + count, model.epochs[0].head);
    else if (what === "lose") model.lost.add(`${model.current.name}:${model.current.head}`);
    else if (what === "missed") model.publish(count); // while nobody is connected
    else if (what === "crash") model.epochs.push({ name: `e${model.epochs.length}`, head: 0 });
    if (["missed", "crash", "cut"].includes(what)) await client.connect();
  }
  await client.answer(10_000);
  check(client);
  client.stream.close();
}

const KINDS = ["publish", "publish", "answer", "answer", "prune", "lose", "missed", "crash", "crash", "cut"];

test("whatever happens, each event comes once, in order, or in a gap", async () => {
  const draw = draws(SEED);
  const upTo = (most) => 1 + Math.floor(draw() * most);
  for (let i = 0; i < RUNS; i++) {
    const steps = Array.from({ length: upTo(24) }, () => [KINDS[upTo(KINDS.length) - 1], upTo(9)]);
    try {
      await run(steps);
    } catch (cause) {
      throw new Error(`SEED=${SEED}, steps ${JSON.stringify(steps)}: ${cause.message}`, { cause });
    }
  }
});
