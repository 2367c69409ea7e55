/**
 * The feed on the page: it follows the newest event, or pauses while the user reads.
 *
 * A paused panel keeps its rows and only counts new events, while the live feed still stores them.
 * Following again rebuilds the rows from the feed. With a `past`, the panel shows that window over the
 * history instead of the live feed (see `history/past.js`).
 */

import { setText } from "./dom.js";
import { drawEmpty } from "./empty.js";
import { VirtualList } from "./list.js";
import { makeRow, refreshBroken, refreshRow, refreshTime } from "./row.js";
import { Problems } from "./problems.js";
import { placeOf, positionOf } from "./history/positions.js";
import { newestNote, oldestNote, tallyOf, whyEmpty } from "./notes.js";
import { count } from "./sentences.js";
import { View } from "./view.js";

const WORK_MS = 8; // per frame; remaining work waits for the next frame
const MOST_UNDRAWN = 1000;
const WORK_STEP = 50; // entries between two looks at the clock
const NEAR = 2; // heights of the window: an end of the list that is nearer is about to be seen

export class Panel {
  constructor(feed, elements, { filter, newestFirst, relative = true, onEntry, onClear, tagOf = () => "", problems = new Problems() }) {
    Object.assign(this, elements, { live: feed, onEntry, onClear, tagOf, problems });
    this.past = null; // the window over the history that is shown instead of the live feed
    this.keepsAll = false; // whether the gateway has a journal, which older events load from
    this.relative = relative; // times are ages
    this.quietS = 30; // without an event, the panel says so
    this.loading = false;
    this.matched = 0; // live events so far that match the filter
    this.onEdge = () => {}; // called with an end of the list, "oldest" or "newest", when it is near
    this.view = new View(filter);
    this.paused = null; // or the reason: "user", "scroll" (away from the newest), "reading" (a row)
    this.waiting = 0; // new events that match the filter
    this.selected = null; // key of a row
    this._pausedAt = 0; // the index of the first live entry after the paused view
    this._away = null; // {position, what}: where the user left
    this._pausedEnd = null; // the position of the last live event before it
    this._left = []; // items that wait for a frame
    this._frame = 0;
    this.list = new VirtualList(this.scroller, this.canvas, this, {
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
    const most = this.live.mostEntries; // after a hidden tab, more would be removed unseen
    if (this._left.length > most) {
      this.live.foldedAway += this.live.length + this._left.length - most;
      this._left = this._left.slice(-most);
      this.restart();
    }
    if (!this._frame) this._work();
  }

  /** The feed that is shown. */
  get feed() {
    return this.past?.feed ?? this.live;
  }

  /** Whether items wait for a frame. */
  get isBusy() {
    return this._left.length > 0;
  }

  pause(why) {
    if (this.paused) return;
    this.paused = why;
    this._mark();
    this.draw();
  }

  /** Follow the newest event again. */
  resume() {
    this.paused = null;
    if (!this.past?.attached) this.past = null;
    this._rebuild();
    this.draw();
  }

  togglePause() {
    if (this.paused) this.resume();
    else this.pause("user");
  }

  /** Show what matches; a window over the history is for one filter, so another one has to be loaded. */
  setFilter(filter) {
    if (this.past?.attached) this.past = null;
    this.matched = 0;
    this._rebuild(filter);
    this.waiting = 0;
    if (this.paused) {
      for (const entry of this.live.entries()) {
        if (entry.index >= this._pausedAt && this.view.matches(entry)) this.waiting += 1;
      }
    }
    this.list.reset();
    this.draw();
  }

  /**
   * Show a window over the history, after it has changed; the rows in sight stay where they are. If it has
   * `joined` the live events, those up to now are shown, and none is new.
   */
  show(past, joined = false) {
    const held = this.paused ? this._held() : null;
    this.past = past;
    if (!past.attached && !this.paused) this.pause("scroll");
    if (joined) this._mark();
    this._rebuild();
    this.draw(held && this._found(held));
  }

  /** Show one entry of the feed, not at the edge of the window. */
  reveal(entry) {
    this.pause("scroll");
    if (entry?.row) this.draw({ row: entry.row, offset: this.scroller.clientHeight / 4 });
  }

  /** Show the first event of a time or later; returns whether the feed holds that time. */
  revealTime(time) {
    const events = this.feed.entries().filter(({ kind }) => kind === "event");
    if (!events.length || events[0].time > time || (this.past && !this.past.attached && events.at(-1).time < time)) return false;
    if (this.paused && (this.past?.attached ?? true)) {
      this._mark();
      this._rebuild();
    }
    const found = events.find((entry) => entry.time >= time && entry.row) ?? events.findLast(({ row }) => row);
    if (found) this.reveal(found);
    return found !== undefined;
  }

  /** Put a line where the user left, after a position, as soon as the feed holds it. */
  markLeft(position, what) {
    this._away = { position, what };
    const held = this.paused ? this._held() : null;
    for (const feed of new Set([this.live, this.feed])) feed.unmark();
    this._rebuild();
    this.draw(held && this._found(held));
  }

  /** Show the line where the user left; returns whether there is one. */
  revealLeft() {
    const { left } = this.feed;
    if (left) this.reveal(left);
    return left !== null;
  }

  /** Select the next row that reports a failure, `direction` 1 is further down; returns whether there is one. */
  moveToFailure(direction) {
    const { rows } = this.view;
    const at = this.list.placeOf(this._row(this.selected));
    const from = at === -1 ? this.list.firstInSight() - (direction > 0 ? 1 : -1) : at;
    for (let place = from + direction; place >= 0 && place < rows.length; place += direction) {
      if (!this.list.rowAt(place).entries.some(({ failure }) => failure)) continue;
      this.pause("reading");
      this._select(place);
      return true;
    }
    return false;
  }

  /** Select the row of the first entry that `isIt`. */
  select(isIt) {
    const row = this.feed.entries().find((entry) => entry.row && isIt(entry))?.row;
    if (!row) return;
    this.pause("reading");
    this._select(this.list.placeOf(row));
  }

  /** Show times as ages, or by the clock. */
  setRelative(relative) {
    this.relative = relative;
    this._drawTimes();
  }

  /** The time of the topmost event in sight, in milliseconds; null without one. */
  timeInSight() {
    const place = this.list.firstInSight();
    for (let i = place; i < Math.min(place + 5, this.view.rows.length); i += 1) {
      const { time } = this.list.rowAt(i)?.entry ?? {};
      if (time) return time;
    }
    return null;
  }

  /** The main entry of the topmost row in sight. */
  inSight() {
    return this.list.rowAt(this.list.firstInSight())?.entry;
  }

  /** What is shown, and what follows it as far as the live feed has it; `end` is where it ends otherwise. */
  extent() {
    const shown = this.view.entries();
    if (!this.paused) return { entries: shown, end: null };
    if (this._pausedEnd && (this.live.at(0)?.index ?? Infinity) > this._pausedAt) return { entries: shown, end: this._pausedEnd };
    return { entries: [...shown, ...this.live.entries().filter(({ index }) => index >= this._pausedAt)], end: null };
  }

  /** The live feed has lost what it held: it begins again with the next items. */
  restart() {
    this.live.clear();
    if (this.past?.attached) this.past.detach();
    if (!this.paused) this.resume();
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

  /** Call once a second: mark silent messages as no longer being written, and tell how long it has been quiet. */
  tick() {
    const silent = [...new Set([this.live, this.feed])].flatMap((feed) => feed.settle());
    if (silent.length && !this.paused) this.view.settle(silent);
    this.draw();
    this._drawTimes();
  }

  draw(hold = null) {
    const { view } = this;
    const [lead, tail] = [oldestNote(this), newestNote(this, Date.now())];
    this.lead.hidden = !lead;
    this.tail.hidden = !tail;
    setText(this.lead, lead);
    setText(this.tail, tail);
    this.list.draw(view.rows, !this.paused, hold);
    this.empty.hidden = view.rows.length > 0;
    if (!view.rows.length) drawEmpty(this.empty, whyEmpty(this), this);
    this.waitingPlace.hidden = !this.paused;
    this.waitingPlace.dataset.count = this.waiting;
    setText(this.waitingText, this.waiting ? `Paused, ${count(this.waiting, "new event")}` : "Paused");
    setText(this.pauseButton, this.paused ? "Follow" : "Pause");
    this.pauseButton.setAttribute("aria-pressed", this.paused !== null);
    setText(this.tally, tallyOf(this));
    this._edges(false);
  }

  /** Report the ends of the list that are near. */
  _edges(scrolled) {
    const { at, height, total } = this.list;
    const near = NEAR * height;
    const [atTop, atBottom] = [at < near, total - at - height < near];
    if (this.list.newestFirst ? atBottom : atTop) this.onEdge("oldest", scrolled);
    if (this.past && !this.past.attached && (this.list.newestFirst ? atTop : atBottom)) this.onEdge("newest", scrolled);
  }

  /** What comes from now on is new. */
  _mark() {
    this.waiting = 0;
    this._pausedAt = this.live.next;
    const entries = this.live.entries();
    this._pausedEnd = null;
    for (let i = entries.length - 1; i >= 0 && !this._pausedEnd; i -= 1) this._pausedEnd = positionOf(entries[i]);
  }

  /** Make the rows anew from the feed that is shown. */
  _rebuild(filter = this.view.filter) {
    this._placeLeft();
    const until = this.paused && (this.past?.attached ?? true) ? this._pausedAt : Infinity;
    this.view = new View(filter);
    for (const entry of this.feed.entries()) if (entry.index < until) this._show(entry);
  }

  _placeLeft() {
    if (!this._away) return;
    for (const feed of new Set([this.live, this.feed])) {
      const place = feed.left ? -1 : placeOf(feed, this._away.position);
      if (place !== -1 && place < feed.length - 1) feed.markLeft(place, this._away.what);
    }
  }

  /** The topmost row in sight, to be found again in other rows: `{item, offset}`. */
  _held() {
    const place = this.list.firstInSight();
    const entry = this.list.rowAt(place)?.entry;
    return entry ? { item: itemOf(entry), offset: this.list.offsetOf(place) } : null;
  }

  _found({ item, offset }) {
    const row = this.feed.entries().find((entry) => itemOf(entry) === item)?.row;
    return row ? { row, offset } : null;
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
      this._add(this._left[done]);
      done += 1;
    }
    this._left = this._left.slice(done);
    const gone = this.live.trim();
    if (!this.paused) this.view.evict(this.past ? this.past.trim() : gone);
    if (this._left.length) this._frame = requestAnimationFrame(() => this._work());
    this.draw();
  }

  _add(item) {
    const entry = this.live.add(item);
    if (entry.kind === "event") this.problems.guard("offering a filter", () => this.onEntry(entry));
    const matches = this.view.matches(entry);
    if (matches) this.matched += 1;
    if (this.paused && this.past?.attached && this.past.isFull) this.past.detach();
    const shown = this.past ? this.past.observe(entry) : entry;
    if (this.paused) this.waiting += matches ? 1 : 0;
    else if (shown) this._show(shown);
  }

  _drawTimes() {
    this.list.eachDrawn((article, row) => refreshTime(article, row, this.relative));
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
      const tag = row.entry.event ? this.tagOf(row.entry) : "";
      refreshRow(article, row, { open, selected, search: this.view.filter.text, tag, relative: this.relative });
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
    else if (this.paused === "scroll" && this.list.atNewest() && (this.past?.attached ?? true)) this.resume();
    else this.list.draw();
    this._edges(true);
  }
}

const itemOf = ({ event, gap, item }) => event ?? gap ?? item;
