/**
 * One session's course as rows: turns, in them calls and messages, below a call the sub-agent that it began. Pure.
 *
 * A record is `{key, kind, order, agentId, event, call, finished, batch, version, turn}`: `kind` is "turn", "call",
 * "message", "attention", "error", "note", "gap" or "agent" (a sub-agent whose call is not known). A call and its
 * result are one record; its state is the reducer's, as on the cards.
 */

import { text } from "./evidence.js";
import { Sessions } from "./reducer.js";

const MOST_CALLS = 50_000;
const NEGATIVE = ["failed", "denied", "interrupted"];

const secondsOf = ({ timestamp }) => Date.parse(timestamp) / 1000 || 0;
const keyOf = ({ timestamp, sequence_number: number }) => `${timestamp}#${number}`;

export class Timeline {
  constructor(sessionId) {
    this.sessionId = sessionId;
    this._sessions = new Sessions({ maxCalls: MOST_CALLS });
    this._records = new Map([[null, []]]); // by agent, in order
    this._byCall = new Map(); // the reducer's call to its record
    this._byMessage = new Map();
    this._turn = null;
    this._gaps = 0;
    this._order = 0;
  }

  static of(sessionId, items) {
    const timeline = new Timeline(sessionId);
    for (const item of items) timeline.push(item);
    return timeline;
  }

  /** The reducer's session, or undefined before its first event. */
  get session() {
    return this._sessions.byId.get(this.sessionId);
  }

  /** Take an event of the session, or a gap; an event that came before changes nothing. */
  push(item) {
    if (item.type === "gap") return this._lost(item);
    if (text(item.data, "session_id") !== this.sessionId) return;
    const found = this._sessions.apply(item);
    if (!found?.agent) return;
    const agentId = found.agent.id;
    const known = found.call && this._byCall.get(found.call);
    if (found.call) {
      const record = known ?? this._add("call", agentId, item, { call: found.call });
      this._byCall.set(found.call, record);
      record[item.type === "agent.tool_called" ? "event" : "finished"] = item;
      record.version += 1;
      this._end(record.turn, item);
      return;
    }
    this._other(item, agentId, found);
  }

  _other(item, agentId, { session }) {
    const { type, data } = item;
    switch (type) {
      case "agent.turn_started":
        if (agentId === null) this._turn = this._add("turn", null, item, { started: secondsOf(item), ended: secondsOf(item), over: null });
        else this._touch(agentId);
        return;
      case "agent.turn_finished":
        this._end(this._turn, item);
        if (agentId === null && this._turn) Object.assign(this._turn, { over: item, version: this._turn.version + 1 });
        if (text(data, "summary") && this._lastMessage(agentId)?.replace(/\s+/g, " ").trim() !== data.summary) this._add("message", agentId, item);
        return;
      case "agent.message":
        this._message(item, agentId);
        return;
      case "agent.batch_finished":
        this._batch(item, session, agentId);
        return;
      case "agent.attention_needed": {
        // Shown at its call, or as the error that it is about; a row of its own where none is known.
        const tied = data.reason === "failed" || [...session.calls.values()].some((call) => call.asked && (call.toolName === data.tool_name || !data.tool_name));
        if (!tied) this._add("attention", agentId, item);
        return;
      }
      case "agent.error":
        this._end(this._turn, item);
        this._add("error", agentId, item);
        return;
      case "agent.usage_reported":
        return;
      default:
        this._add("note", agentId, item);
    }
  }

  _lost(gap) {
    this._sessions.lost(gap.reason === "epoch_changed");
    this._gaps += 1;
    this._add("gap", null, gap, { key: `gap ${this._gaps}` });
  }

  _add(kind, agentId, event, more = {}) {
    this._order += 1;
    const record = { key: keyOf(event), kind, order: this._order, agentId, event, call: null, finished: null, batch: null, version: 0, turn: this._turn, ...more };
    if (!this._records.has(agentId)) this._records.set(agentId, []);
    this._records.get(agentId).push(record);
    if (event.timestamp) this._end(record.turn, event);
    return record;
  }

  _end(turn, event) {
    if (turn) turn.ended = Math.max(turn.ended, secondsOf(event));
  }

  _touch(agentId) {
    if (!this._records.has(agentId)) this._records.set(agentId, []);
  }

  _message(item, agentId) {
    const id = text(item.data, "message_id");
    const record = id === null ? undefined : this._byMessage.get(id);
    const content = text(item.data, "content") ?? "";
    if (record) {
      record.text += content;
      record.version += 1;
      return;
    }
    const made = this._add("message", agentId, item, { text: content });
    if (id !== null) this._byMessage.set(id, made);
  }

  _lastMessage(agentId) {
    return this._records.get(agentId)?.findLast(({ kind }) => kind === "message")?.text;
  }

  /** Calls that no other report ends: the denied and the refused ones. */
  _batch(item, session, agentId) {
    for (const entry of Array.isArray(item.data.calls) ? item.data.calls : []) {
      const call = session.calls.get(text(entry, "tool_use_id") ?? "");
      if (!call) continue;
      let record = this._byCall.get(call);
      if (!record) {
        const data = { ...item.data, calls: undefined, tool_name: entry.tool_name, summary: entry.summary };
        record = this._add("call", agentId, { ...item, data }, { call, key: `${keyOf(item)} ${call.id}` });
        this._byCall.set(call, record);
      }
      record.batch = entry;
      record.version += 1;
    }
  }

