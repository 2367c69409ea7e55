/**
 * Wires the agents' side of the console: the cards beside the feed, and the page of one session.
 *
 * The address `#session=…` is the session that is open, so that back, reload and a kept link work.
 */

import { subAgentOf } from "../row.js";
import { Attention } from "./attention.js";
import { Cards, linkTo } from "./cards.js";
import { Fleet } from "./fleet.js";
import { agentsBefore, clockAheadMs } from "./past.js";
import { SessionPage } from "./session.js";

const DRAW_EVERY_MS = 200; // while events come; clocks tick once a second
const MOST_RECENT = 2000; // live events that the journal may not have yet
const MOST_WHILE_LOADING = 50_000;
const RETRY_AFTER_MS = [1000, 4000, null];
const REFILL_AFTER_MS = 500; // after a gap, when the journal has what came since

const byId = (id) => document.getElementById(id);
const sessionIn = (hash) => new URLSearchParams(hash.replace(/^#/, "")).get("session");

export class Agents {
  /** `position()` is the stream's; `onNames()` is called when sessions may be called otherwise than before. */
  constructor(problems, position, onNames = () => {}) {
    this.problems = problems;
    this.fleet = new Fleet();
    this._recent = []; // live events of the current epoch
    this._loading = false;
    this._begun = false;
    this._refill = 0;
    this._drawn = 0;
    this._timer = 0;
    this._position = position;
    this._onNames = onNames;
    this._names = this.fleet.names;
    this._namesVersion = 0;
    this._cards = [];
    this._closedHash = "";
    this.cards = new Cards({ pane: byId("agents"), list: byId("agents-list"), tally: byId("agents-tally"), cost: byId("agents-cost") });
    this.session = new SessionPage(
      {
        head: byId("session"),
        back: byId("session-back"),
        name: byId("session-name"),
        state: byId("session-state"),
        task: byId("session-task"),
        facts: byId("session-facts"),
        done: byId("session-done"),
        errors: byId("session-errors"),
        previous: byId("session-previous"),
        next: byId("session-next"),
        fold: byId("session-fold"),
        follow: byId("session-follow"),
        scroller: byId("session-scroller"),
        canvas: byId("session-canvas"),
        lead: byId("session-lead"),
        empty: byId("session-empty"),
      },
      {
        card: (id) => this._cards.find((card) => card.session_id === id),
        now: () => this._now(),
        position,
        problems,
        onClose: () => this.close(),
      },
    );
    this.attention = new Attention({ icon: byId("icon"), button: byId("notify"), announcer: byId("announcer") }, (id) => {
      location.hash = linkTo(id);
    });
    for (const [id, view] of [["show-agents", "agents"], ["show-events", "events"]]) {
      byId(id).addEventListener("click", () => this._view(view));
    }
    this._view("agents");
    addEventListener("hashchange", ({ oldURL }) => {
      const before = new URL(oldURL).hash;
      if (sessionIn(before) === null) this._closedHash = before; // the feed's filter
      this._route();
    });
    addEventListener("popstate", () => this._route());
  }

  /** Take live events and gaps, in order. */
  take(items) {
    const own = items.filter(({ type }) => type === "gap" || type.startsWith("agent."));
    if (!own.length) return;
    const restart = own.findLastIndex(({ type, reason }) => type === "gap" && reason === "epoch_changed");
    if (restart !== -1) this._recent = []; // numbers begin again
    this._recent.push(...own.slice(restart + 1));
    const most = this._loading ? MOST_WHILE_LOADING : MOST_RECENT;
    if (this._recent.length > most) this._recent.splice(0, this._recent.length - most);
    this.problems.guard("reading what agents do", () => this.fleet.take(own));
    this.session.take(own);
    this._schedule();
    if (this._begun && own.some(({ type }) => type === "gap")) {
      clearTimeout(this._refill); // what was lost here is in the journal
      this._refill = setTimeout(() => this._load(), REFILL_AFTER_MS);
    }
  }

  /** Load what agents did before the page was opened, then go on with what came since. */
  async begin() {
    await this._load();
    this._begun = true;
    byId("agents").setAttribute("aria-busy", "false");
    this._route();
  }

  async _load() {
    if (this._loading) return;
    this._loading = true;
    const show = ({ items, complete }) => {
      const fleet = new Fleet();
      fleet.take(items);
      fleet.take(complete ? this._recent.filter(({ type }) => type !== "gap") : this._recent);
      this.fleet = fleet;
      this._schedule();
    };
    for (const pause of RETRY_AFTER_MS) {
      try {
        show(await agentsBefore(this._position(), show));
        break;
      } catch (error) {
        // A restart or another log-in of this browser may be under way.
        if (pause === null) this.problems.report("loading what agents did before", error);
        else await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    this._loading = false;
    this._draw();
  }

  /** What tells the session of a feed's entry apart from others of its name; a sub-agent's is always named. */
  tagOf(entry) {
    const id = entry.namespace === "agent" ? entry.event.data.session_id : undefined;
    if (typeof id !== "string") return "";
    return this.fleet.names.tag(id) || (subAgentOf(entry) ? entry.who : "");
  }

  /** Call once a second: clocks tick, and a silent session is seen to be silent. */
  tick() {
    this._draw();
  }

  /** Whether a key is for this side: a session is open, or a card has the focus. */
  get hasKeys() {
    return this.session.isOpen || this.cards.links().includes(document.activeElement);
  }

  move(by) {
    if (!this.cards.move(by)) this.session.move(by);
  }

  /** Put the focus on the first card, or on the open session's. */
  focus() {
    this._view("agents");
    const links = this.cards.links();
    (links.find((link) => link.getAttribute("aria-current")) ?? links[0])?.focus();
  }

  escape() {
    if (this.session.isOpen && !this.session.escape()) this.close();
    else if (!this.session.isOpen) document.activeElement?.blur();
  }

  close() {
    const { id } = this.session;
    history.pushState(null, "", location.pathname + location.search + this._closedHash);
    this._route();
    this.cards.links().find((link) => link.getAttribute("href") === linkTo(id))?.focus();
  }

  _now() {
    return (Date.now() + clockAheadMs) / 1000;
  }

  _schedule() {
    if (this._timer) return;
    const wait = Math.max(0, this._drawn + DRAW_EVERY_MS - performance.now());
    this._timer = setTimeout(() => this._draw(), wait);
  }

  _draw() {
    clearTimeout(this._timer);
    this._timer = 0;
    this._drawn = performance.now();
    this.problems.guard("drawing the agents", () => {
      const now = this._now();
      this._cards = this.fleet.cards(now);
      const any = this._cards.length > 0;
      byId("agents").hidden = byId("switch").hidden = !any;
      document.body.dataset.agents = any;
      this.cards.draw(this._cards, now, this.session.id);
      if (this._begun) this.attention.show(this._cards);
      this.session.draw();
      const { names } = this.fleet;
      if (names !== this._names || names.version !== this._namesVersion) this._onNames();
      Object.assign(this, { _names: names, _namesVersion: names.version });
    });
  }

  _route() {
    const id = sessionIn(location.hash);
    document.body.dataset.session = id !== null;
    byId("session").hidden = id === null;
    byId("events").hidden = id !== null;
    if (id === null) this.session.hide();
    else if (id !== this.session.id && this._begun) {
      this.session.show(id, this._recent.filter(({ type, data }) => type === "gap" || data?.session_id === id));
      byId("session-name").focus({ preventScroll: true });
    }
    this._draw();
  }

  _view(view) {
    document.body.dataset.view = view;
    byId("show-agents").setAttribute("aria-pressed", view === "agents");
    byId("show-events").setAttribute("aria-pressed", view === "events");
  }
}
