/**
 * The page of one session: its head, and its timeline as a list of rows that can be opened and folded.
 *
 * The newest events come first; earlier ones are loaded when a person scrolls to the start.
 */

import { clock, element, setText } from "../dom.js";
import { text } from "../fields.js";
import { VirtualList } from "../list.js";
import { whole } from "../row.js";
import { count, duration } from "../sentences.js";
import { callDetail, eventDetail, json } from "./detail.js";
import { relative } from "./names.js";
import { sessionBefore } from "./past.js";
import { spanOf, Timeline } from "./timeline.js";
import { callWords, figures, stateOf, ticking } from "./words.js";

const MOST_ITEMS = 50_000;
const MOST_CHARACTERS_SHOWN = 300; // of a line
const LOAD_WITHIN_PX = 400; // of the start

const SIGNS = { ok: "✓", failed: "✕", denied: "⊘", interrupted: "◼", unknown: "?", running: "", waiting: "!" };

export class SessionPage {
  /** `card(id)` and `now()` are the fleet's; `position()` is the stream's. */
  constructor(elements, { card, now, position, problems, onClose }) {
    Object.assign(this, elements, { card, now, position, problems, onClose });
    this.id = null;
    this.list = new VirtualList(this.scroller, this.canvas, { lead: this.lead }, { make: makeRow, refresh: (row, of) => this._refresh(row, of) });
    this.scroller.addEventListener("scroll", () => this._scrolled(), { passive: true });
    this.canvas.addEventListener("click", (clicked) => this._clicked(clicked));
    this.previous.addEventListener("click", () => this.toError(-1));
    this.next.addEventListener("click", () => this.toError(1));
    this.follow.addEventListener("click", () => this.followNow());
    this.fold.addEventListener("click", () => this._foldAll());
    this.back.addEventListener("click", () => onClose());
    new ResizeObserver(() => {
      this.list.measureRows();
      if (this.id) this.draw();
    }).observe(this.scroller);
  }

  get isOpen() {
    return this.id !== null;
  }

  /** Show a session; `recent` are events of the current epoch that may not be in the journal yet. */
  async show(id, recent) {
    this.id = id;
    this._items = [];
    this._live = [...recent];
    this._folded = new Map();
    this._selected = null;
    this._following = true;
    this._older = null;
    this._epoch = this.position().epoch; // of the first item
    this._loading = true;
    this.list.clear();
    this._timeline = new Timeline(id);
    this.draw();
    await this._load(null);
    this.scroller.setAttribute("aria-busy", "false");
  }

  /** Close the session and forget its events and rows: a long one holds tens of thousands. */
  hide() {
    this.id = null;
    this._items = this._live = this._rows = this._failures = [];
    this._timeline = null;
    this.list.clear();
  }

  /** Take live events and gaps. */
  take(items) {
    if (!this.id) return;
    const own = items.filter((item) => item.type === "gap" || item.data?.session_id === this.id);
    if (!own.length) return;
    this._live.push(...own);
    if (this._live.length > MOST_ITEMS) this._live.splice(0, this._live.length - MOST_ITEMS);
    for (const item of own) this.problems.guard("placing an event", () => this._timeline.push(item));
  }

  draw() {
    if (!this.id) return;
    const now = this.now();
    const rows = this._timeline.rows(this._folded, now);
    this._rows = rows;
    this._failures = Timeline.failures(rows);
    this._head(now);
    this.lead.hidden = false;
    setText(this.lead, this._leadText());
    this.list.draw(rows, this._following);
    this.follow.hidden = this._following || this.list.atNewest();
    this.empty.hidden = rows.length > 0 || this._loading;
  }

  /** Select the row `by` rows further down. */
  move(by) {
    if (!this._rows.length) return;
    const at = this._rows.findIndex(({ key }) => key === this._selected);
    const from = at === -1 ? (by > 0 ? this.list.firstInSight() - 1 : this._rows.length) : at;
    this._select(Math.max(0, Math.min(this._rows.length - 1, from + by)));
  }

  page(direction) {
    this.move(direction * Math.max(1, Math.floor(this.scroller.clientHeight / this.list.rowHeight) - 1));
  }

  /** Open or close a row, by default the selected one. */
  toggle(key = this._selected) {
    const place = this._rows.findIndex((row) => row.key === key);
    if (place === -1) return;
    this._following = false;
    if (!this.list.open.delete(key)) this.list.open.add(key);
    this._select(place);
  }

