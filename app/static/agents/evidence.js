/**
 * What is known of a session: its agents, their calls, and how a call is judged. Pure.
 *
 * The reducer writes down evidence here; states are concluded from it, so the order in which two reports
 * of one call arrive makes no difference. The Python client has the same in `sightline_client.sessions`,
 * and `tests/session_vectors.json` holds both to the same results. Moments are seconds since 1970.
 */

export const SILENT_AFTER_S = 600; // a single command of an agent may well take so long
const MAX_CALLS = 500; // of one session that are kept; what goes first is the oldest that has ended
const MAX_AGENTS = 200;
export const RANKS = ["unknown", "ok", "failed", "interrupted", "denied"]; // the later one counts, if two differ
/** Reasons that the gateway finds by itself: the session needs a person, and nobody is asked anything. */
export const ALARMS = ["failed", "silent"];
const ASKS_LEAVE = ["permission", "plan"]; // a person says yes or no; a question has other answers
/** Why a call without a result has ended: the state that it then has, and in words. */
const ENDINGS = {
  interrupt: ["interrupted", "the agent reported an interruption"],
  prompt: ["interrupted", "the next prompt came before a result"],
  session: ["interrupted", "the session ended before a result"],
  restart: ["interrupted", "the session started again before a result"],
  caller: ["interrupted", "the agent that waited for it was interrupted"],
  idle: ["interrupted", "the agent waits for a prompt"],
  turn: ["unknown", "the agent finished its turn without reporting a result"],
  error: ["unknown", "the agent failed before it reported a result"],
};

/** A field as text, or null: values of events are anybody's. */
export function text(data, field) {
  const value = data?.[field];
  return typeof value === "string" && value ? value : null;
}

/** A field as a number, or null. */
export function number(data, field) {
  const value = data?.[field];
  return typeof value === "number" ? value : null;
}

/** A tool call, as the evidence for its state. */
export class Call {
  constructor(id, agentId, toolName, order, whole) {
    Object.assign(this, { id, agentId, toolName, order });
    this.whole = whole; // nothing was lost that could have been about this call
    this.summary = null;
    this.called = false;
    this.started = this.ended = this.durationMs = null;
    this.error = this.reason = null;
    this.outcome = null; // as reported
    this.batch = null; // the result in `agent.batch_finished`; "" for none
    this.refused = false;
    this.ending = null; // a key of ENDINGS
    this.asked = null; // what a person is asked because of it
    this.spawns = false;
    this.spanId = null;
    this.childId = null;
  }

  get open() {
    return this.called && this.outcome === null && this.batch === null && this.ending === null;
  }

  /** `[state, why]`: running, ok, failed, denied, interrupted or unknown. */
  judge() {
    if (this.outcome !== null) return [this.outcome, this.reason || "reported by the agent"];
    if (this.batch !== null) return this._judgeBatch(this.batch ? `: ${this.batch}` : "");
    if (this.ending !== null) {
      const [state, why] = ENDINGS[this.ending];
      if (!this.whole) return ["unknown", `${why}, but reports were lost`];
      if (this.asked && ASKS_LEAVE.includes(this.asked.reason) && this.ending !== "interrupt") {
        return ["denied", `a permission was asked for, and ${why}`];
      }
      return [state, why];
    }
    if (this.called) return ["running", "called, and no end was reported"];
    return ["unknown", "only a part of its reports arrived"];
  }

  _judgeBatch(result) {
    if (this.refused) return ["failed", `refused before it ran${result}`];
    if (!this.whole) return ["unknown", `it has ended, but reports were lost${result}`];
    if (!this.called) return ["failed", `it has ended, and no start was reported${result}`];
    return ["denied", `${this.asked ? "a permission was asked for, and " : ""}it has ended without running${result}`];
  }
}

/** The main agent of a session (`id` is null) or one of its sub-agents. */
export class Agent {
  constructor(id, order) {
    Object.assign(this, { id, order, type: null, state: "new", why: "seen for the first time", outcome: null });
    Object.assign(this, { parentId: null, parentKnown: false, summary: null, turns: 0 });
    this.started = this.turnStarted = this.ended = null;
    this.attention = null; // that no known call is the reason of
    this.forgotten = new Map(); // states of calls that are no longer kept, and how many
  }

  move(state, why) {
    this.state = state; // new, working, idle (main), finished (sub-agent) or failed
    this.why = why;
  }
}

/** One session of an agent. `maxCalls` are kept. */
export class Session {
  constructor(id, last, whole, maxCalls = MAX_CALLS) {
    Object.assign(this, { id, last, whole, maxCalls });
    this.source = this.model = this.folder = this.task = this.reason = null;
    this.started = this.ended = null;
    this.silence = null; // an alarm: reported, and not yet ended by an event
    this.gaps = 0;
    this.counter = 0;
    this.main = new Agent(null, this.tick());
    this.agents = new Map([[null, this.main]]);
    this.calls = new Map();
    this.usage = new Map(); // by source: {requests, sums, seen}
    this.background = new Map();
    this.spans = new Map(); // the parent of each
    this.rank = 0; // of the best source so far; what others report changes only the usage
  }

