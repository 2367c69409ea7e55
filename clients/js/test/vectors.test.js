// The client's decisions, held to the vectors that hold the gateway too.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Protocol, isPattern } from "../sightline.js";

const vectors = JSON.parse(
  readFileSync(new URL("../../../tests/wire_vectors.json", import.meta.url), "utf8"),
);
const unanswered = { resolve() {}, reject() {}, abandon() {} };

/** A message that cannot be read is an error and a gap at once. */
function outcomesOf({ event, gap, error, answer }) {
  const outcomes = Object.entries({ event, gap, error, answer }).filter(([, value]) => value);
  return outcomes.length ? outcomes.map(([name]) => name) : ["nothing"];
}

for (const { name, steps } of vectors.scenarios) {
  test(`scenario: ${name}`, () => {
    const protocol = new Protocol("page-1");
    for (const step of steps) {
      if ("connect" in step) {
        const { last_sequence_number, epoch } = protocol.open();
        const sent = epoch && { epoch, sequence_number: Number(last_sequence_number) };
        assert.deepEqual(sent ?? null, step.connect);
      } else if ("closed" in step) {
        assert.equal(protocol.closed(step.closed).reconnect, "backoff");
      } else {
        const outcome = protocol.receive(step.receive);
        protocol.processed();
        const outcomes = outcomesOf(outcome);
        if (step.malformed) assert.deepEqual(outcomes, ["gap", "error"], step.receive);
        else assert.deepEqual(outcomes, [step.outcome], step.receive);
        assert.deepEqual(protocol.position && { ...protocol.position }, step.position);
        const received = outcome.event ?? outcome.gap;
        if (received && !step.malformed) assert.deepEqual(received, JSON.parse(step.receive));
      }
    }
  });
}

test("a pattern is valid where the gateway says so", () => {
  for (const pattern of vectors.patterns.valid) assert.ok(isPattern(pattern), pattern);
  for (const pattern of vectors.patterns.invalid) assert.ok(!isPattern(pattern), pattern);
});

test("a filter holds as many patterns as the gateway's", () => {
  const full = Array.from({ length: vectors.patterns.max_in_one_filter }, (_, i) => `n.t${i}`);
  new Protocol("page-1", full);
  assert.throws(() => new Protocol("page-1", [...full, "n.more"]), { code: "invalid_pattern" });
});

test("an upgrade carries client id, filter and position", () => {
  for (const { client_id, types, position, parameters } of vectors.upgrades) {
    const protocol = new Protocol(client_id, types ?? undefined);
    protocol.position = position;
    assert.deepEqual(protocol.open(), parameters);
  }
});

test("a change of the filter is sent as the gateway reads it", () => {
  const { filter } = new Protocol("page-1");
  for (const { verb, types, wire } of vectors.client_messages) {
    if (verb !== "ping") assert.equal(JSON.stringify(filter.change(verb, types, unanswered)), wire);
  }
});

test("the close code decides whether to come back", () => {
  const protocol = new Protocol("page-1");
  protocol.receive(vectors.scenarios[0].steps[1].receive);
  for (const { code, reconnect } of vectors.close_codes) {
    assert.equal(protocol.closed(code).reconnect, reconnect, String(code));
  }
});

test("so does the status of a refusal", () => {
  for (const { status, reconnect } of vectors.refusals) {
    assert.equal(new Protocol("page-1").refused(status, null).reconnect, reconnect, String(status));
  }
});

test("pauses grow with full jitter from 0.5 to 30 s", () => {
  for (const { attempt, random, delay_s } of vectors.backoff) {
    const protocol = new Protocol("page-1");
    for (let failure = 0; failure < attempt; failure++) protocol.backoffS(0.5);
    assert.equal(protocol.backoffS(random), delay_s);
  }
});
