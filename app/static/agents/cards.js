/** Draws the cards of the sessions, grouped by what they need; what did not change stays in the page. */

import { clock, element, setText } from "../dom.js";
import { text } from "../fields.js";
import { count } from "../sentences.js";
import { visible } from "../visible.js";
import { treeOf } from "./fleet.js";
import { asks, callWords, costOf, failedOf, figures, groupOf, shortStateOf, span, stateOf, tally, ticking } from "./words.js";

const GROUPS = [
  ["waiting", "Waiting for you"],
  ["failed", "Failed"],
  ["silent", "Silent"],
  ["working", "Working"],
  ["idle", "Idle"],
  ["finished", "Finished"],
];
const MOST_FINISHED = 6; // are shown before a person asks for more
const MOST_CHILDREN = 4;
const MORE = 50;
const MANY = 8; // sessions at work: more of them are shown with less of each
const LONGEST_MESSAGE = 240;

/** The address of a session's timeline on this page. */
export const linkTo = (id) => `#session=${encodeURIComponent(id)}`;

export class Cards {
  constructor({ pane, list, tally: tallyPlace, cost }) {
    Object.assign(this, { list, _pane: pane, _tally: tallyPlace, _cost: cost });
    this._items = new Map(); // by session: {item, drawn}
    this._mostFinished = MOST_FINISHED;
    this._groups = new Map(GROUPS.map(([name, title]) => [name, this._group(name, title)]));
    this._more = element("button", { type: "button", class: "more", "data-testid": "more-finished" });
    this._more.addEventListener("click", () => {
      this._mostFinished += MORE;
      this.draw(this._cards, this._now, this._selected);
    });
  }

  /** Show `cards` as they stand at `now`; `selected` is the session whose timeline is open. */
  draw(cards, now, selected = null) {
    Object.assign(this, { _cards: cards, _now: now, _selected: selected });
    const focused = document.activeElement; // a card that moves in the page loses the focus
    this._tally.replaceChildren(...tally(cards).map(([words, group]) => element("span", { "data-state": group }, words)));
    this._drawCost(costOf(cards));
    const wanted = new Set();
    const finished = cards.filter(({ ended }) => ended !== null);
    this._pane.classList.toggle("dense", cards.length - finished.length > MANY);
    const hidden = new Set(finished.slice(this._mostFinished).filter(({ session_id: id }) => id !== selected));
    for (const [name] of GROUPS) {
      const { place, items, number } = this._groups.get(name);
      const members = cards.filter((card) => groupOf(card) === name);
      place.hidden = !members.length;
      place.classList.toggle("several", members.length > 1);
      setText(number, `${members.length}${failedOf(members, name)}`);
      let before = null;
      for (const card of members) {
        if (hidden.has(card)) continue;
        wanted.add(card.session_id);
        const item = this._item(card, now, selected);
        const next = before ? before.nextSibling : items.firstChild;
        if (next !== item) items.insertBefore(item, next);
        before = item;
      }
    }
    for (const [id, { item }] of this._items) {
      if (wanted.has(id)) continue;
      item.remove();
      this._items.delete(id);
    }
    this._more.hidden = !hidden.size;
    setText(this._more, hidden.size > MORE ? `Show ${MORE} of ${hidden.size} more` : `Show ${hidden.size} more`);
    const { place } = this._groups.get("finished");
    if (this._more.parentNode !== place) place.append(this._more);
    if (focused !== document.activeElement && this.list.contains(focused)) focused.focus({ preventScroll: true });
  }

  _drawCost(said) {
    if (this._cost.textContent === said) return;
    const [amount] = said.split(" ", 1);
    this._cost.replaceChildren(element("b", {}, amount), said.slice(amount.length));
  }

  /** Move the focus `by` cards; false if it is not on a card. */
  move(by) {
    const links = this.links();
    const at = links.indexOf(document.activeElement);
    if (at === -1) return false;
    links[Math.max(0, Math.min(links.length - 1, at + by))].focus();
    return true;
  }

  links() {
    return [...this.list.querySelectorAll("a.card-link")];
  }

  _group(name, title) {
    const number = element("span", { class: "number" });
    const items = element("ul", { class: "cards" });
    const place = element("section", { class: "group-of-cards", "data-group": name, "aria-label": title }, element("h3", {}, title, " ", number), items);
    place.hidden = true;
    this.list.append(place);
    return { place, items, number };
  }

  _item(card, now, selected) {
    let known = this._items.get(card.session_id);
    if (!known) {
      const link = element("a", { class: "card-link", href: linkTo(card.session_id), "data-testid": "agent-link" });
      known = { item: element("li", { class: "agent", "data-testid": "agent", "data-session": text(card.session_id) }), link, drawn: "" };
      this._items.set(card.session_id, known);
    }
    const { item, link } = known;
    item.dataset.state = card.state;
    item.classList.toggle("finished", card.ended !== null);
    item.classList.toggle("selected", card.session_id === selected);
    if (card.session_id === selected) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    const parts = partsOf(card, now);
    const drawn = JSON.stringify(parts);
    if (drawn === known.drawn) return item;
    known.drawn = drawn;
    fill(item, link, parts);
    return item;
  }
}

