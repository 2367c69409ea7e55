/** Draws the data of `Overview` at the top of the page. */

import { clock, drawing, element, setText } from "./dom.js";
import { text } from "./fields.js";
import { count } from "./sentences.js";
import { unisolated, visible } from "./visible.js";

const WIDTH = 300; // units of the drawing, scaled to the page
const HEIGHT = 56;
const GAP = 3;
const LONGEST_TITLE = 2000;

/** Draw the chart of events a minute: one bar per minute, divided by namespace. */
export function drawChart(chart, caption, overview, now) {
  const minutes = overview.minutes(now);
  const order = [...overview.totals.keys()].sort();
  const most = Math.max(...minutes.map(({ total }) => total), 1);
  const width = (WIDTH + GAP) / minutes.length;
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  const bars = minutes.map(({ start, seen, total, counts }, i) => {
    const at = clock(start).slice(0, 5);
    const bar = drawing("g", {}, drawing("title", {}, seen ? `${at}: ${described(total, counts)}` : `${at}: not seen`));
    const column = { x: i * width, width: width - GAP };
    bar.append(drawing("rect", { ...column, y: 0, height: HEIGHT, class: seen ? "minute" : "minute unseen" }));
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
  const span = minutes[0].seen ? "in 15 minutes" : `since ${clock(overview.since).slice(0, 5)}`;
  setText(caption, `${minutes.at(-1).total.toLocaleString("en")} this minute, ${sum.toLocaleString("en")} ${span}`);
  chart.setAttribute("aria-label", `Events a minute over the last 15 minutes: ${minutes.map(({ total }) => total).join(", ")}`);
}

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
      `, ${ago(now - Date.parse(commit.timestamp))}`,
    ),
  );
}

const SHOWN_WORKFLOWS = 3;

/** Draw the running workflows, the last active one first. */
export function drawWorkflows(place, title, workflows) {
  const running = [...workflows.values()].reverse();
  setText(title, running.length ? `Running workflows (${running.length})` : "Running workflows");
  if (!running.length) {
    place.replaceChildren(element("p", { class: "none" }, "None"));
    return;
  }
  const items = running.slice(0, SHOWN_WORKFLOWS).map(({ id, name, step, steps, stepName, uncertain }) => {
    const label = name || id;
    const progress = steps ? `${step} of ${steps}` : "started";
    const bar = element("progress", { max: Math.max(steps, 1), value: Math.max(step, 0), "aria-label": `${label}: ${progress}` });
    const doubt = "Events were lost since it last moved: it may have ended";
    return element(
      "div",
      { class: uncertain ? "workflow uncertain" : "workflow", title: uncertain ? doubt : stepName, "data-testid": "workflow" },
      element("span", { class: "name" }, label),
      bar,
      element("span", { class: "step" }, uncertain ? `${progress}?` : progress),
    );
  });
  if (running.length > SHOWN_WORKFLOWS) {
    items.push(element("p", { class: "none" }, `and ${running.length - SHOWN_WORKFLOWS} more`));
  }
  place.replaceChildren(...items);
}

function ago(ms) {
  if (!Number.isFinite(ms)) return "at an unknown time";
  const minutes = Math.round(ms / 60_000);
  if (ms < 10_000) return "just now";
  if (minutes < 1) return "less than a minute ago";
  return minutes < 60 ? `${minutes} min ago` : `${Math.floor(minutes / 60)} h ${minutes % 60} min ago`;
}
