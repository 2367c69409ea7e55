/**
 * Keeps the live feed whole: loads the newest events when the page opens, and what it missed when the
 * stream reports a loss. Live events wait meanwhile, so everything is shown once and in order.
 */

import { ask, itemsOf, kept, NoPageError } from "./pages.js";
import { epochOf, place, restart, written } from "./positions.js";

const PAGE = 1000;
const MOST_PAGES = 5; // of what a page shows when it is opened
const MOST_HELD = 20_000;
const FILLED = new Set(["expired", "replay_limit", "epoch_changed"]); // losses that a journal makes good

export class Backfill {
  /** `position` returns the stream's; `show` takes items; `onBroken` is called before items that leave a hole. */
  constructor({ position, show, onBroken, problems }) {
    Object.assign(this, { _position: position, _show: show, _onBroken: onBroken, _problems: problems });
    this.kept = null; // what the gateway keeps, where it has a journal
    this.older = null; // the position before which to read on from the live feed's first events
    this._held = []; // live items that wait
    this._epoch = null;
    this._known = null; // the last position shown
  }

  /** Whether live events wait for earlier ones. */
  get isBusy() {
    return this._held !== null;
  }

  /** Live items of the stream. */
  take(items) {
    if (this._held) {
      this._held.push(...items);
      if (this._held.length > MOST_HELD) this._held = this._held.slice(-MOST_HELD);
      return;
    }
    const loss = this.kept ? items.findIndex(({ type, reason }) => type === "gap" && FILLED.has(reason)) : -1;
    if (loss === -1) {
      this._pass(items);
      return;
    }
    this._pass(items.slice(0, loss));
    this._held = items.slice(loss);
    queueMicrotask(() => this._fill()); // the stream knows its position once this handler has returned
  }

  /** Show the newest events that are kept, then the live ones. */
  async begin() {
    const position = this._at(this._position());
    try {
      this.kept = await kept();
      this.older = written({ epoch: position.epoch, number: position.number + 1 });
      if (this.kept) await this._load(position, null);
      else this._show(await retained(position));
    } catch (error) {
      this._problems.report("loading what happened before this page opened", error);
    }
    this._release(this._held);
  }

  async _fill() {
    const last = this._held.findLastIndex(({ type }) => type === "gap");
    const position = this._at(this._position());
    const [first] = this._held.slice(last + 1).filter(({ type }) => type !== "gap");
    const from = this._held[0];
    if (first) position.number = first.sequence_number - 1;
    try {
      await this._load(position, this._known, from);
      this._release(this._held.slice(last + 1));
    } catch (error) {
      if (!(error instanceof NoPageError)) this._problems.report("loading what was missed", error);
      const held = this._held;
      this._held = null;
      this._pass(held); // with the loss
    }
  }

  /** Show the newest events up to a position, after the one that is `known`; `loss` is the gap between. */
  async _load(position, known, loss) {
    const { items, older, isWhole } = await newest(position, known);
    if (!isWhole) {
      if (known) this._onBroken();
      if (known && !older) items.unshift(loss);
      this.older = older;
    }
    this._known = position;
    this._show(items);
  }

  _release(held) {
    this._held = null;
    this.take(held);
  }

  _pass(items) {
    for (const item of items) if (this._epoch !== null) place(item, this._epoch);
    const last = items.findLast(({ type }) => type !== "gap");
    if (last && this.kept) this.kept.since ??= Date.parse(last.timestamp);
    if (last) this._known = { epoch: this._epoch, number: last.sequence_number };
    this._show(items);
  }

  _at({ epoch, sequence_number: number }) {
    this._epoch = epoch;
    return { epoch, number };
  }
}

/** The newest events up to a position, oldest first, and not those up to `known`. Throws `NoPageError`. */
async function newest({ epoch, number }, known) {
  let items = [];
  let next = epoch; // of what follows
  let older = written({ epoch, number: number + 1 });
  for (let pages = 0; older && pages < MOST_PAGES; pages += 1) {
    const page = await ask({ order: "desc", limit: PAGE, before: older });
    const found = itemsOf(page, "desc");
    if (found.length && next !== page.epoch) found.push(restart(next));
    if (found.length) next = page.epoch;
    items = [...found, ...items];
    older = page.older;
    const seen = known
      ? items.findLastIndex((item) => epochOf(item) === known.epoch && item.sequence_number <= known.number)
      : -1;
    if (seen !== -1) return { items: items.slice(seen + 1), older, isWhole: true };
  }
  return { items, older, isWhole: false };
}

/** All that a gateway without a journal retains, up to a position. */
async function retained({ epoch, number }) {
  const events = [];
  for (let after = null; ; ) {
    const page = await ask({ limit: PAGE, ...(after !== null && { after, epoch }) });
    if (page.epoch !== epoch) return [];
    events.push(...page.events.filter((event) => event.sequence_number <= number));
    if (page.next >= number || page.next === after) return events;
    after = page.next;
  }
}
