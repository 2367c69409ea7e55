/** One row of the feed as elements: its line, and when open all that it stands for. */

import { clock, element, marked } from "./dom.js";
import { burstOf } from "./sentences.js";

const MOST_LISTED = 200; // of a folded row's events; the export has them all
const LONGEST_TAIL = 140; // characters of a message that is still being written
const LONGEST_COLOURED = 20_000; // characters of JSON

/** What the row says: `{who, what}`. */
export function sentenceOf(row) {
  const { entry, entries, kind } = row;
  if (kind === "burst" && entries.length > 1) {
    return { who: entry.who, what: burstOf(entries.map(({ event }) => event)) };
  }
  if (kind === "message") {
    const { text, done } = entry.message;
    const line = text.slice(0, 2000).replace(/\s+/g, " ").trim();
    if (done) return { who: entry.who, what: `answered: “${line}”` };
    const tail = text.slice(-LONGEST_TAIL * 2).replace(/\s+/g, " ").trimStart();
    const shown = tail.length > LONGEST_TAIL ? `…${tail.slice(-LONGEST_TAIL)}` : tail;
    return { who: entry.who, what: `is writing: “${shown}` };
  }
  return { who: entry.who ?? "", what: entry.what };
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

/** Bring a row's element up to date. */
export function refreshRow(article, row, { open, selected, search }) {
  const { entry } = row;
  article.dataset.kind = row.kind;
  article.classList.toggle("open", open);
  article.tabIndex = selected ? 0 : -1;
  article.setAttribute("aria-current", selected);
  if (row.kind === "gap") {
    article.replaceChildren(element("div", { class: "line gap", "data-testid": "gap" }, entry.what));
    if (open) article.append(element("div", { class: "detail" }, json("gap", entry.gap, "")));
    return;
  }
  article.dataset.ns = entry.namespace;
  article.classList.toggle("failure", entry.failure);
  const { who, what } = sentenceOf(row);
  let line = article.firstElementChild;
  if (!line) {
    line = element(
      "div",
      { class: "line" },
      element("time", { datetime: entry.event.timestamp, title: entry.event.timestamp }),
      element("span", { class: "ns", title: entry.event.type }, entry.namespace),
      element("span", { class: "who" }),
      element("span", { class: "what" }),
      element("span", { class: "badge" }),
      element("span", { class: "seq" }),
    );
    article.append(line);
  }
  const [time, , whoCell, whatCell, badge, seq] = line.children;
  const [seconds, ms] = clock(entry.event.timestamp).split(".");
  time.replaceChildren(seconds, element("span", { class: "ms" }, `.${ms}`));
  whoCell.replaceChildren(...marked(who, search));
  whatCell.replaceChildren(...marked(what, search));
  badge.textContent = row.entries.length > 1 ? `${row.entries.length.toLocaleString("en")} events` : "";
  seq.textContent = numbers(row.entries);
  if (!open) line.nextElementSibling?.remove();
  else if (!line.nextElementSibling) article.append(detail(row, search));
}

function numbers(entries) {
  const [from, to] = [entries[0], entries.at(-1)].map(({ event }) => event.sequence_number);
  return from === to ? `#${from}` : `#${from}–${to}`;
}

function detail(row, search) {
  const { entry, entries, kind } = row;
  const parts = [];
  if (kind === "message") {
    parts.push(element("p", { class: "prose", "data-testid": "message" }, ...marked(entry.message.text, search)));
  }
  if (kind === "event" || kind === "commit" || entries.length === 1) parts.push(whole(entry.event, search));
  const members = kind === "commit" ? entries.filter((other) => other !== entry) : entries;
  if (entries.length > 1) parts.push(memberList(members, search));
  return element("div", { class: "detail", "data-testid": "detail" }, ...parts);
}

/** All of one event. */
function whole(event, search) {
  const facts = element(
    "p",
    { class: "facts" },
    ...[event.type, event.timestamp, `#${event.sequence_number}`].map((fact) => element("span", {}, fact)),
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
    await navigator.clipboard.writeText(JSON.stringify(event, null, 2));
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser refused";
  }
}

/** The events that a row folds; each opens in its turn. */
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
  const item = element(
    "details",
    {},
    element(
      "summary",
      {},
      element("span", { class: "what" }, ...marked(event.data.chunk ?? entry.what, search)),
      element("span", { class: "seq" }, `#${event.sequence_number}`),
    ),
  );
  item.addEventListener("toggle", () => item.append(whole(event, search)), { once: true });
  return item;
}

const TOKENS = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null|-?\d[\d.eE+-]*)\b/g;

function json(label, value, search) {
  const text = JSON.stringify(value ?? {}, null, 2);
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
  code.append(text.slice(from));
  return element("section", { class: "json", "aria-label": label }, element("h3", {}, label), element("pre", {}, code));
}