  /** Fold or unfold the sub-agents below the selected row; `folded` undefined is the other way. */
  setFold(key = this._selected, folded = undefined) {
    const row = this._rows.find((one) => one.key === key);
    if (!row?.agents?.length) return;
    this._folded.set(key, folded ?? !row.folded);
    this._following = false;
    this.draw();
  }

  /** Go to the next (1) or previous (-1) failure from the selected row. */
  toError(direction) {
    const failures = this._failures;
    if (!failures.length) return;
    const order = new Map(flatKeys(this._rows).map((key, i) => [key, i]));
    const at = order.get(this._selected) ?? (direction > 0 ? -1 : Infinity);
    const ahead = failures.filter(([key]) => (direction > 0 ? order.get(key) > at : order.get(key) < at));
    const [key, around] = (direction > 0 ? ahead[0] : ahead.at(-1)) ?? (direction > 0 ? failures[0] : failures.at(-1));
    for (const outer of around) this._folded.set(outer, false);
    this.draw();
    this._select(this._rows.findIndex((row) => row.key === key));
  }

  /** Undo one step: close the open row, clear the selection; false if nothing is left to undo. */
  escape() {
    if (this.list.open.size) {
      if (!this.list.open.delete(this._selected)) this.list.open.clear();
      this.draw();
      return true;
    }
    if (!this._selected) return false;
    const row = this._rows.find(({ key }) => key === this._selected);
    this._selected = null;
    if (row) this.list.touch(row);
    this.followNow();
    return true;
  }

  followNow() {
    this._following = true;
    this.draw();
  }

  _leadText() {
    if (this._loading) return "Loading what came before…";
    if (!this._older) return "The start of the session";
    if (this._items.length < MOST_ITEMS) return "Scroll up for what came before";
    return `This page holds ${MOST_ITEMS.toLocaleString("en")} events: earlier ones are in the journal`;
  }

  async _load(before) {
    const { id } = this;
    this._loading = true;
    this._asked = before; // not again at once if it fails
    try {
      const { items, older, epoch } = await sessionBefore(id, before, this._epoch, this.position());
      if (this.id !== id) return; // another session was opened meanwhile
      this._epoch = epoch;
      this._items = [...items, ...this._items];
      this._older = older;
      const height = this._rows.length;
      this._timeline = Timeline.of(id, [...this._items, ...this._live]);
      this._loading = false;
      const top = this.scroller.scrollTop;
      this.draw();
      if (!this._following) this.scroller.scrollTop = top + (this._rows.length - height) * this.list.rowHeight;
    } catch (error) {
      this.problems.report("loading a session", error);
    } finally {
      if (this.id === id) {
        this._loading = false;
        this.draw();
        this._loadMore();
      }
    }
  }

  /** Load earlier events near the start, also where those at hand make too few rows to scroll. */
  _loadMore() {
    const room = this._items.length < MOST_ITEMS && this.scroller.scrollTop < LOAD_WITHIN_PX;
    if (this._older && this._older !== this._asked && !this._loading && room) this._load(this._older);
  }

  _scrolled() {
    if (!this.id) return;
    this._following = this.list.atNewest();
    this.follow.hidden = this._following;
    this._loadMore();
    this.list.draw();
  }

  _select(place) {
    const row = this._rows[place];
    const before = this._rows.find(({ key }) => key === this._selected);
    this._selected = row.key;
    this._following = place === this._rows.length - 1 && !this.list.open.has(row.key);
    for (const one of [before, row]) if (one) this.list.touch(one);
    this.draw();
    this.list.reveal(place);
    this.list.elementOf(row)?.focus({ preventScroll: true });
  }

  _clicked({ target }) {
    const article = target.closest("article");
    if (!article || !target.closest(".line") || getSelection()?.toString()) return;
    const { key } = article.dataset;
    if (target.closest(".twisty")) this.setFold(key);
    else this.toggle(key);
  }

  _foldAll() {
    const foldable = this._rows.filter(({ agents }) => agents.length);
    const fold = foldable.some(({ folded }) => !folded);
    for (const { key } of foldable) this._folded.set(key, fold);
    this.draw();
  }

