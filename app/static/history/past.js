/**
 * `Past`: a window over all that is kept, which grows at both ends as the user scrolls. Pure.
 *
 * Its feed holds the events of one run of the history that fit a filter. `older` and `newer` are the
 * positions to read on from. While the window is `attached`, it reaches up to the live events, which are
 * then added to it, and `newer` is null. Growing at one end removes entries at the other, so the window
 * stays within the bounds of its feed; removing the newest ones detaches it.
 */

import { Feed } from "../feed.js";
import { matcher } from "../filters.js";
import { isFailure, whoOf } from "../sentences.js";
import { findsAll } from "./question.js";
import { placeOf, positionOf, restart, written } from "./positions.js";

const BEFORE_LIVE = -(2 ** 30); // the first index of a window that does not begin with live entries

export class Past {
  /** A window on both sides of a place, `{older, newer}`, without live events. */
  constructor(filter, { older, newer }, options) {
    this.filter = filter;
    this.feed = new Feed({ ...options, next: BEFORE_LIVE });
    this.attached = false;
    this.older = older;
    this.newer = newer;
    this._matches = matcher(filter);
  }

  /** A window that begins with entries of the live feed, which end before `newer`, or are the newest if it is null. */
  static of(entries, filter, { older, newer }, options) {
    const past = new Past(filter, { older, newer }, options);
    past.attached = newer === null;
    for (const entry of entries) if (past._matches(entry)) past.feed.adopt(entry);
    return past;
  }

  /** Add a live entry; returns its copy, or undefined if it does not fit or the window does not reach that far. */
  observe(entry) {
    return this.attached && this._matches(entry) ? this.feed.adopt(entry) : undefined;
  }

  /** Add the page before `older`: `items`, oldest first, and the page's own `older`. */
  prepend(items, { epoch, older }) {
    this.older = older;
    const fitting = this._fitting(items);
    if (!fitting.length) return;
    const next = this._oldest();
    if (next && next.epoch !== epoch) fitting.push(restart(next.epoch));
    this._keep(this.feed.prepend(fitting));
    if (this.feed.trimNewest()) this.detach();
  }

  /** Add the page after `newer`, read up to the number `next`. */
  append(items, { epoch, newer, next }) {
    const last = this._newest();
    const fitting = this._fitting(items);
    if (last && fitting.length && last.epoch !== epoch) fitting.unshift(restart(epoch));
    this._keep(this.feed.append(fitting));
    this.newer = newer ?? written({ epoch, number: next });
    this.trim();
  }

  /** Attach the window to the live feed if it reaches it, after a page that was read up to `next`; returns whether. */
  join(live, { epoch, newer, next }) {
    const from = placeAfter(live, { epoch, number: next }, newer === null);
    if (from === null) return false;
    this.newer = null;
    this.attached = true;
    for (let i = from; i < live.length; i += 1) this.observe(live.at(i));
    this.trim();
    return true;
  }

  /** Remove the oldest entries over the bounds; returns them. */
  trim() {
    const gone = this.feed.trim();
    const oldest = gone.length ? this._oldest() : null;
    if (oldest) this.older = written(oldest);
    return gone;
  }

  get isFull() {
    return this.feed.isFull;
  }

  /** Let the live events go on without the window. */
  detach() {
    const newest = this._newest();
    if (!newest) return;
    this.attached = false;
    this.newer = written(newest);
  }

  /** The gaps, and the events that fit the filter where the journal could not tell. */
  _fitting(items) {
    return items.filter((item) => item.type === "gap" || fits(item, this.filter, this._matches));
  }

  _keep(entries) {
    for (const entry of entries) if (entry.kind === "event") entry.found = this.filter.text;
  }

  _oldest() {
    return end(this.feed, 0, 1);
  }

  _newest() {
    return end(this.feed, -1, -1);
  }
}

/** Whether an event of a page fits the filter that the page was asked for. */
export function fits(event, filter, matches = matcher(filter)) {
  return matches(sketch(event, filter));
}

/** As much of an event's entry as the filter needs; an event that cannot be read fits, and is shown as such. */
function sketch(event, filter) {
  try {
    const found = findsAll(filter) ? filter.text : undefined;
    const { haystack } = found === undefined ? new Feed().add(event) : {};
    const namespace = event.type.slice(0, event.type.indexOf("."));
    return { kind: "event", event, namespace, who: whoOf(event), failure: isFailure(event), haystack, found };
  } catch {
    return { kind: "broken" };
  }
}

/** The position of the first entry that has one, from a place on. */
function end(feed, from, step) {
  for (let i = from; Math.abs(i) <= feed.length && feed.at(i); i += step) {
    const position = positionOf(feed.at(i));
    if (position) return position;
  }
  return null;
}

/**
 * The place in the live feed of the first entry after a position; null if there is a hole between them.
 * `isEnd` says that the journal has nothing after the position.
 */
export function placeAfter(live, { epoch, number }, isEnd) {
  const last = placeOf(live, { epoch, number });
  if (last !== -1) return last + 1;
  const first = end(live, 0, 1);
  if (isEnd || (first?.epoch === epoch && first.number === number + 1)) return 0;
  return null;
}


