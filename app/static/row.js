/** The elements of one row of the feed: its line and, when open, all its events. */

import { callParts, callsOf, callsParts, callsSentence, failedIn } from "./agents/calls.js";
import { callsDetail, eventDetail, json as toggled } from "./agents/detail.js";
import { clock, element, marked, setText } from "./dom.js";
import { cut, text as textOf } from "./fields.js";
import { hiddenPlace, needlesOf } from "./filters.js";
import { stringify } from "./json.js";
import { burstOf } from "./sentences.js";
import { ago, DAY_MS, moment } from "./times.js";
import { unisolated, visible } from "./visible.js";

const MOST_LISTED = 200; // of a folded row's events; the export has them all
const LONGEST_TAIL = 140; // characters of a message that is still being written
const LONGEST_COLOURED = 20_000; // characters of JSON
const UNTIMED = new Set(["gap", "broken", "left"]); // kinds of rows
const LONGEST_SHOWN = 500_000; // of JSON; copies and exports are complete

/** The text of a row: `{who, what}`. */
export function sentenceOf(row) {
  const { entry, entries, kind } = row;
  if (kind === "burst" && entries.length > 1) {
    return { who: entry.who, what: burstOf(entries.map(({ event }) => event)) };
  }
  if (kind === "message") {
    const { text, done, silent } = entry.message;
    const line = visible(cut(text, 2000).replace(/\s+/g, " ").trim());
    if (done) return { who: entry.who, what: `answered: “${line}”` };
    if (silent) return { who: entry.who, what: `wrote, without an end: “${line}` };
    const tail = text.slice(-LONGEST_TAIL * 2).replace(/\s+/g, " ").trimStart();
    const end = tail.slice(-LONGEST_TAIL).replace(/^[\udc00-\udfff]/, "");
    return { who: entry.who, what: `is writing: “${tail.length > LONGEST_TAIL ? "…" : ""}${visible(end)}` };
  }
  if (kind === "calls") return { who: entry.who, what: callsSentence(row) };
  return { who: entry.who ?? "", what: entry.what };
}

/** The kind of sub-agent that an event of an agent is about, or "". */
export function subAgentOf({ namespace, event }) {
  return namespace === "agent" ? textOf(event.data.agent_type, 60) : "";
}

/** An empty row; `refreshRow` fills it. */
export function makeRow(row) {
  return element("article", {
    class: "row",
    "data-testid": "row",
    "data-key": row.key,
    "data-kind": row.kind,
    tabindex: "-1",
  });
}

/** Update a row's element. */
export function refreshRow(article, row, { open, selected, search, tag = "", relative }) {
  const { entry } = row;
  article.dataset.kind = row.kind;
  article.classList.toggle("open", open);
  article.tabIndex = selected ? 0 : -1;
  article.setAttribute("aria-current", selected);
  if (row.kind === "left") {
    article.replaceChildren(element("div", { class: "left", "data-testid": "left" }, entry.what));
    return;
  }
  if (row.kind === "gap" || row.kind === "broken") {
    article.replaceChildren(element("div", { class: `line ${row.kind}`, "data-testid": row.kind }, entry.what));
    if (open) article.append(element("div", { class: "detail" }, json("as it came", entry.gap ?? entry.item, "")));
    return;
  }
  article.dataset.ns = entry.namespace;
  article.classList.toggle("failure", row.kind === "calls" ? failedIn(row) : entry.failure);
  article.classList.toggle("asks", entry.event.type === "agent.attention_needed");
  const { who, what } = sentenceOf(row);
  let line = article.firstElementChild;
  if (!line) {
    line = element(
      "div",
      { class: "line" },
      element("time"),
      element("span", { class: "ns", title: textOf(entry.event.type) }, visible(entry.namespace)),
      element("span", { class: "who" }),
      element("span", { class: "what" }),
      element("span", { class: "badge" }),
      element("span", { class: "seq" }),
    );
    article.append(line);
  }
  const [, , whoCell, whatCell, badge, seq] = line.children;
  refreshTime(article, row, relative);
  whoCell.replaceChildren(element("span", { class: "name" }, ...marked(subAgentOf(entry) || who, search)), ...(tag ? [" ", element("span", { class: "tag" }, tag)] : []));
  whatCell.replaceChildren(...whatParts(row, what, search));
  const events = row.entries.length > 1 && row.kind !== "calls" ? `${row.entries.length.toLocaleString("en")} events` : "";
  const hint = hintOf(row, `${who}\n${what}\n${numbers(row.entries)}`, search);
  badge.replaceChildren(...(hint ? [element("mark", { "data-testid": "hint" }, hint), " "] : []), events);
  seq.replaceChildren(...marked(numbers(row.entries), search));
  if (!open) line.nextElementSibling?.remove();
  else if (!line.nextElementSibling) article.append(detail(row, search));
}

/** A sentence with its search hits; of calls, the tool and its argument stand out, unless a hit may lie across them. */
function whatParts(row, what, search) {
  if (row.kind !== "calls" || search) return marked(what, search);
  return drawn(callsParts(row));
}

const drawn = (parts) => parts.map(([words, kind]) => (kind ? element("span", { class: kind }, words) : words));

