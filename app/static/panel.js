/**
 * The feed on the page: it follows the newest event, or pauses while the user reads.
 *
 * A paused panel keeps its rows and only counts new events, while the feed still stores them. Following
 * again rebuilds the rows from the feed.
 */

import { setText } from "./dom.js";
import { drawEmpty } from "./empty.js";
import { VirtualList } from "./list.js";
import { makeRow, refreshBroken, refreshRow } from "./row.js";
import { Problems } from "./problems.js";
import { count } from "./sentences.js";
import { View } from "./view.js";

const WORK_MS = 8; // per frame; remaining work waits for the next frame
const MOST_UNDRAWN = 1000;
const WORK_STEP = 50; // entries between two looks at the clock

export class Panel {
  constructor(feed, elements, { filter, newestFirst, onEntry, onClear, tagOf = () => "", problems = new Problems() }) {
    Object.assign(this, elements, { feed, onEntry, onClear, tagOf, problems });
    this.view = new View(filter);
    this.paused = null; // or the reason: "user", "scroll" (away from the newest), "reading" (a row)
    this.waiting = 0; // new events that match the filter
    this.selected = null; // key of a row
    this._pausedAt = 0; // the index of the first entry after the paused view
    this._left = []; // items that wait for a frame
    this._frame = 0;
    this.list = new VirtualList(this.scroller, this.canvas, this.lead, {
      make: makeRow,
      refresh: (article, row) => this._refresh(article, row),
    });
    this._undrawn = new Set(); // keys of rows that could not be drawn: each counts once
    this.list.newestFirst = newestFirst;
    this.scroller.addEventListener("scroll", () => this._scrolled(), { passive: true });
    this.canvas.addEventListener("click", (click) => this._clicked(click));
    this.followButton.addEventListener("click", () => this.resume());
    this.pauseButton.addEventListener("click", () => this.togglePause());
    new ResizeObserver(() => {
      this.list.measureRows();
      this.draw();
    }).observe(this.scroller);
  }

  /** Add events and gaps; called once per animation frame. */
  take(items) {
    this._left = this._left.length ? this._left.concat(items) : items;
    const most = this.feed.mostEntries; // after a hidden tab, more would be removed unseen
    if (this._left.length > most) {
      this.feed.foldedAway += this._left.length - most;
      this._left = this._left.slice(-most);
    }
    if (!this._frame) this._work();
  }

  pause(why) {
    if (this.paused) return;
    this.paused = why;
    this.waiting = 0;
    this._pausedAt = this.feed.next;
    this.draw();
  }

  /** Follow the newest event again. */
  resume() {
    this.paused = null;
    this.view = new View(this.view.filter);
    for (const entry of this.feed.entries()) this._show(entry);
    this.draw();
  }

  togglePause() {
    if (this.paused) this.resume();
    else this.pause("user");
  }

  setFilter(filter) {
    const until = this.paused ? this._pausedAt : Infinity;
    this.view = new View(filter);
    this.waiting = 0;
    for (const entry of this.feed.entries()) {
      if (entry.index < until) this._show(entry);
      else if (this.view.matches(entry)) this.waiting += 1;
    }
    this.list.reset();
    this.draw();
  }

  setOrder(newestFirst) {
    this.list.newestFirst = newestFirst;
    this.resume();
  }

  /** Select the row `by` rows further down; the feed pauses while a row is selected. */
  move(by) {
    const { rows } = this.view;
    if (!rows.length) return;
    this.pause("reading");
    const at = this.list.placeOf(this._row(this.selected));
    const from = at === -1 ? (by > 0 ? this.list.firstInSight() - 1 : this.list.firstInSight() + 1) : at;
    this._select(Math.max(0, Math.min(rows.length - 1, from + by)));
  }

  page(direction) {
    this.move(direction * Math.max(1, Math.floor(this.scroller.clientHeight / this.list.rowHeight) - 1));
  }

  /** Open or close a row, by default the selected one. */
  toggle(row = this._row(this.selected)) {
    if (!row) return;
    this.pause("reading");
    const { open } = this.list;
    if (!open.delete(row.key)) open.add(row.key);
    this._select(this.list.placeOf(row));
  }

