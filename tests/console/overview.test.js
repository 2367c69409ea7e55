import assert from "node:assert/strict";
import test from "node:test";

import { Overview } from "../../app/static/overview.js";
import { commit, event, gap, said } from "./events.js";

const NOON = Date.UTC(2026, 10, 24, 12);
const totals = (overview, now) => overview.minutes(now).map(({ total }) => total);

test("events are counted by minute and namespace over the last quarter hour", () => {
  const overview = new Overview(NOON);
  for (const at of [0, 10, 65]) overview.observe(said("x", { at }));
  overview.observe(commit(70));
  const minutes = overview.minutes(NOON + 2 * 60_000);
  assert.deepEqual(minutes.map(({ total }) => total), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0]);
  assert.deepEqual([...minutes[13].counts], [["chat", 1], ["git", 1]]);
  assert.deepEqual([...overview.totals], [["chat", 3], ["git", 1]]);
});

test("what is older than the quarter hour is forgotten", () => {
  const overview = new Overview(NOON);
  overview.observe(said("x", { at: 0 }));
  assert.equal(totals(overview, NOON + 14 * 60_000)[0], 1);
  assert.ok(totals(overview, NOON + 15 * 60_000).every((total) => total === 0));
  assert.equal(overview.totals.get("chat"), 0);
  overview.observe(said("late", { at: 0 }));
  assert.ok(totals(overview, NOON + 20 * 60_000).every((total) => total === 0));
});

test("minutes before the page opened were not seen", () => {
  const overview = new Overview(NOON + 30_000);
  assert.deepEqual(overview.minutes(NOON + 60_000).map(({ seen }) => seen).slice(-3), [false, true, true]);
  overview.observe(said("retained", { at: -60 }));
  assert.deepEqual(overview.minutes(NOON + 60_000).map(({ seen }) => seen).slice(-3), [true, true, true]);
});

test("a gateway whose clock is ahead still has its events counted", () => {
  const overview = new Overview(NOON);
  overview.observe(said("x", { at: 300 }));
  assert.equal(totals(overview, NOON).at(-1), 1);
});

test("the newest commit is remembered", () => {
  const overview = new Overview(NOON);
  const [, last] = [commit(0), commit(1)].map((item) => (overview.observe(item), item));
  assert.equal(overview.commit, last);
});

test("workflows run from their start or first step to their end", () => {
  const overview = new Overview(NOON);
  const step = { workflow_id: "w", step_name: "Draft", step_index: 2, total_steps: 5 };
  overview.observe(event("workflow.started", { workflow_id: "w", workflow_name: "Create PRD" }));
  overview.observe(event("workflow.started", { workflow_id: "v", workflow_name: "Nightly" }));
  overview.observe(event("workflow.step_completed", step));
  const [other, moved] = [...overview.workflows.values()];
  assert.equal(other.name, "Nightly");
  assert.deepEqual([moved.name, moved.step, moved.steps, moved.uncertain], ["Create PRD", 2, 5, false]);
  overview.observe(event("workflow.finished", { workflow_id: "w", status: "success", duration_ms: 1 }));
  overview.observe(event("workflow.failed", { workflow_id: "v", error: "x" }));
  overview.observe(event("workflow.of_an_extra_namespace", {}));
  assert.equal(overview.workflows.size, 0);
});

test("after a gap a workflow may have ended unseen, until it moves again", () => {
  const overview = new Overview(NOON);
  overview.observe(event("workflow.started", { workflow_id: "w", workflow_name: "Create PRD" }));
  overview.observe(gap());
  assert.ok(overview.workflows.get("w").uncertain);
  overview.observe(event("workflow.step_completed", { workflow_id: "w", step_name: "s", step_index: 1, total_steps: 2 }));
  assert.ok(!overview.workflows.get("w").uncertain);
});

test("workflows that never end are bounded", () => {
  const overview = new Overview(NOON);
  for (let i = 0; i < 200; i += 1) overview.observe(event("workflow.started", { workflow_id: `w${i}`, workflow_name: "x" }));
  assert.equal(overview.workflows.size, 50);
  assert.ok(overview.workflows.has("w199"));
});