/** Update a row's time: an age, or by the clock. A message has the time of its newest part. */
export function refreshTime(article, row, relative) {
  if (UNTIMED.has(article.dataset.kind)) return;
  const time = article.firstElementChild.firstElementChild;
  const { event } = row.kind === "message" ? row.entries.at(-1) : row.entry;
  const now = Date.now();
  const at = Date.parse(event.timestamp);
  if (relative) setText(time, ago(at, now));
  else if (now - at < DAY_MS || Number.isNaN(at)) {
    const [seconds, ms] = clock(event.timestamp).split(".");
    time.replaceChildren(seconds, element("span", { class: "ms" }, `.${ms}`));
  } else setText(time, moment(at, now));
  time.setAttribute("datetime", textOf(event.timestamp));
  time.setAttribute("title", `${clock(event.timestamp)}, ${textOf(event.timestamp)}`);
}

/** Replaces a row that cannot be drawn. */
export function refreshBroken(article, row, error) {
  const number = textOf(row.entry.event?.sequence_number);
  const what = `Event${number && ` #${number}`} could not be drawn: ${textOf(error?.message)}`;
  article.dataset.kind = "broken";
  article.replaceChildren(element("div", { class: "line broken", "data-testid": "broken" }, what));
}

/** Mark the search hits in a row, or name the place of hits outside its text. */
function hintOf(row, shown, search) {
  const needle = needlesOf(search).find((one) => !shown.toLowerCase().includes(one));
  if (needle === undefined) return "";
  if (row.entries.length > 1) return "found inside";
  const place = hiddenPlace(row.entry, needle);
  return place && `in the ${place}`;
}

function numbers(entries) {
  const [from, to] = [entries[0], entries.at(-1)].map(({ event }) => textOf(event.sequence_number));
  return from === to ? `#${from}` : `#${from}–${to}`;
}

function detail(row, search) {
  const { entry, entries, kind } = row;
  const parts = [];
  if (kind === "message") {
    parts.push(element("p", { class: "prose", "data-testid": "message" }, ...marked(visible(entry.message.text), search)));
  }
  if (kind === "calls") {
    return element("div", { class: "detail", "data-testid": "detail" }, ...callsDetail(callsOf(row), (call) => drawn(callParts(call)), (event) => whole(event, search)));
  }
  if (kind === "event" || kind === "commit" || entries.length === 1) {
    const views = eventDetail(entry.event);
    const own = views.length ? toggled([entry.event], (event) => whole(event, search), search !== "") : whole(entry.event, search);
    const files = entries.filter((other) => other !== entry);
    parts.push(...views, ...(kind === "commit" && files.length ? [memberList(files, search)] : []), own);
  }
  if (entries.length > 1 && kind !== "commit") parts.push(memberList(entries, search));
  return element("div", { class: "detail", "data-testid": "detail" }, ...parts);
}

/** All details of one event. */
export function whole(event, search) {
  const facts = element(
    "p",
    { class: "facts" },
    ...[event.type, textOf(event.timestamp), `#${textOf(event.sequence_number)}`].map((fact) =>
      element("span", {}, ...marked(visible(fact), search)),
    ),
    element("button", { type: "button", onclick: ({ target }) => copy(event, target) }, "Copy JSON"),
  );
  return element(
    "div",
    { class: "whole" },
    facts,
    json("data", event.data, search),
    json("metadata", event.metadata, search),
  );
}

async function copy(event, button) {
  try {
    await navigator.clipboard.writeText(stringify(event, 2));
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser refused";
  }
}

/** The events folded into a row; each can be opened. */
function memberList(entries, search) {
  const items = element("div", { class: "members", "data-testid": "members" });
  const show = (from) => {
    for (const entry of entries.slice(from, from + MOST_LISTED)) items.append(member(entry, search));
    const left = entries.length - from - MOST_LISTED;
    if (left <= 0) return;
    const more = element("button", { type: "button" }, `Show ${Math.min(left, MOST_LISTED)} more of ${left}`);
    more.addEventListener("click", () => {
      more.remove();
      show(from + MOST_LISTED);
    });
    items.append(more);
  };
  show(0);
  return items;
}

function member(entry, search) {
  const { event } = entry;
  const { chunk } = event.data;
  const what = typeof chunk === "string" ? visible(chunk) : unisolated(entry.what);
  const hint = hintOf({ entry, entries: [entry] }, `${what}\n#${textOf(event.sequence_number)}`, search);
  const item = element(
    "details",
    {},
    element(
      "summary",
      {},
      element("span", { class: "what" }, ...marked(what, search)),
      ...(hint ? [element("mark", {}, hint)] : []),
      element("span", { class: "seq" }, ...marked(`#${textOf(event.sequence_number)}`, search)),
    ),
  );
  item.addEventListener("toggle", () => item.append(whole(event, search)), { once: true });
  return item;
}

const TOKENS = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null|-?\d[\d.eE+-]*)\b/g;

function json(label, value, search) {
  const whole = visible(stringify(value ?? {}, 2));
  const text = whole.length > LONGEST_SHOWN ? `${cut(whole, LONGEST_SHOWN)}\n… cut here: copy or save the event for the rest` : whole;
  const code = element("code", {});
  let from = 0;
  if (text.length <= LONGEST_COLOURED) {
    for (const { 0: token, 1: string, 2: colon, index } of text.matchAll(TOKENS)) {
      const kind = colon ? "key" : string ? "string" : "literal";
      const body = colon ? string : token;
      code.append(text.slice(from, index), element("span", { class: kind }, ...marked(body, search)));
      from = index + body.length;
    }
  }
  code.append(...marked(text.slice(from), search));
  return element("section", { class: "json", "aria-label": label }, element("h3", {}, label), element("pre", {}, code));
}
