// The reducer of the console says what the one of the Python client says, whatever arrives.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Sessions } from "../../app/static/agents/reducer.js";
import { ORDER, standings } from "../../app/static/agents/standing.js";
import { randomJson, seeded } from "./random.js";

const VECTORS = JSON.parse(readFileSync(new URL("../session_vectors.json", import.meta.url), "utf8"));
const RECORDED = VECTORS.filter(({ name }) => !name.includes(","));
const SEED = Number(process.env.SEED ?? 1);
const NOW = VECTORS[0].now + 60;

/** The sessions after these steps; a step without a type is a loss. */
function reduced(steps, now = NOW) {
  const sessions = new Sessions();
  for (const step of steps) {
    if (step.type) sessions.apply(step);
    else sessions.lost(step.epoch_changed);
  }
  return standings(sessions.byId.values(), now);
}

const callsOf = (views) =>
  new Map(views.flatMap((view) => view.agents.flatMap(({ calls }) => calls.map((call) => [`${view.session_id} ${call.tool_use_id}`, call.state]))));

for (const { name, steps, now, sessions } of VECTORS) {
  test(`the sessions are those of the vector: ${name}`, () => assert.deepEqual(reduced(steps, now), sessions));
}

const TYPES = [
  ...["session_started", "turn_started", "turn_finished", "tool_called", "tool_finished", "batch_finished"],
  ...["attention_needed", "error", "message", "session_finished", "reported", "usage_reported", "dreamt"],
];
const FIELDS = {
  session_id: ["a", "b", ""],
  agent_id: ["a", "b", ""],
  parent_id: ["a", "b"],
  tool_use_id: ["t", "u", "v"],
  tool_name: ["A", "B"],
  child_id: ["a", "b"],
  spawns_agent: [true, false],
  summary: ["x", "y"],
  outcome: ["ok", "failed", "denied", "interrupted", "odd"],
  success: [true, false],
  reason: ["resume", "startup", "permission", "idle", "plan"],
  calls: [[{ tool_use_id: "t", refused: true }], [{ tool_use_id: "u", result: "r" }, null], []],
  background: [[{ id: "a" }], [null, { id: "b" }]],
  request_id: ["a", "b"],
  input_tokens: [0, 5],
  duration_ms: [0, 9],
};

/** Random steps: events of agents with odd fields, and losses. */
function stream(random) {
  return Array.from({ length: 25 }, (_, i) => {
    if (random(12) === 0) return { epoch_changed: random(3) === 0 };
    const data = {};
    for (const [field, values] of Object.entries(FIELDS)) {
      if (random(3) === 0) continue;
      data[field] = random(6) === 0 ? randomJson(random, 3) : values[random(values.length)];
    }
    const timestamp = new Date((NOW - 60 + i) * 1000).toISOString();
    return { type: `agent.${TYPES[random(TYPES.length)]}`, timestamp, sequence_number: i + 1, data, metadata: {} };
  });
}

test("any stream can be read, and every state is one of the known", () => {
  const random = seeded(SEED);
  for (let run = 0; run < 400; run += 1) {
    for (const view of reduced(stream(random), NOW + 5000)) {
      const states = [view.state, ...view.agents.map(({ state }) => state)];
      assert.deepEqual(states.filter((state) => !ORDER.includes(state)), []);
      const calls = view.agents.flatMap(({ calls: some }) => some);
      assert.ok(calls.every(({ why }) => why));
      assert.ok(calls.every(({ state }) => ["running", "ok", "failed", "denied", "interrupted", "unknown"].includes(state)));
      if (view.ended !== null) assert.ok(calls.every(({ state }) => state !== "running"));
    }
  }
});

test("events that come again change nothing", () => {
  const random = seeded(SEED);
  for (let run = 0; run < 200; run += 1) {
    const steps = stream(random).filter((step) => !step.epoch_changed);
    const again = steps.flatMap((step, i) => [step, ...steps.slice(Math.max(0, i - random(4)), i + 1).filter(({ type }) => type)]);
    assert.deepEqual(reduced(again), reduced(steps));
  }
});

test("fields that nobody knows change nothing", () => {
  const random = seeded(SEED);
  for (const { steps } of RECORDED) {
    const more = { x_new: randomJson(random), x_other: randomJson(random) };
    const grown = steps.map((step) => ({ ...step, data: { ...more, ...step.data }, metadata: { ...step.metadata, x_new: 1 } }));
    assert.deepEqual(reduced(grown), reduced(steps));
  }
});

test("the two reports of a call may come in either order", () => {
  for (const { name, steps } of RECORDED) {
    const swapped = [...steps];
    for (let i = 0; i + 1 < swapped.length; i += 1) {
      const [first, second] = [swapped[i], swapped[i + 1]];
      const id = first.data.tool_use_id;
      if (!id || id !== second.data.tool_use_id) continue;
      swapped[i] = { ...second, sequence_number: first.sequence_number };
      swapped[i + 1] = { ...first, sequence_number: second.sequence_number };
      i += 1;
    }
    assert.deepEqual(callsOf(reduced(swapped)), callsOf(reduced(steps)), name);
  }
});

test("a loss makes no call end otherwise than it did, or unknown", () => {
  const random = seeded(SEED);
  for (const { name, steps } of RECORDED) {
    const full = callsOf(reduced(steps));
    for (let run = 0; run < 20; run += 1) {
      const from = random(steps.length + 1);
      const to = from + random(steps.length + 1 - from);
      const lossy = [...steps.slice(0, from), { epoch_changed: false }, ...steps.slice(to)];
      for (const [call, state] of callsOf(reduced(lossy))) {
        assert.ok([full.get(call), "unknown", "running"].includes(state), `${name}: ${call} is ${state}`);
      }
    }
  }
});

test("a restart of the gateway leaves the sessions, and numbers begin again", () => {
  const [first, second] = RECORDED;
  const steps = [...first.steps, { epoch_changed: true }, ...second.steps];
  assert.equal(reduced(steps).length, 2);
});
