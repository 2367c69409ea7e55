// A frame of the feed costs one layout: nothing is read from the page after something was written to it.
import assert from "node:assert/strict";
import test from "node:test";

import { said } from "./events.js";
import { install } from "./page.js";

const make = install();
const { Feed } = await import("../../app/static/feed.js");
const { NO_FILTER } = await import("../../app/static/filters.js");
const { Panel } = await import("../../app/static/panel.js");

/** A panel, and what it does to the page in order: "read" for a measure of the scroller, "write" for a change. */
function watched(newestFirst) {
  const log = [];
  const names = ["scroller", "canvas", "lead", "tail", "empty", "pauseButton", "waitingPlace", "waitingText", "followButton", "tally"];
  const elements = Object.fromEntries(names.map((name) => [name, make()]));
  const { scroller, canvas } = elements;
  for (const name of ["scrollTop", "clientHeight", "scrollHeight"]) {
    let value = scroller[name];
    const set = (to) => {
      log.push("write");
      value = to;
    };
    Object.defineProperty(scroller, name, { get: () => (log.push("read"), value), set });
  }
  canvas.style = new Proxy({}, { set: (style, name, value) => (log.push("write"), Reflect.set(style, name, value)) });
  const insertBefore = canvas.insertBefore.bind(canvas);
  canvas.insertBefore = (...nodes) => (log.push("write"), insertBefore(...nodes));
  const panel = new Panel(new Feed(), elements, { filter: NO_FILTER, newestFirst, onEntry() {}, onClear() {} });
  return { panel, log, canvas };
}

for (const newestFirst of [true, false]) {
  test(`a feed that follows reads before it writes, newest ${newestFirst ? "first" : "last"}`, () => {
    const { panel, log, canvas } = watched(newestFirst);
    for (let frame = 0; frame < 50; frame += 1) {
      log.length = 0;
      panel.take([said(`a${frame}`), said(`b${frame}`)]);
      assert.ok(log.includes("read") && log.lastIndexOf("read") < log.indexOf("write"), log.join(" "));
    }
    assert.ok(canvas.children.length < 30, "only the rows in sight are drawn");
    assert.match(canvas.textContent, /b49/);
  });
}