  _head(now) {
    const card = this.card(this.id);
    const failures = this._failures.length;
    setText(this.errors, failures ? count(failures, "error") : "No errors");
    this.previous.disabled = this.next.disabled = failures === 0;
    this.errors.classList.toggle("bad", failures > 0);
    const foldable = this._rows.filter(({ agents }) => agents.length);
    this.fold.hidden = !foldable.length;
    setText(this.fold, foldable.some(({ folded }) => !folded) ? "Fold sub-agents" : "Unfold sub-agents");
    if (!card) {
      setText(this.name, "Session");
      setText(this.state, text(this.id, 40));
      delete this.head.dataset.state;
      this.task.hidden = true;
      this.facts.replaceChildren();
      this.done.replaceChildren();
      this._drawn = "";
      return;
    }
    this.head.dataset.state = card.state;
    setText(this.name, [text(card.name, 60), text(card.tag || card.project, 60)].filter(Boolean).join(" · "));
    setText(this.state, stateOf(card, now));
    setText(this.task, text(card.task, 400));
    this.task.hidden = !card.task;
    const facts = [
      ...figures(card).filter(([words]) => !/^[\d,]+ (file|commit)s?$/.test(words)), // listed below
      [`since ${clock(card.started * 1000).slice(0, 8)}`, ""],
      [`${card.ended === null ? "for" : "took"} ${duration(card.duration_ms)}`, ""],
      ...(card.model ? [[text(card.model, 60), "aside"]] : []),
      ...(card.folder ? [[text(card.folder, 200), "aside path"]] : []),
    ];
    const drawn = JSON.stringify([facts, [...card.facts.files], [...card.facts.commits]]);
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    this.facts.replaceChildren(...facts.map(([words, kind]) => element("span", { class: kind }, words)));
    this.done.replaceChildren(...doneParts(card));
  }

  _refresh(article, row) {
    try {
      refreshRow(article, row, { now: this.now(), open: this.list.open.has(row.key), selected: row.key === this._selected, folder: this._timeline.session?.folder });
    } catch (error) {
      this.problems.report("drawing a row", error);
      article.replaceChildren(element("div", { class: "line broken" }, `A row could not be drawn: ${text(error?.message)}`));
    }
  }
}

/** The files and commits of a session, folded. */
function doneParts({ facts, folder }) {
  const parts = [];
  if (facts.files.size) {
    const names = [...facts.files].map((path) => element("li", {}, text(relative(path, folder), 300)));
    parts.push(element("details", { "data-testid": "session-files" }, element("summary", {}, count(facts.files.size, "file")), element("ul", { class: "files" }, ...names)));
  }
  if (facts.commits.size) {
    const items = [...facts.commits].map(([hash, subject]) =>
      element("li", {}, element("a", { href: `#q=${hash}` }, hash), " ", text(subject)),
    );
    parts.push(element("details", { "data-testid": "session-commits" }, element("summary", {}, count(facts.commits.size, "commit")), element("ul", { class: "files" }, ...items)));
  }
  return parts;
}

/** The keys of all rows, those inside folded ones too, in order. */
function flatKeys(rows) {
  return rows.flatMap((row) => [row.key, ...(row.inside ? flatKeys(row.inside.filter(({ within }) => within === row.key)) : [])]);
}

function makeRow(row) {
  return element("article", { class: "row step", "data-testid": "step", "data-key": row.key, tabindex: "-1" });
}

/** What a row says: `[verb or tool, the rest]`. */
function wordsOf({ kind, record, agents, state }, folder) {
  const { data } = record.event;
  switch (kind) {
    case "call": {
      const [tool, argument] = callWords({ tool_name: record.call.toolName, summary: record.call.summary }, folder);
      const type = agents.length ? text(agents[0].type, 60) : "";
      return [type ? `${tool} ${type}` : tool, argument];
    }
    case "turn":
      return [data.reason === "background_finished" ? "Background" : "Prompt", text(data.prompt, MOST_CHARACTERS_SHOWN)];
    case "message":
      return ["", text(record.text ?? data.summary, MOST_CHARACTERS_SHOWN)];
    case "attention":
      return ["Needs you", text(data.message ?? data.summary ?? data.reason)];
    case "error":
      return ["Error", [text(data.error), text(data.message)].filter(Boolean).join(": ")];
    case "gap":
      return ["Lost", "Events were lost here, so the end of open calls may be unknown"];
    case "agent":
      return [text(agents[0]?.type, 60) || "sub-agent", state];
    default:
      return ["", noteOf(record.event)];
  }
}

function noteOf({ type, data }) {
  if (type === "agent.session_started") return `The session started${data.reason ? `: ${text(data.reason)}` : ""}`;
  if (type === "agent.session_finished") return `The session finished${data.reason ?? data.status ? `: ${text(data.reason ?? data.status)}` : ""}`;
  return text(data.kind) || text(type);
}