  /** Undo one step: close the open row, clear the selection, or follow again. */
  escape() {
    const { open } = this.list;
    if (open.size) {
      if (!open.delete(this.selected)) open.clear();
      this.draw();
    } else if (this.selected) {
      this.selected = null;
      document.activeElement?.blur();
      this.list.reset();
      if (this.paused === "reading") this.resume();
      else this.draw();
    } else if (this.paused) {
      this.resume();
    }
  }

  /** Call once a second: mark silent messages as no longer being written. */
  tick() {
    const silent = this.feed.settle();
    if (!silent.length) return;
    if (!this.paused) this.view.settle(silent);
    this.draw();
  }

  draw() {
    const { view, feed } = this;
    this.lead.hidden = feed.foldedAway === 0;
    setText(this.lead, `${count(feed.foldedAway, "older event")} folded away: this page keeps the newest ${feed.mostEntries.toLocaleString("en")}`);
    this.list.draw(view.rows, !this.paused);
    this.empty.hidden = view.rows.length > 0;
    if (!view.rows.length) drawEmpty(this.empty, feed.length, this.onClear);
    this.waitingPlace.hidden = !this.paused;
    this.waitingPlace.dataset.count = this.waiting;
    setText(this.waitingText, this.waiting ? `Paused, ${count(this.waiting, "new event")}` : "Paused");
    setText(this.pauseButton, this.paused ? "Follow" : "Pause");
    this.pauseButton.setAttribute("aria-pressed", this.paused !== null);
    const folded = feed.foldedAway ? `, ${feed.foldedAway.toLocaleString("en")} older folded away` : "";
    setText(this.tally, `${view.shown.toLocaleString("en")} of ${count(feed.length, "event")} shown${folded}`);
  }

  /** Draw all rows again, because names of sessions have changed. */
  rename() {
    this.list.touchAll();
    this.draw();
  }

  _work() {
    this._frame = 0;
    const until = performance.now() + WORK_MS;
    let done = 0;
    while (done < this._left.length && (done % WORK_STEP || performance.now() < until)) {
      const entry = this.feed.add(this._left[done]);
      done += 1;
      if (entry.kind === "event") this.problems.guard("offering a filter", () => this.onEntry(entry));
      if (!this.paused) this._show(entry);
      else if (this.view.matches(entry)) this.waiting += 1;
    }
    this._left = this._left.slice(done);
    const gone = this.feed.trim();
    if (!this.paused) this.view.evict(gone);
    if (this._left.length) this._frame = requestAnimationFrame(() => this._work());
    this.draw();
  }

  _show(entry) {
    this.problems.guard(
      "placing an event",
      () => this.view.push(entry),
      (error) => this.view.pushBroken(entry, error),
    );
  }

  _refresh(article, row) {
    const open = this.list.open.has(row.key);
    const selected = row.key === this.selected;
    try {
      refreshRow(article, row, { open, selected, search: this.view.filter.text, tag: row.entry.event ? this.tagOf(row.entry) : "" });
    } catch (error) {
      if (!this._undrawn.has(row.key)) this.problems.report("drawing an event", error);
      this._undrawn.add(row.key);
      if (this._undrawn.size > MOST_UNDRAWN) this._undrawn.clear();
      refreshBroken(article, row, error);
    }
  }

  _row(key) {
    return this.view.rows.find((row) => row.key === key);
  }

  _select(place) {
    const before = this._row(this.selected);
    const row = this.list.rowAt(place);
    this.selected = row.key;
    if (before) this.list.touch(before);
    this.list.touch(row);
    this.draw();
    this.list.reveal(place);
    this.list.elementOf(row)?.focus({ preventScroll: true });
  }

  _clicked({ target }) {
    if (!target.closest(".line") || getSelection()?.toString()) return;
    const key = target.closest("article").dataset.key;
    const row = this._row(key);
    this.toggle(row);
    if (this.list.open.size === 0 && this.paused === "reading" && this.list.atNewest()) this.escape();
  }

  _scrolled() {
    if (!this.paused && !this.list.atNewest()) this.pause("scroll");
    else if (this.paused === "scroll" && this.list.atNewest()) this.resume();
    else this.list.draw();
  }
}
