/** Loads older and newer events as the user scrolls, and opens the history at a time or a position. */

import { count } from "../sentences.js";
import { ask, itemsOf, NoPageError } from "./pages.js";
import { fits, Past } from "./past.js";
import { epochOf, positionOf, written } from "./positions.js";
import { isExact, questionOf } from "./question.js";

const PAGE = 500;
const MOST_UNASKED = 20; // pages without a scroll: related events may fold into a few rows
const MOST_EMPTY = 20; // pages in search of the first event of a place
const TYPING_MS = 250;
const PAUSE_MS = 5000; // after a page that did not come

export class Scrollback {
  /** `backfill` says what is kept, and where the live feed begins; `hitsPlace` shows the hits of a search. */
  constructor(panel, { backfill, hitsPlace, announce, problems }) {
    Object.assign(this, { panel, hitsPlace, _backfill: backfill, _announce: announce, _problems: problems });
    this._busy = null; // the abort controller of the request under way
    this._unasked = 0;
    this._restUntil = 0;
    this._typing = 0; // a timer
    this._hits = null; // {number, seen}: the hits of the search, and how many live ones there were then
    panel.onEdge = (end, scrolled) => this._edge(end, scrolled);
  }

  /** Begin once the live feed has been loaded. */
  start() {
    if (this._backfill.kept) this.panel.keepsAll = true;
    this.filterChanged();
  }

  /** The panel has a new filter: what was loaded for another one is of no use. */
  filterChanged() {
    clearTimeout(this._typing);
    this._busy?.abort();
    this._busy = null;
    this._unasked = 0;
    this._hits = null;
    this.tick();
    if (!this._backfill.kept) return;
    const { past, view } = this.panel;
    const at = past && !past.attached ? this.panel.inSight() : null;
    const wait = view.filter.text ? TYPING_MS : 0;
    this._restUntil = performance.now() + wait;
    this._typing = setTimeout(() => {
      this._restUntil = 0;
      const position = at && positionOf(at);
      if (position) this.open({ after: written({ ...position, number: position.number - 1 }) });
      else if (at) this.panel.resume();
      this._count();
      this.panel.draw();
    }, wait);
  }

  /** Show the hits, live ones included. Call once a second. */
  tick() {
    const { _hits: hits, hitsPlace } = this;
    hitsPlace.hidden = !hits;
    if (hits) hitsPlace.textContent = count(hits.number + this.panel.matched - hits.seen, "hit");
  }

  /** Show the history from a time on, in milliseconds. */
  async jump(time) {
    if (!this.panel.revealTime(time)) await this.open({ since: Math.floor(time) });
  }

  /** Show the history from a place on: `{since}`, a time, or `{after}`, a position. */
  async open(place) {
    const { panel } = this;
    const question = this._question();
    if (!question) return;
    await this._request(async (signal) => {
      let from = place;
      for (let pages = 0; pages < MOST_EMPTY; pages += 1) {
        const page = await ask({ ...question, order: "asc", limit: PAGE, ...from }, signal);
        const [first] = page.events;
        if (first) {
          const older = written({ epoch: page.epoch, number: first.sequence_number });
          const past = new Past(panel.view.filter, { older, newer: page.newer }, { problems: this._problems });
          past.append(itemsOf(page, "asc"), page);
          panel.show(past);
          panel.reveal(past.feed.entries().find(({ event }) => event === first));
          return;
        }
        if (!page.newer) break;
        from = { after: page.newer };
      }
      panel.resume();
    });
  }

  /** Select the next failure in a direction, 1 being further down, also beyond what is loaded. */
  async failure(direction) {
    const { panel } = this;
    if (panel.moveToFailure(direction)) return;
    const order = direction > 0 === panel.list.newestFirst ? "desc" : "asc";
    const found = this._backfill.kept && (await this._nextFailure(order));
    if (!found) {
      this._announce("No further failure");
      return;
    }
    const number = found.event.sequence_number;
    await this.open({ after: written({ epoch: found.epoch, number: number - 1 }) });
    panel.select(({ event }) => event?.sequence_number === number && epochOf(event) === found.epoch);
  }