function refreshRow(article, row, { now, open, selected, folder }) {
  const { record, kind, state, depth } = row;
  const [head, rest] = wordsOf(row, folder);
  const span = kind === "gap" ? null : spanOf(row);
  article.dataset.kind = kind;
  article.dataset.state = state;
  article.className = `row step depth-${Math.min(depth, 6)}${row.failed ? " failed" : ""}${open ? " open" : ""}`;
  article.tabIndex = selected ? 0 : -1;
  article.setAttribute("aria-current", selected);
  const timed = span && (kind === "call" || kind === "turn");
  const took = timed ? (span.ended === null ? ticking(now - span.started) : tookOf(row, span)) : "";
  const note = row.folded ? `${count(row.hidden, "step")}${row.failedInside ? `, ${row.failedInside} failed` : ""}` : "";
  const outcome = row.failed || state === "waiting" || (state === "unknown" && kind === "call") ? outcomeOf(row) : "";
  article.setAttribute("aria-label", [head, rest, kind === "call" ? state : "", took, note].filter(Boolean).join(", "));
  if (row.agents?.length) article.setAttribute("aria-expanded", !row.folded);
  const twisty = row.agents?.length
    ? element("button", { type: "button", class: "twisty", tabindex: "-1", "aria-label": row.folded ? "Unfold the sub-agent" : "Fold the sub-agent" }, row.folded ? "▸" : "▾")
    : element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[state] ?? "");
  const line = element(
    "div",
    { class: "line" },
    element("time", {}, record.event.timestamp ? clock(record.event.timestamp).slice(0, 8) : ""),
    element("span", { class: "step-text" }, twisty, head ? element("b", {}, head) : "", element("span", { class: kind === "call" ? "argument" : "said" }, rest), outcome ? element("span", { class: "outcome" }, outcome) : "", note ? element("span", { class: "note" }, note) : ""),
    kind === "call" ? bar(row, span, now) : element("span", { class: "track none" }),
    element("span", { class: "took" }, took),
  );
  if (!open) {
    article.replaceChildren(line);
    return;
  }
  const known = article.querySelector(":scope > .detail");
  if (known && known.dataset.version === `${record.version} ${state}`) article.firstElementChild.replaceWith(line);
  else article.replaceChildren(line, detailOf(row, folder));
}

function tookOf({ record, kind }, { started, ended }) {
  if (record.call) return record.call.durationMs !== null ? duration(record.call.durationMs) : started === null || ended === started ? "" : duration((ended - started) * 1000);
  return kind === "turn" && ended > started ? duration((ended - started) * 1000) : "";
}

function outcomeOf({ record, state, why }) {
  const error = record.call?.error ?? "";
  const said = error.replace(/^Exit code (\d+)\n/, "exit $1: ").split("\n").filter(Boolean);
  const last = said.length > 1 ? `${said[0].split(":")[0]}: ${said.at(-1)}` : said[0];
  return text(last || (state === "waiting" ? why : record.kind === "error" ? "" : `${state}: ${why}`), 160);
}

/** The call's span within its turn. */
function bar({ turn, state }, span, now) {
  const track = element("span", { class: "track", "aria-hidden": "true" });
  if (!turn || span.started === null) return track;
  const end = Math.max(turn.ended, span.ended ?? now);
  const whole_ = Math.max(end - turn.started, 0.001);
  const from = Math.max(0, Math.min(1, (span.started - turn.started) / whole_));
  const to = Math.max(from, Math.min(1, ((span.ended ?? now) - turn.started) / whole_));
  const made = element("span", { class: `span ${state}` });
  made.style.left = `${(from * 100).toFixed(2)}%`;
  made.style.width = `${((to - from) * 100).toFixed(2)}%`;
  track.append(made);
  return track;
}

function detailOf(row, folder) {
  const { record, kind, state, why } = row;
  const parts =
    kind === "call"
      ? callDetail({ called: record.event.type === "agent.tool_called" ? record.event : undefined, finished: record.finished, batch: record.batch, state, why })
      : kind === "message" && record.text
        ? eventDetail({ type: "agent.message", data: { content: record.text } })
        : kind === "gap" ? [] : eventDetail(record.event, folder);
  const events = [record.event, record.finished].filter((event) => event?.sequence_number !== undefined);
  return element("div", { class: "detail", "data-testid": "step-detail", "data-version": `${record.version} ${state}` }, ...parts, ...(events.length ? [json(events, (event) => whole(event, ""))] : []));
}