  /**
   * The rows at `now`: `{key, kind, record, depth, turn, state, why, children, folded, hidden, agent, version}`.
   * `folded` is a Map of key to boolean: what a person chose; else a sub-agent that ended well is folded.
   */
  rows(folded, now) {
    const { session } = this;
    const rows = [];
    if (!session) return rows;
    const parents = session.parents();
    const childrenOf = new Map(); // of a call: its sub-agents
    const loose = new Map([[null, []]]); // of an agent: sub-agents whose call is not known
    for (const [id, { parentId, call }] of parents) {
      const record = call && this._byCall.get(call);
      if (!this._records.has(id) && !record) continue;
      if (record) put(childrenOf, record, id);
      else put(loose, this._records.has(parentId) && parentId !== id ? parentId : null, id);
    }
    const shown = new Set(); // agents; parents that are each other's would never end
    const emit = (agentId, depth) => {
      shown.add(agentId);
      const free = (loose.get(agentId) ?? []).filter((id) => !shown.has(id)).map((id) => this._looseAgent(id, session));
      const own = this._records.get(agentId) ?? [];
      const records = free.length ? [...own, ...free].sort((a, b) => a.order - b.order) : own;
      for (const record of records) this._emit(record, depth, { session, childrenOf, folded, now, rows, shown, emit });
    };
    emit(null, 0);
    for (const id of this._records.keys()) if (!shown.has(id)) this._emit(this._looseAgent(id, session), 0, { session, childrenOf, folded, now, rows, shown, emit });
    return rows;
  }

  _emit(record, depth, { session, childrenOf, folded, now, rows, shown, emit }) {
    const agents = (record.kind === "agent" ? [record.agentId] : (childrenOf.get(record) ?? [])).filter((id) => !shown.has(id));
    const row = { key: record.key, kind: record.kind, record, depth, turn: record.turn, agents: agents.map((id) => session.agents.get(id)) };
    const [state, why] = this._judge(record, session, now);
    Object.assign(row, { state, why, failed: NEGATIVE.includes(state) });
    rows.push(row);
    if (agents.length) {
      const from = rows.length;
      for (const id of agents) emit(id, depth + 1);
      const inside = rows.slice(from);
      row.hidden = inside.length;
      row.failedInside = inside.filter(({ failed }) => failed).length;
      row.folded = folded.get(record.key) ?? (row.failedInside === 0 && row.agents.every(({ state: one }) => one === "finished"));
      if (row.folded) {
        for (const one of inside) one.within = row.key;
        row.inside = inside;
        rows.length = from;
      }
    }
    const live = row.state === "running" || (record.turn && session.main.state === "working" && record.turn === this._turn);
    row.version = `${record.version} ${state} ${depth} ${row.folded} ${row.hidden} ${record.turn?.ended ?? 0} ${live ? Math.floor(now) : ""}`;
  }

  _looseAgent(id, session) {
    const [first] = this._records.get(id);
    const agent = session.agents.get(id);
    const event = first?.event ?? { type: "agent", data: {} };
    return { key: `agent ${id}`, kind: "agent", order: first?.order ?? 0, agentId: id, event, call: null, version: agent.state.length, turn: first?.turn ?? null };
  }

  _judge(record, session, now) {
    if (record.kind === "call") {
      const [state, why] = record.call.judge();
      if (state === "running" && session.ended === null && record.call.asked) return ["waiting", `asks for ${record.call.asked.reason}`];
      return [state, why];
    }
    if (record.kind === "error") return ["failed", text(record.event.data, "error") ?? "an error"];
    if (record.kind === "turn" && record === this._turn && session.main.state === "working") return ["running", session.main.why];
    if (record.kind === "agent") return [session.agents.get(record.agentId).state, "its call is not known"];
    return ["", ""];
  }

  /** The keys of failed rows in order, with the keys of the folded rows around each: `[key, [outer…]]`. */
  static failures(rows) {
    const found = [];
    const visit = (list, around) => {
      for (const row of list) {
        if (row.failed && row.kind !== "turn" && row.state !== "interrupted") found.push([row.key, around]);
        if (row.inside) visit(row.inside.filter(({ within }) => within === row.key), [...around, row.key]);
      }
    };
    visit(rows, []);
    return found;
  }
}

function put(map, key, value) {
  if (!map.has(key)) map.set(key, []);
  map.get(key).push(value);
}

/** When a row's call, message or turn began and ended, in seconds; `ended` is null while it runs. */
export function spanOf({ record, state }) {
  const { call, event } = record;
  if (record.kind === "turn") return { started: record.started, ended: state === "running" ? null : record.ended };
  if (!call) return { started: secondsOf(event), ended: secondsOf(event) };
  const open = state === "running" || state === "waiting";
  const ended = open ? null : (call.ended ?? call.started);
  // The agent's own duration is exact; the moments of the events include their way.
  const started = call.started ?? (ended !== null && call.durationMs !== null ? ended - call.durationMs / 1000 : ended);
  return { started, ended: ended !== null && call.durationMs !== null && started !== null ? started + call.durationMs / 1000 : ended };
}
