import assert from "node:assert/strict";
import test from "node:test";

import { progressOf } from "../../app/static/glance.js";
import { Overview } from "../../app/static/overview.js";
import { commit, event, gap, said } from "./events.js";

const NOON = Date.UTC(2026, 10, 24, 12);
const totals = (overview, now) => overview.minutes(now).map(({ total }) => total);

test("events are counted by minute and namespace over the last quarter hour", () => {
  const overview = new Overview(NOON);
  for (const at of [0, 10, 65]) overview.observe(said("x", { at }));
  overview.observe(commit(70));
  const minutes = overview.minutes(NOON + 2 * 60_000);
  assert.deepEqual(minutes.map(({ total }) => total), [2, 2, 0]);
  assert.deepEqual([...minutes[1].counts], [["chat", 1], ["git", 1]]);
  assert.deepEqual([...overview.totals], [["chat", 3], ["git", 1]]);
  assert.equal(overview.minutes(NOON + 60 * 60_000).length, 15);
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

test("the chart begins where there is data", () => {
  const overview = new Overview(NOON + 30_000);
  const starts = () => overview.minutes(NOON + 60_000).map(({ start }) => (start - NOON) / 60_000);
  assert.deepEqual(starts(), [0, 1]);
  overview.observe(said("retained", { at: -120 }));
  assert.deepEqual(starts(), [-2, -1, 0, 1]);
  overview.observe(said("long ago", { at: -7200 }));
  assert.equal(starts().length, 15);
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
  overview.observe(event("workflow.finished", { workflow_id: "v", status: "success", duration_ms: 1 }));
  overview.observe(event("workflow.of_an_extra_namespace", {}));
  assert.equal(overview.workflows.size, 0);
});

test("a failed workflow is kept with its error until it starts again", () => {
  const overview = new Overview(NOON);
  const begin = () => overview.observe(event("workflow.started", { workflow_id: "w", workflow_name: "Nightly" }));
  begin();
  overview.observe(event("workflow.step_completed", { workflow_id: "w", step_name: "s", step_index: 4, total_steps: 6 }));
  overview.observe(event("workflow.failed", { workflow_id: "w", error: "no space" }, { at: 60 }));
  overview.observe(gap());
  const [failed] = overview.workflows.values();
  assert.deepEqual([failed.failed, failed.error, failed.name, failed.step, failed.uncertain], [true, "no space", "Nightly", 4, false]);
  assert.equal(progressOf(failed, failed.time + 5 * 60_000), "failed 5 min ago");
  begin();
  const [again] = overview.workflows.values();
  assert.deepEqual([again.failed, again.error, again.step], [false, "", 0]);
});

test("a workflow that is quiet says for how long", () => {
  const workflow = { step: 4, steps: 6, failed: false, time: NOON };
  assert.equal(progressOf(workflow, NOON + 29_000), "4 of 6");
  assert.equal(progressOf(workflow, NOON + 40_000), "4 of 6, quiet for 40 s");
  assert.equal(progressOf({ ...workflow, steps: 0 }, NOON + 120_000), "started, quiet for 2 min");
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