  /** The next number in the order of what was seen first. */
  tick() {
    this.counter += 1;
    return this.counter;
  }

  callsOf(agentId) {
    return [...this.calls.values()].filter((call) => call.agentId === agentId);
  }

  /** What a person is asked now, oldest first, then the alarms: `[agent, attention]`. */
  attentions() {
    const found = [...this.agents.values()].filter((agent) => agent.attention).map((agent) => [agent, agent.attention]);
    for (const call of this.calls.values()) {
      if (call.asked && call.open) found.push([this.agents.get(call.agentId), call.asked]);
    }
    if (this.silence) found.push([this.main, this.silence]);
    const isAlarm = ({ reason }) => ALARMS.includes(reason);
    return found.sort(([, a], [, b]) => isAlarm(a) - isAlarm(b) || a.since - b.since);
  }

  /** The agent that the event is about: the main one where none is named, or there are too many. */
  findAgent(data, now) {
    const id = text(data, "agent_id");
    let agent = this.agents.get(id);
    if (!agent) {
      if (this.agents.size >= MAX_AGENTS) return this.main;
      agent = new Agent(id, this.tick());
      this.agents.set(id, agent);
    }
    agent.started ??= now;
    agent.type = text(data, "agent_type") ?? agent.type;
    const parent = text(data, "parent_id");
    if (parent || data.parent_id === null) Object.assign(agent, { parentId: parent, parentKnown: true }); // null is the main agent
    return agent;
  }

  /**
   * The call that the event is about, made anew where this is the first report of it. A call without an id
   * ends as the oldest open call of the same tool.
   */
  findCall(agent, data, started) {
    const toolName = text(data, "tool_name") ?? "unknown";
    const id = text(data, "tool_use_id") ?? text(data, "call_id");
    let call = this.calls.get(id ?? "");
    if (id === null && !started) call = this.callsOf(agent.id).find((one) => one.open && one.toolName === toolName);
    if (!call) {
      if (this.calls.size >= this.maxCalls) this._forgetCall();
      const order = this.tick();
      call = new Call(id ?? `#${order}`, agent.id, toolName, order, this.whole || started);
      this.calls.set(call.id, call);
    }
    if (call.toolName === "unknown") call.toolName = toolName;
    call.spanId ??= text(data, "span_id");
    call.summary ??= text(data, "summary");
    call.spawns ||= data.spawns_agent === true;
    return call;
  }

  _forgetCall() {
    let oldest = this.calls.values().next().value;
    for (const call of this.calls.values()) {
      if (call.open) continue;
      oldest = call;
      break;
    }
    const states = this.agents.get(oldest.agentId).forgotten;
    const state = oldest.open ? "unknown" : oldest.judge()[0];
    states.set(state, (states.get(state) ?? 0) + 1);
    this.calls.delete(oldest.id);
  }

  /** End the open calls of an agent, those that began before a moment where one is given. */
  endCalls(agent, ending, now, before = null) {
    const ended = this.callsOf(agent.id).filter(
      (call) => call.open && (before === null || call.started === null || call.started < before),
    );
    const parents = ended.some((call) => call.spawns) ? this.parents() : new Map();
    for (const call of ended) Object.assign(call, { ending, ended: now });
    if (ENDINGS[ending][0] !== "interrupted") return;
    for (const [childId, { call }] of parents) {
      const child = this.agents.get(childId);
      if (call && ended.includes(call)) this.endChild(child, "caller", now);
    }
  }

  /** A sub-agent that worked was interrupted, with all that it was doing. */
  endChild(agent, ending, now) {
    if (agent.id === null || !["new", "working"].includes(agent.state)) return;
    Object.assign(agent, { outcome: "interrupted", ended: now, attention: null });
    agent.move("finished", ENDINGS[ending][1]);
    this.endCalls(agent, ending, now);
  }

  /**
   * By sub-agent its parent: `{parentId, how, call}`, where `call` began it. `how` is reported, or guessed: by
   * the oldest call that begins an agent and has no other, in the order of calls and of agents; otherwise unknown.
   */
  parents() {
    const found = new Map();
    if (this.agents.size === 1) return found;
    const calls = [...this.calls.values()];
    const byChild = new Map(calls.filter((call) => call.childId).map((call) => [call.childId, call]));
    const free = calls
      .filter((call) => call.spawns && !call.childId && call.called)
      .sort((a, b) => a.order - b.order)
      .filter((call) => ["running", "ok", "interrupted"].includes(call.judge()[0]));
    for (const agent of [...this.agents.values()].sort((a, b) => a.order - b.order)) {
      if (agent.id === null) continue;
      const call = byChild.get(agent.id) ?? null;
      if (call || agent.parentKnown) {
        found.set(agent.id, { parentId: call ? call.agentId : agent.parentId, how: "reported", call });
        continue;
      }
      const likely = free.findIndex((one) => one.order < agent.order && one.agentId !== agent.id);
      const [guess] = likely === -1 ? [null] : free.splice(likely, 1);
      found.set(agent.id, { parentId: guess?.agentId ?? null, how: guess ? "guessed" : "unknown", call: guess });
    }
    return found;
  }
}
