/**
 * All sessions that the page knows, as cards: how each stands, what it is called, what it has done. Pure.
 *
 * Events before the page was opened come in pages from the newest to the oldest (`before`), live ones in
 * order (`take`). A page of the past makes the sessions anew, because a reducer reads in order.
 */

import { Facts } from "./facts.js";
import { Names, projectOf } from "./names.js";
import { Sessions } from "./reducer.js";
import { byNeed, callOf, ORDER, standingOf } from "./standing.js";

const FAILED = ["failed", "denied", "interrupted", "unknown"];
const CHANGE_WITH_TIME = ["working", "silent"];

export class Fleet {
  constructor() {
    this._sessions = new Sessions();
    this.names = new Names();
    this._facts = new Map();
    this._standings = new Map(); // of sessions that have not changed since
    this.version = 0;
  }

  get size() {
    return this._sessions.byId.size;
  }

  /** Take events and gaps in the order of the stream. */
  take(items) {
    for (const item of items) {
      if (item.type === "gap") this.lost(item.reason === "epoch_changed");
      else if (item.type.startsWith("agent.")) this._apply(item);
    }
  }

  lost(epochChanged) {
    this._sessions.lost(epochChanged);
    this._standings.clear();
    this.version += 1;
  }

  _apply(event) {
    const found = this._sessions.apply(event);
    if (!found) return;
    const { session } = found;
    this.version += 1;
    this._standings.delete(session.id);
    if (!found.agent) return;
    this.names.learn(session.id, session.source ?? "Agent", session.folder);
    let facts = this._facts.get(session.id);
    if (!facts) this._facts.set(session.id, (facts = new Facts()));
    facts.observe(event);
    if (this._facts.size <= this.size) return;
    for (const id of this._facts.keys()) if (!this._sessions.byId.has(id)) this._facts.delete(id);
  }

  /** The cards at `now` (seconds since 1970), those that need a person first. */
  cards(now) {
    return [...this._sessions.byId.values()].map((session) => this._card(session, now)).sort(byPlace);
  }

  _card(session, now) {
    let card = this._standings.get(session.id);
    if (!card || CHANGE_WITH_TIME.includes(card.state)) {
      card = standingOf(session, now);
      this._standings.set(session.id, card);
    }
    const counts = new Map();
    for (const agent of card.agents) {
      for (const [state, number] of Object.entries(agent.counts)) counts.set(state, (counts.get(state) ?? 0) + number);
    }
    return Object.assign(card, {
      name: session.source ?? "Agent",
      project: projectOf(session.folder),
      tag: this.names.tag(session.id),
      facts: this._facts.get(session.id),
      doing: doing(session, card),
      turn_started: session.main.turnStarted ?? card.started,
      calls: [...counts.values()].reduce((sum, number) => sum + number, 0),
      notable: FAILED.filter((state) => counts.get(state)).map((state) => [state, counts.get(state)]),
    });
  }
}

/**
 * The order of cards: as `byNeed`, but a card keeps its place while nothing but its events changes. A card that
 * moves with each event cannot be read or clicked.
 */
function byPlace(a, b) {
  const order = (a.ended !== null) - (b.ended !== null) || ORDER.indexOf(a.state) - ORDER.indexOf(b.state);
  return order || since(b) - since(a) || byNeed(a, b);
}

const since = (card) => card.attention?.since ?? card.ended ?? (CHANGE_WITH_TIME.includes(card.state) ? card.started : card.last);

/** The call that a card shows of a session at work: the main agent's latest open one, which does not wait for a sub-agent if it can. */
function doing(session, { state, current }) {
  const open = session.callsOf(null).filter((call) => call.open);
  const call = open.findLast(({ spawns }) => !spawns) ?? open.at(-1);
  if (!CHANGE_WITH_TIME.includes(state)) return null;
  return call ? callOf(call) : current;
}

/** The sub-agents of a card as a tree in rows: `[agent, depth]`, each once, whatever their parents are. */
export function treeOf(card) {
  const left = new Map(card.agents.filter(({ agent_id: id }) => id !== null).map((agent) => [agent.agent_id, agent]));
  const known = new Set(left.keys());
  const rows = [];
  const below = (parent, depth) => {
    for (const [id, agent] of [...left]) {
      if (!left.has(id) || (known.has(agent.parent_id) ? agent.parent_id : null) !== parent) continue;
      left.delete(id);
      rows.push([agent, depth]);
      below(id, depth + 1);
    }
  };
  below(null, 1);
  for (const agent of left.values()) rows.push([agent, 1]); // their parents are in a circle
  return rows;
}