/** All that a card says, as texts. */
function partsOf(card, now) {
  const { name, project, tag, attention, doing, facts, folder, state, ended } = card;
  const label = tag.startsWith(project) ? tag.slice(project.length).trim() : tag;
  const isOver = ended !== null;
  const asked = state === "waiting" ? attention : null; // state, reason and error already show an alarm
  return {
    name: text(name, 60),
    project: text(project, 60),
    tag: text(label, 60),
    title: text(folder),
    state: stateOf(card, now),
    short: shortStateOf(card, now),
    task: text(card.task, 300),
    asks: asked && { words: asks(asked, card.agents), what: callWords(asked, folder), message: text(asked.message) },
    why: state === "failed" || state === "silent" ? text(card.why) : "",
    error: state === "failed" ? text(card.agents[0].summary) : "",
    now: !isOver && !asked && doing ? [...callWords(doing, folder), ticking(now - (doing.started ?? now))] : null,
    message: isOver ? "" : text(facts?.message, LONGEST_MESSAGE),
    figures: figures(card),
    since: clock(card.started * 1000).slice(0, 5),
    isOver,
    children: isOver ? [] : childrenOf(card, now),
    duration: span(card.duration_ms / 1000),
  };
}

/** The sub-agents that a card shows: those at work and those that failed first. */
function childrenOf(card, now) {
  const rows = treeOf(card).map(([agent, depth]) => {
    const call = agent.calls.find(({ tool_use_id: id }) => id === agent.current);
    const failed = agent.counts.failed ?? 0;
    const state = agent.outcome === "interrupted" ? agent.outcome : agent.state;
    return {
      depth: Math.min(depth, 3),
      state,
      name: text(agent.agent_type, 60) || "sub-agent",
      call: call ? [...callWords(call, card.folder), ticking(now - (call.started ?? now))] : null,
      note: [state, failed && `${failed} failed`, agent.parent === "reported" ? "" : "parent not certain"].filter(Boolean).join(", "),
    };
  });
  const busy = rows.filter(({ state }) => state !== "finished");
  const shown = busy.length ? busy.slice(0, MOST_CHILDREN) : [];
  const left = rows.length - shown.length;
  return left ? [...shown, { depth: 1, state: "finished", name: shown.length ? `${left} more` : count(left, "sub-agent"), call: null, note: left === rows.length - busy.length ? "finished" : "" }] : shown;
}

function fill(item, link, parts) {
  const { name, project, tag, state, asks: asked } = parts;
  link.textContent = name;
  link.setAttribute("aria-label", [name, project, tag, state, asked && `${asked.words} ${asked.what.join(" ")}`].filter(Boolean).join(", "));
  const code = (tool, argument) => [element("b", {}, tool), element("code", {}, argument)];
  const rows = [
    element(
      "div",
      { class: "agent-head" },
      element("span", { class: "lamp", "aria-hidden": "true" }),
      link,
      element("span", { class: "project", title: parts.title }, project),
      element("span", { class: "tag" }, tag),
      element("span", { class: "agent-state", "data-testid": "agent-state" }, parts.short),
    ),
  ];
  if (parts.task) rows.push(element("p", { class: "task" }, element("span", { class: "aside" }, "Prompt "), parts.task));
  if (asked) {
    rows.push(
      element(
        "div",
        { class: "ask", "data-testid": "agent-asks" },
        element("p", { class: "asked" }, asked.words, element("span", { class: "aside" }, "answer where it runs")),
        asked.what.some(Boolean) ? element("p", { class: "call" }, ...code(...asked.what)) : element("p", {}, asked.message),
      ),
    );
  }
  if (parts.why) rows.push(element("p", { class: "why" }, parts.error ? `${parts.why}: ${parts.error}` : parts.why));
  if (parts.now) {
    const [tool, argument, since] = parts.now;
    rows.push(element("p", { class: "call now", "data-testid": "agent-call" }, ...code(tool, argument), element("span", { class: "ticking" }, since)));
  }
  if (parts.message && !asked) rows.push(element("p", { class: "said" }, visible(parts.message)));
  if (parts.children.length) rows.push(element("ul", { class: "children" }, ...parts.children.map(child)));
  rows.push(figuresLine(parts));
  item.replaceChildren(...rows);
}

/** One line: what does not fit is left out from the end, and the cost is always at its right. */
function figuresLine({ figures: all, isOver, duration, since }) {
  const span_ = ([words, kind]) => element("span", { class: kind }, words);
  const facts = all.filter(([, kind]) => kind !== "cost");
  facts.push([isOver ? `took ${duration}` : `since ${since}`, ""]);
  const cost = all.filter(([, kind]) => kind === "cost");
  return element("p", { class: "figures", "data-testid": "agent-figures" }, element("span", { class: "some" }, ...facts.map(span_)), ...cost.map(span_));
}

function child({ depth, state, name, call, note }) {
  return element(
    "li",
    { class: `child depth-${depth}`, "data-state": state, "data-testid": "sub-agent" },
    element("span", { class: "lamp", "aria-hidden": "true" }),
    element("span", { class: "child-name" }, name),
    ...(call ? [element("b", {}, call[0]), element("code", {}, call[1]), element("span", { class: "ticking" }, call[2])] : [element("span", { class: "note" }, note)]),
  );
}
