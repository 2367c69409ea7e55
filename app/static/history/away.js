/**
 * What happened while the user was away. Only the position of the last event that was on the page is kept
 * in the browser; what came after it is counted from the live feed, or from the journal. Pure, but for `Away`.
 */

import { element } from "../dom.js";
import { isFailure, isFailureType, MAY_FAIL, count } from "../sentences.js";
import { moment } from "../times.js";
import { ask, itemsOf, NoPageError } from "./pages.js";
import { placeOf, read, written } from "./positions.js";

const KEY = "sightline.left";
const AWAY_MS = 60_000; // what happened in the last minute was not missed
const MOST_TRIES = 10;
const PAGE = 1000;
const MOST_PAGES = 5; // of the journal, for the counts
const SESSION = "agent.session_started";
const COMMIT = "git.commit_created";
const NOTHING = Object.freeze({ sessions: 0, failed: 0, files: 0, commits: 0, others: 0 });

/** The counts of `events`, added to others. */
export function tally(events, counts = NOTHING) {
  const sum = { ...counts };
  for (const event of events) {
    if (isFailure(event)) sum.failed += 1;
    else if (event.type === SESSION) sum.sessions += 1;
    else if (event.type === COMMIT) sum.commits += 1;
    else if (event.type.startsWith("file.")) sum.files += 1;
    else sum.others += 1;
  }
  return sum;
}

/** `Since 18:02 you missed: 3 sessions, 1 failed, 214 file changes, 6 commits`; `isMore` where counting ended early. */
export function sentence(since, { sessions, failed, files, commits, others }, isMore) {
  const parts = [
    sessions && count(sessions, "session"),
    failed && `${failed.toLocaleString("en")} failed`,
    files && count(files, "file change"),
    commits && count(commits, "commit"),
  ].filter(Boolean);
  if (!parts.length) parts.push(count(others, "event"));
  return `Since ${since} you missed${isMore ? " more than" : ""}: ${parts.join(", ")}`;
}

/** The types that are counted, of all that the gateway knows. */
export function countedTypes(types) {
  const counted = (type) => type === SESSION || type === COMMIT || MAY_FAIL.has(type) || isFailureType(type);
  return [...types.filter((type) => counted(type) && !type.startsWith("file.")), "file.*"];
}

/** Remembers where the user leaves, and says what was missed. */
export class Away {
  constructor(place, { panel, backfill, scrollback, position, announce, problems }) {
    Object.assign(this, { place, panel, backfill, scrollback, _position: position, _announce: announce, _problems: problems });
    this._left = null; // where the user left, until what came after it is known
    this._tries = 0;
  }

  /** Begin once the live feed has been loaded. */
  start() {
    if (!this.backfill.kept) return;
    this._return();
    addEventListener("pagehide", () => {
      if (document.visibilityState === "visible") this._leave(); // otherwise the user left earlier
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this._leave();
      else this._return();
    });
  }

  /** Call once a second: a page that was asleep reconnects before it has what it missed. */
  tick() {
    if (!this._left || this.panel.isBusy || this.backfill.isBusy) return;
    this._tries += 1;
    this._greet(this._left);
    if (this._tries >= MOST_TRIES) this._left = null;
  }

  _return() {
    this._left = read(stored());
    this._tries = 0;
    this.tick();
  }

  _leave() {
    this._left = null;
    const { epoch, sequence_number: number } = this._position();
    store(written({ epoch, number }));
  }

  /** Say what came after a position, unless nothing did more than a minute ago. */
  async _greet(left) {
    const now = Date.now();
    try {
      const missed = await this._missed(left);
      if (!missed || now - missed.firstAt < AWAY_MS) return;
      if (left !== this._left) return; // said already, or away again
      this._left = null;
      this.panel.markLeft(left, `You left here at ${moment(missed.since, now)}`);
      this._show(sentence(moment(missed.since, now), missed.counts, missed.isMore), left);
    } catch (error) {
      // Where the gateway does not answer now, nothing is said.
      if (!(error instanceof NoPageError)) this._problems.report("counting what was missed", error);
    }
  }

  /** `{since, firstAt, counts, isMore}` of what came after a position; null if nothing did. */
  async _missed(left) {
    const { live } = this.panel;
    const place = placeOf(live, left);
    if (place !== -1) {
      const entries = live.entries();
      const after = entries.slice(place + 1).filter(({ kind }) => kind === "event");
      const since = entries[place].time;
      return after.length ? { since, firstAt: after[0].time, counts: tally(after.map(({ event }) => event)) } : null;
    }
    const [before] = (await ask({ order: "desc", limit: 1, before: written({ ...left, number: left.number + 1 }) })).events;
    const first = await ask({ order: "asc", limit: 1, after: written(left) });
    if (!before || !first.events.length || first.gap?.reason === "epoch_changed") return null;
    return { since: Date.parse(before.timestamp), firstAt: Date.parse(first.events[0].timestamp), ...(await this._count(left)) };
  }

  async _count(left) {
    const types = countedTypes(this.backfill.kept.types).join(",");
    let counts = NOTHING;
    let after = written(left);
    for (let pages = 0; after && pages < MOST_PAGES; pages += 1) {
      const page = await ask({ order: "asc", limit: PAGE, types, after });
      counts = tally(itemsOf(page, "asc").filter(({ type }) => type !== "gap"), counts);
      after = page.newer;
    }
    return { counts, isMore: after !== null };
  }

  _show(said, left) {
    const dismiss = () => this.place.replaceChildren();
    const go = async () => {
      dismiss();
      if (this.panel.revealLeft()) return;
      await this.scrollback.open({ after: written({ ...left, number: left.number - 1 }) });
      this.panel.revealLeft();
    };
    this._announce(said);
    this.place.replaceChildren(
      element(
        "p",
        { class: "away", "data-testid": "away" },
        element("span", {}, said),
        element("button", { type: "button", "data-testid": "away-go", onclick: go }, "Go there"),
        element("button", { type: "button", "data-testid": "away-dismiss", onclick: dismiss }, "Dismiss"),
      ),
    );
  }
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

function store(position) {
  try {
    localStorage.setItem(KEY, position);
  } catch {
    // the page then does not know when the user was away
  }
}
