/** The data at the top of the page: events a minute by namespace, the last commit, the workflows. */

import { keyOf, numberOf, text } from "./fields.js";
import { unisolated } from "./visible.js";

export const MINUTE_MS = 60_000;
export const MINUTES = 15;
const MOST_WORKFLOWS = 50;
const MOVES = new Set(["workflow.started", "workflow.step_completed", "workflow.finished", "workflow.failed"]);

export class Overview {
  constructor(now) {
    this.since = now; // the chart begins here: the page knows nothing of earlier minutes
    this.commit = null; // the newest git.commit_created
    this.workflows = new Map(); // running and failed ones by id, the last active one at the end
    this.totals = new Map(); // events of the last 15 minutes by namespace, in order of appearance
    this._minutes = new Map(); // by minute: a Map of namespace to count
    this._newest = 0;
  }

  /** Add an event or a gap. A timestamp far ahead of `now` counts as now. */
  observe(item, now = Date.now()) {
    if (item.type === "gap") {
      // A workflow may have finished in the gap: mark it as uncertain.
      for (const workflow of this.workflows.values()) workflow.uncertain = !workflow.failed;
      return;
    }
    const said = Date.parse(item.timestamp);
    const time = said <= now + MINUTES * MINUTE_MS ? said : now;
    this.since = Math.min(this.since, time);
    this._count(item.type.slice(0, item.type.indexOf(".")), Math.floor(time / MINUTE_MS));
    if (item.type === "git.commit_created") this.commit = item;
    if (MOVES.has(item.type)) this._follow(item, time);
  }

  /**
   * The last 15 minutes, oldest first, without those before the first event that the page knows:
   * `{start, total, counts}`, `counts` a Map by namespace. The newest event may extend the span, because the
   * gateway's clock may be ahead.
   */
  minutes(now) {
    const last = Math.max(Math.floor(now / MINUTE_MS), this._newest);
    this._forget(last);
    const first = Math.min(last, Math.max(last - MINUTES + 1, Math.floor(this.since / MINUTE_MS)));
    return Array.from({ length: last - first + 1 }, (_, i) => {
      const minute = first + i;
      const counts = this._minutes.get(minute) ?? new Map();
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      return { start: minute * MINUTE_MS, total, counts };
    });
  }

  _count(namespace, minute) {
    if (minute > this._newest) {
      this._newest = minute;
      this._forget(minute);
    }
    if (minute <= this._newest - MINUTES) return;
    const counts = this._minutes.get(minute) ?? new Map();
    counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    this._minutes.set(minute, counts);
    this.totals.set(namespace, (this.totals.get(namespace) ?? 0) + 1);
  }

  _forget(last) {
    for (const [minute, counts] of this._minutes) {
      if (minute > last - MINUTES) continue;
      this._minutes.delete(minute);
      for (const [namespace, count] of counts) {
        this.totals.set(namespace, this.totals.get(namespace) - count);
      }
    }
  }

  _follow({ type, data }, time) {
    const id = keyOf(data.workflow_id);
    const known = this.workflows.get(id);
    this.workflows.delete(id);
    if (type === "workflow.finished") return;
    const said = (field) => unisolated(text(field));
    const begins = type === "workflow.started" && known?.failed;
    const workflow = (!begins && known) || { id: said(data.workflow_id) || text(id), name: "", step: 0, steps: 0, stepName: "" };
    workflow.name = said(data.workflow_name) || workflow.name;
    if (type === "workflow.step_completed") {
      workflow.step = numberOf(data.step_index);
      workflow.steps = numberOf(data.total_steps);
      workflow.stepName = said(data.step_name);
    }
    workflow.failed = type === "workflow.failed";
    workflow.error = workflow.failed ? said(data.error) : "";
    workflow.time = time; // of its last event
    workflow.uncertain = false;
    this.workflows.set(id, workflow);
    if (this.workflows.size > MOST_WORKFLOWS) this.workflows.delete(this.workflows.keys().next().value);
  }
}
