/** Draws the data of `Overview` at the top of the page. */

import { clock, drawing, element, setText } from "./dom.js";
import { text } from "./fields.js";
import { MINUTE_MS, MINUTES } from "./overview.js";
import { count } from "./sentences.js";
import { ago, span } from "./times.js";
import { unisolated, visible } from "./visible.js";

const WIDTH = 300; // units of the drawing, scaled to the page
const HEIGHT = 56;
const GAP = 3;
const FEWEST_SLOTS = 5; // of the chart
const LONGEST_TITLE = 2000;

/**
 * Draw the chart of events a minute: one bar per minute, divided by namespace. It begins where there is data. `sight` is
 * the time that the feed shows, where that is not the newest: its minute is marked.
 */
export function drawChart(chart, caption, overview, now, sight = null) {
  const minutes = overview.minutes(now);
  const order = [...overview.totals.keys()].sort();
  const most = Math.max(...minutes.map(({ total }) => total), 1);
  const width = (WIDTH + GAP) / slotsOf(minutes);
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const bars = minutes.map(({ start, total, counts }, i) => {
    const at = clock(start).slice(0, 5);
    const bar = drawing("g", {}, drawing("title", {}, `${at}: ${described(total, counts)}. Click to go there`));
    const column = { x: i * width, width: width - GAP };
    bar.append(drawing("rect", { ...column, y: 0, height: HEIGHT, class: "minute" }));
    if (sight !== null && sight >= start && sight < start + MINUTE_MS) bar.append(drawing("rect", { ...column, y: 0, height: HEIGHT, class: "sight" }));
    let y = HEIGHT;
    for (const namespace of order) {
      const number = counts.get(namespace);
      if (!number) continue;
      const height = Math.max((number / most) * (HEIGHT - 2), 1);
      y = Math.max(y - height, 0);
      bar.append(drawing("rect", { ...column, y, height, class: "bar", "data-ns": namespace }));
    }
    return bar;
  });
  chart.replaceChildren(...bars);
  const sum = minutes.reduce((all, { total }) => all + total, 0);
  const span = minutes.length === MINUTES ? "in 15 minutes" : `since ${clock(minutes[0].start).slice(0, 5)}`;
  setText(caption, `${minutes.at(-1).total.toLocaleString("en")} this minute, ${sum.toLocaleString("en")} ${span}`);
  chart.setAttribute("aria-label", `Events a minute over the last ${count(minutes.length, "minute")}: ${minutes.map(({ total }) => total).join(", ")}`);
}

/** The minute under a place of the chart, from 0 at its left to 1 at its right: its start in milliseconds, or undefined. */
export function minuteAt(place, overview, now) {
  const minutes = overview.minutes(now);
  return minutes[Math.floor(place * slotsOf(minutes))]?.start;
}

/** The bars that fit into the chart: a new one has room to grow. */
const slotsOf = (minutes) => Math.max(minutes.length, FEWEST_SLOTS);

function described(total, counts) {
  const parts = [...counts].map(([namespace, number]) => `${namespace} ${number}`);
  return `${count(total, "event")}${parts.length ? ` (${parts.join(", ")})` : ""}`;
}

/** Draw the newest commit. */
export function drawCommit(place, commit, now) {
  if (!commit) {
    place.replaceChildren(element("p", { class: "none" }, "None seen yet"));
    return;
  }
  const { commit_hash: hash, message, author } = commit.data;
  const whole = typeof message === "string" ? message : text(message);
  const [subject] = whole.split("\n", 1);
  place.replaceChildren(
    element("p", { class: "subject", title: visible(whole.slice(0, LONGEST_TITLE)) }, unisolated(text(subject))),
    element(
      "p",
      { class: "by" },
      element("code", {}, unisolated(text(hash)).slice(0, 7)),
      " ",
      element("bdi", {}, unisolated(text(author, 60))),
      `, ${ago(Date.parse(commit.timestamp), now) || "at an unknown time"}`,
    ),
  );
}

const SHOWN_WORKFLOWS = 3;
const QUIET_MS = 30_000;

/** Draw the running workflows, the last active one first, and the failed ones. */
export function drawWorkflows(place, title, workflows, now) {
  const all = [...workflows.values()].reverse();
  const failed = all.filter((workflow) => workflow.failed);
  const running = all.filter((workflow) => !workflow.failed);
  const counts = [running.length && `${running.length} running`, failed.length && `${failed.length} failed`];
  setText(title, all.length ? `Workflows (${counts.filter(Boolean).join(", ")})` : "Workflows");
  if (!all.length) {
    place.replaceChildren(element("p", { class: "none" }, "None running"));
    return;
  }
  // A failure is always among the first three.
  const first = running.slice(0, failed.length ? SHOWN_WORKFLOWS - 1 : SHOWN_WORKFLOWS);
  const shown = [...first, ...failed].slice(0, SHOWN_WORKFLOWS);
  place.replaceChildren(...shown.map((workflow) => workflowRow(workflow, now)));
}

function workflowRow({ id, name, step, steps, stepName, uncertain, failed, error, time }, now) {
  const label = name || id;
  const said = progressOf({ step, steps, failed, time }, now);
  const bar = element("progress", { max: Math.max(steps, 1), value: Math.max(step, 0), "aria-label": `${label}: ${said}` });
  const doubt = "Events were lost since it last moved: it may have finished";
  return element(
    "div",
    {
      class: `workflow${uncertain ? " uncertain" : ""}${failed ? " failed" : ""}`,
      title: uncertain ? doubt : failed ? error : stepName,
      "data-testid": "workflow",
    },
    element("span", { class: "name" }, label),
    bar,
    element("span", { class: "step" }, uncertain ? `${said}?` : said),
  );
}

/** `4 of 6`, `4 of 6, quiet for 40 s`, `failed 5 min ago`. */
export function progressOf({ step, steps, failed, time }, now) {
  if (failed) return `failed ${ago(time, now)}`;
  const progress = steps ? `${step} of ${steps}` : "started";
  return now - time < QUIET_MS ? progress : `${progress}, quiet for ${span(now - time)}`;
}
