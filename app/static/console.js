/**
 * The console's wiring: start reading here.
 *
 * The path of an event: `EventStream` delivers the events of one animation frame; `Backfill` puts what was
 * missed before them; `Overview` counts them; `Feed` stores them; `View` filters them and folds them into rows;
 * `VirtualList` draws the visible rows. `Scrollback` shows a window over all that is kept instead.
 */

import { EventStream } from "../client/sightline.js";
import { Agents } from "./agents/page.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { fileName, toCsv, toJson } from "./export.js";
import { Feed } from "./feed.js";
import { drawChart, drawCommit, drawWorkflows, minuteAt } from "./glance.js";
import { Away } from "./history/away.js";
import { Axis } from "./history/axis.js";
import { Backfill } from "./history/backfill.js";
import { Scrollback } from "./history/scrollback.js";
import { parse } from "./json.js";
import { listenToKeys } from "./keys.js";
import { chipNumbers } from "./notes.js";
import { Notices } from "./notices.js";
import { Overview } from "./overview.js";
import { Panel } from "./panel.js";
import { Problems } from "./problems.js";
import { count } from "./sentences.js";

const byId = (id) => document.getElementById(id);
const announce = (said) => (byId("announcer").textContent = said);

const problems = new Problems((number) => {
  byId("problems").hidden = false;
  byId("problems").textContent = `${count(number, "problem")} while showing events`;
});
const notices = new Notices(byId("notices"), byId("announcer"));
const overview = new Overview(Date.now());
const agents = new Agents(problems, () => stream.position, () => panel.rename());
const controls = new Controls(
  {
    text: byId("text"),
    who: byId("who"),
    type: byId("type"),
    namespaces: byId("namespaces"),
    clearButton: byId("clear"),
    order: byId("order"),
    times: byId("times"),
    failedButton: byId("failed"),
  },
  { onFilter: setFilter, onOrder: (newestFirst) => panel.setOrder(newestFirst), onTimes: (relative) => panel.setRelative(relative) },
);
const panel = new Panel(
  new Feed({ problems }),
  {
    scroller: byId("scroller"),
    canvas: byId("feed"),
    lead: byId("lead"),
    tail: byId("tail"),
    empty: byId("empty"),
    pauseButton: byId("pause"),
    waitingPlace: byId("waiting"),
    waitingText: byId("waiting-text"),
    followButton: byId("follow"),
    tally: byId("tally"),
  },
  {
    filter: controls.filter,
    newestFirst: controls.newestFirst,
    relative: controls.relative,
    onEntry: (entry) => controls.learn(entry),
    onClear: () => controls.clear(),
    tagOf: (entry) => agents.tagOf(entry),
    problems,
  },
);

const connection = new Connection(
  {
    pill: byId("state"),
    text: byId("state-text"),
    button: byId("reconnect"),
    announcer: byId("announcer"),
    logOutButton: byId("log-out"),
  },
  () => stream.reconnect(),
);

let opened = false;

const backfill = new Backfill({ position: () => stream.position, show, onBroken: () => panel.restart(), problems });
const scrollback = new Scrollback(panel, { backfill, hitsPlace: byId("hits"), announce, problems });

const away = new Away(byId("away"), {
  panel,
  backfill,
  scrollback,
  position: () => stream.position,
  problems,
  announce,
});
const sight = () => (panel.paused ? panel.timeInSight() : null); // the time that the feed shows, null for the newest
const axis = new Axis(
  { place: byId("axis"), slider: byId("axis-slider"), ticks: byId("axis-ticks"), label: byId("axis-label") },
  { jump: (time) => scrollback.jump(time), follow: () => panel.resume(), sight },
);

const stream = new EventStream({
  url: "ws",
  batch: true,
  parse, // JSON.parse would round large numbers
  onEvents: take,
  onState: showState,
  onNotice: (notice) => notices.show(notice),
});

function take(items) {
  agents.take(items);
  backfill.take(items);
}

function show(items) {
  for (const item of items) problems.guard("counting an event", () => overview.observe(item));
  panel.take(items);
}

function showState(state) {
  if (state.name === "connecting") notices.clear(); // the gateway sends notices that still apply again
  connection.show(state);
  if (state.name !== "live" || opened) return;
  opened = true;
  queueMicrotask(begin); // the stream knows its position once this handler has returned
}

async function begin() {
  panel.quietS = stream.limits?.replay_window_s ?? panel.quietS;
  await backfill.begin();
  scrollback.start();
  away.start();
  byId("feed").setAttribute("aria-busy", "false");
  await agents.begin();
}

function setFilter(filter) {
  panel.setFilter(filter);
  scrollback.filterChanged();
}

function glance() {
  const now = Date.now();
  const at = sight();
  const parts = [
    () => drawChart(byId("chart"), byId("pace"), overview, now, at),
    () => (byId("glance").dataset.then = at !== null && at < overview.minutes(now)[0].start),
    () => drawCommit(byId("commit"), overview.commit, now),
    () => drawWorkflows(byId("workflows"), byId("workflows-title"), overview.workflows, now),
    () => controls.count(chipNumbers(panel)),
    () => panel.tick(),
    () => scrollback.tick(),
    () => away.tick(),
    () => axis.draw(backfill.kept?.since, now),
    () => connection.tick(),
    () => agents.tick(),
  ];
  for (const part of parts) problems.guard("drawing the head of the page", part);
}

function save(extension, type, write) {
  const url = URL.createObjectURL(new Blob([write(panel.view.entries().filter(({ kind }) => kind !== "left"), problems)], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName(extension, new Date());
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download has begun by then
}

byId("chart").addEventListener("click", ({ clientX }) => {
  const { left, width } = byId("chart").getBoundingClientRect();
  const start = minuteAt((clientX - left) / width, overview, Date.now());
  if (start !== undefined) scrollback.jump(start);
});
byId("save-json").addEventListener("click", () => save("json", "application/json", toJson));
byId("save-csv").addEventListener("click", () => save("csv", "text/csv", toCsv));
byId("help-button").addEventListener("click", () => byId("help").showModal());

const reading = () => (agents.hasKeys ? agents : panel); // whose rows the keys move through

listenToKeys({
  move: (by) => reading().move(by),
  page: (direction) => (agents.session.isOpen ? agents.session : panel).page(direction),
  toggle: () => (agents.session.isOpen ? agents.session : panel).toggle(),
  agents: () => agents.focus(),
  error: (direction) => (agents.session.isOpen ? agents.session.toError(direction) : scrollback.failure(direction)),
  fold: (folded) => agents.session.isOpen && agents.session.setFold(undefined, folded),
  pause: () => panel.togglePause(),
  clear: () => controls.clear(),
  help: () => byId("help").showModal(),
  search: () => byId("text").select(),
  escape: (target) => {
    if (target.closest("input, select")) target.blur();
    else reading().escape();
  },
});

glance();
setInterval(glance, 1000);