  /** The next failure outside the loaded events: `{epoch, event}`; undefined if none is found. */
  async _nextFailure(order) {
    const { past, view } = this.panel;
    const filter = { ...view.filter, failed: true };
    const question = questionOf(filter, this._backfill.kept.types);
    let from = order === "asc" ? past?.newer : past ? past.older : this._liveOlder();
    let found;
    await this._request(async (signal) => {
      for (let pages = 0; question && from && !found && pages < MOST_EMPTY; pages += 1) {
        const place = order === "asc" ? { after: from } : { before: from };
        const page = await ask({ ...question, order, limit: PAGE, ...place }, signal);
        const event = page.events.find((one) => fits(one, filter));
        if (event) found = { epoch: page.epoch, event };
        from = order === "asc" ? page.newer : page.older;
      }
    });
    return found;
  }

  async _edge(end, scrolled) {
    if (scrolled) this._unasked = 0;
    if (!this._backfill.kept || this._busy || this.panel.isBusy || performance.now() < this._restUntil) return;
    const { past, view } = this.panel;
    if (this._unasked >= MOST_UNASKED || (past && past.filter !== view.filter)) return;
    if (end === "oldest") await this._older();
    else await this._newer();
  }

  async _older() {
    const { panel } = this;
    const older = panel.past ? panel.past.older : this._liveOlder();
    const question = this._question();
    if (!older || !question || (panel.past?.isFull && !panel.paused)) return;
    const { past } = panel;
    if (!past) {
      panel.show(this._begin(older)); // reports this end again
      return;
    }
    await this._request(async (signal) => {
      const page = await ask({ ...question, order: "desc", limit: PAGE, before: past.older }, signal);
      if (panel.past !== past) return;
      past.prepend(itemsOf(page, "desc"), page);
      panel.show(past);
    });
  }

  async _newer() {
    const { panel } = this;
    const { past } = panel;
    const question = this._question();
    if (!past || past.attached || !question) return;
    await this._request(async (signal) => {
      const page = await ask({ ...question, order: "asc", limit: PAGE, after: past.newer }, signal);
      if (panel.past !== past) return;
      past.append(itemsOf(page, "asc"), page);
      panel.show(past, past.join(panel.live, page));
    });
  }

  /** The number of hits of the search over all that is kept. */
  async _count() {
    const { filter } = this.panel.view;
    const question = filter.text && isExact(filter) && this._question();
    if (!question?.q) return;
    const seen = this.panel.matched;
    const page = await ask({ ...question, order: "desc", limit: 1 }).catch(() => null);
    if (this.panel.view.filter !== filter || page?.matches == null) return;
    this._hits = { number: page.matches, seen };
    this.tick();
  }

  /** One request at a time; it is aborted by a new filter. */
  async _request(action) {
    this._busy?.abort();
    const own = (this._busy = new AbortController());
    this._unasked += 1;
    this.panel.loading = true;
    try {
      await action(AbortSignal.any([own.signal, AbortSignal.timeout(30_000)]));
    } catch (error) {
      if (own !== this._busy) return;
      this._restUntil = performance.now() + PAUSE_MS;
      if (!(error instanceof NoPageError)) this._problems.report("loading the history", error);
    } finally {
      if (own === this._busy) {
        this._busy = null;
        this.panel.loading = false;
        this.panel.draw();
      }
    }
  }

  _question() {
    return questionOf(this.panel.view.filter, this._backfill.kept?.types ?? []);
  }

  /** The position before which the live view begins. */
  _liveOlder() {
    const { live, view, paused } = this.panel;
    if (!live.foldedAway) return this._backfill.older;
    const entries = paused ? view.entries() : live.entries();
    const oldest = entries.map(positionOf).find(Boolean) ?? live.entries().map(positionOf).find(Boolean);
    return oldest ? written(oldest) : null;
  }

  /** A window that begins with what the panel shows. */
  _begin(older) {
    const { entries, end } = this.panel.extent();
    const newer = end && written(end);
    return Past.of(entries, this.panel.view.filter, { older, newer }, { problems: this._problems });
  }
}
